"""What the part of a trunk that does not learn makes of every frame, as it is and mirrored, computed once. Ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from harness import Sample, TrainingContext
from harness.models.efficientnet_lite import STAGES
from harness_mug.network import MuGNetwork
from harness_mug.training.clips import KeptMaps, shrink
from harness_mug.training.config import TrainingConfig
from harness_mug.training.files import maps_path, open_files


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
    """The maps that a stage prepared: of each frame two, of the channels that its part of the trunk ends in."""
    channels = STAGES[context.config.frozen_stages - 1].channels
    return open_files(context, stage, maps_path, np.float16, (2, channels, None, None))
