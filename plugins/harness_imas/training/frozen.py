"""A backbone that does not learn: its maps of whole frames, computed once, and pairs of them to learn from.

Ours. Heads alone learn in seconds what they can of motion, so that pathways can be compared over many seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16
from numpy.typing import NDArray
from torch import Tensor

from harness import Sample, TrainingContext, whole_file
from harness.api.learning import Progress
from harness_imas.frames import resize_whole
from harness_imas.network import Segmenter
from harness_imas.training.clips import (
    DRAW_PAIR,
    WIDEST,
    Flows,
    Order,
    PairBatch,
    Window,
    look_through,
)
from harness_imas.training.config import TrainingConfig
from harness_imas.training.kept import open_kept


@dataclass(frozen=True)
class KeptMaps:
    """The maps of every frame of some videos: (T, L, h, w) and (T, D, i, j) each, memory-mapped."""

    low: Sequence[NDArray[np.float16]]
    """Of no channel where masks are made without it."""
    high: Sequence[NDArray[np.float16]]

    def pair(self, video: int, t: int) -> tuple[Float16[Tensor, "2 L h w"], Float16[Tensor, "2 D i j"]]:
        """Those of the frames t and t + 1."""
        low, high = (torch.from_numpy(np.array(maps[video][t : t + 2])) for maps in (self.low, self.high))
        return low, high


def frame_size(config: TrainingConfig) -> tuple[int, int]:
    """Rows and columns that every frame is brought to, so that those of any video share a batch."""
    return config.short_side, round(config.short_side * WIDEST)


@torch.no_grad()
def prepare_maps(context: TrainingContext, segmenter: Segmenter, folder: Path, progress: Progress) -> None:
    """Write the maps of every video that are not there yet; the backbone is shown each frame by itself."""
    config: TrainingConfig = context.config
    segmenter = segmenter.to(context.device).eval()
    total, done = sum(sample.length for sample in context.samples), 0
    for sample in context.samples:
        paths = map_paths(folder, sample)
        if not all(path.exists() for path in paths):
            made: tuple[list[Tensor], list[Tensor]] = ([], [])
            for t in range(sample.length):
                frame = torch.from_numpy(np.ascontiguousarray(sample.read_frame(t))).to(context.device)
                maps = segmenter.backbone(
                    segmenter.normalise(resize_whole(frame, config.short_side, frame_size(config)))
                )
                made[0].append(maps.low[0].half().cpu() if config.merging else maps.low.new_zeros(0, 1, 1).half().cpu())
                made[1].append(maps.high[0].half().cpu())
                progress(done + t + 1, total)
            for path, each in zip(paths, made, strict=True):
                with whole_file(path) as file:
                    np.save(file, torch.stack(each).numpy())
        done += sample.length
        progress(done, total)


def open_maps(context: TrainingContext, folder: Path) -> KeptMaps:
    """What ``prepare_maps`` wrote; DataError where a file is not of its video."""
    pairs = [(sample, map_paths(folder, sample)) for sample in context.samples]
    low, high = ([open_kept(paths[n], sample, np.float16, "D i j") for sample, paths in pairs] for n in (0, 1))
    return KeptMaps(low, high)


def map_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Where the low and the high maps of a video lie."""
    name = sample.digest()[:16]
    return folder / f"low-{name}.npy", folder / f"high-{name}.npy"


class WholePairs:
    """The pairs of a training whose backbone is frozen: maps of whole frames, mirrored or not, and their flow.

    Mirrored maps are those of a mirrored frame, but for what padding and strides do.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        flow: Flows,
        maps: KeptMaps,
        config: TrainingConfig,
        seed: int,
        targets: Sequence[NDArray[np.uint8]] | None = None,
    ) -> None:
        self.samples, self.flow, self.maps, self.config, self.seed = samples, flow, maps, config, seed
        self.targets = targets
        self.order = Order(samples, config.batch, seed)
        shape = (maps.low if config.merging else maps.high)[0].shape
        self.grid = (shape[-2], shape[-1])

    def pairs(self, iteration: int, places: Sequence[int]) -> PairBatch:
        """The pairs at these places of an iteration's batch, in the order of ``PairSource``."""
        return PairBatch(*map(torch.stack, zip(*(self._pair(iteration, place) for place in places), strict=True)))

    def _pair(self, iteration: int, place: int) -> tuple[Tensor, ...]:
        video, frame = self.order.pair(iteration, place)
        rng = np.random.default_rng((DRAW_PAIR, self.seed, iteration, place))
        window = Window(0.0, 0.0, 1.0, 1.0, bool(rng.random() < self.config.flip))
        maps = [each.flip(-1) if window.mirrored else each for each in self.maps.pair(video, frame)]
        targets = [] if self.targets is None else [self.targets[video][t] for t in (frame, frame + 1)]
        sample, flow = self.samples[video], self.flow.pair(video, frame)
        flows, made = look_through(window, sample, flow, self.grid, self.config.clamp, targets)
        return torch.zeros(2, 0, 0, 3, dtype=torch.uint8), flows, made, *maps
