"""The stage before the rounds: single frames alone, so that a batch shows as many videos as it has frames. Ours.

Of a trunk from scratch a round sees a few videos a batch, a few frames of each that are nearly one: too little to learn
from. Here the frame granularity (eq. 2) is learnt by itself, on windows of frames in other light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness import DataError, Sample, TrainingContext
from harness_mug.training.clips import DRAW_FRAME, Labels, draw_video, draw_window, recolour
from harness_mug.training.config import TrainingConfig
from harness_mug.training.granularities.frame import frame_loss
from harness_mug.training.trained import TrainedNetwork

TURN = 0
"""Where the rounds count from 1."""


class FrameBatch(NamedTuple):
    """B frames, each by itself."""

    frames: Tensor
    """(B, H, W, 3) uint8."""
    initial: Tensor
    """(B, 1, h, w) fp32: the initial map, 0 to 1."""


class FrameSource:
    """Single frames of videos. ``config`` is the stage's own (``TrainingConfig.of_frames``)."""

    def __init__(self, samples: Sequence[Sample], initial: Labels, config: TrainingConfig, seed: int) -> None:
        if not samples:
            raise DataError("there are no videos to learn from", hint="name data: harness ls benches")
        self.samples, self.initial, self.config, self.seed = samples, initial, config, seed

    def frames(self, iteration: int, places: Sequence[int]) -> FrameBatch:
        """The frames at these places of an iteration's batch."""
        parts = [self._frame(iteration, place) for place in places]
        return FrameBatch(*(torch.stack(each) for each in zip(*parts, strict=True)))

    def _frame(self, iteration: int, place: int) -> tuple[Tensor, Tensor]:
        config = self.config
        video = draw_video((self.seed, TURN), iteration * config.frames_batch + place, len(self.samples))
        rng = np.random.default_rng((DRAW_FRAME, self.seed, iteration, place))
        sample = self.samples[video]
        t = int(rng.integers(sample.length))
        window = draw_window(rng, config.grid, config.crop)
        pixels = window.of_pixels(np.asarray(sample.read_frame(t), np.uint8), config.grid, config.size)
        if config.colour:
            pixels = recolour(rng, pixels[None], config.colour)[0]
        shares = window.of_shares(self.initial[video][t])[None]
        if rng.random() < config.flip:
            pixels, shares = pixels[:, ::-1], shares[..., ::-1]
        return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(np.ascontiguousarray(shares))


class FrameLearner(TrainedNetwork):
    """The stage's learner. A ``harness.Learner``. The whole trunk learns, whatever the rounds freeze."""

    def __init__(self, context: TrainingContext, *, initial: Labels, begin_from: Path | None) -> None:
        config: TrainingConfig = context.config.of_frames()
        if config.frames_batch % context.world:
            raise ValueError(
                f"frames_batch={config.frames_batch} cannot be shared by {context.world} processes; set a multiple"
            )
        super().__init__(context, config, begin_from)
        self.source = FrameSource(context.samples, initial, config, context.seed)
        self.places = range(context.rank, config.frames_batch, context.world)

    def batch(self, iteration: int) -> FrameBatch:
        """This rank's frames: every ``world``-th of the batch."""
        return self.source.frames(iteration, self.places)

    def loss(self, batch: FrameBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Eq. 2 by the initial maps: the frame's part of eq. 16, and nothing else."""
        logits = self.network.judge(self.network.embed(self.images_of(batch.frames)))
        found = frame_loss(logits.float(), batch.initial.to(self.device, non_blocking=True))
        return found, {"frame": found.detach()}
