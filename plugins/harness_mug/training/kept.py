"""What the part of a trunk that does not learn makes of every frame, as it is and mirrored, computed once. Ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harness import DataError, Sample, TrainingContext
from harness.models.efficientnet_lite import STAGES
from harness_mug.network import MuGNetwork
from harness_mug.training.clips import KeptMaps, shrink
from harness_mug.training.config import TrainingConfig


def look_once(
    context: TrainingContext, network: MuGNetwork
) -> Callable[[Sample, Callable[[int], None]], NDArray[np.float16]]:
    """What makes the maps of a video; each frame is shown to the trunk by itself."""
    config: TrainingConfig = context.config
    network = network.to(context.device).eval()

    @torch.inference_mode()
    def look(sample: Sample, tell: Callable[[int], None]) -> NDArray[np.float16]:
        found = []
        for t in range(sample.length):
            frame = shrink(np.asarray(sample.read_frame(t), np.uint8), config.size)
            both = torch.from_numpy(np.stack([frame, frame[:, ::-1]])).to(context.device)
            images = network.normalise(both.permute(0, 3, 1, 2).float())
            found.append(network.maps_until(images, config.frozen_stages).half().cpu().numpy())
            tell(t + 1)
        return np.stack(found)

    return look


def open_maps(context: TrainingContext, stage: str) -> KeptMaps:
    """The maps that a stage prepared, memory-mapped; DataError where a file is not of its video."""
    config: TrainingConfig = context.config
    found = []
    for sample in context.samples:
        path = maps_path(context.artefacts_of(stage), sample)
        try:
            maps = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise DataError(f"maps in {path} cannot be read: {problem}", hint="remove the file") from None
        channels = STAGES[config.frozen_stages - 1].channels
        if maps.ndim != 5 or maps.shape[:3] != (sample.length, 2, channels) or maps.dtype != np.float16:
            expected = f"float16 of {(sample.length, 2, channels)}, rows and columns"
            raise DataError.at(path, found=f"{maps.dtype} of {maps.shape}", expected=expected, hint="remove it")
        found.append(maps)
    return found


def maps_path(folder: Path, sample: Sample) -> Path:
    """Where the maps of a video lie."""
    return folder / f"maps-{sample.digest()[:16]}.npy"
