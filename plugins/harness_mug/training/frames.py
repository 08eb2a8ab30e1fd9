"""The stage before the rounds: single frames alone, so that a batch shows as many videos as it has frames. Ours.

From scratch a trunk learns too little in a round: a few videos a batch, a few frames of each that are nearly one. Here
the frame granularity (eq. 2) is learnt by itself, on windows of frames in other light. Over them is laid what moves in
other videos, by the initial maps: what lies around an object no longer tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError, Sample, TrainingContext
from harness_mug.training.clips import DRAW_FRAME, Labels, draw_video, draw_window, recolour
from harness_mug.training.config import TrainingConfig
from harness_mug.training.granularities.frame import frame_loss
from harness_mug.training.trained import TrainedNetwork

TURN = 0
"""Where the rounds count from 1."""


MOST_PASTED = 2
"""Objects that are pasted onto a frame."""
LEAST_SHARE, MOST_SHARE = 0.01, 0.5
"""Of a frame, that a mask covers which is pasted elsewhere: less is a fleck, more is ground."""
SHRINK, GROW = 0.6, 1.3
"""How much smaller or larger it becomes."""
ASIDE, UP = 0.3, 0.2
"""How far it is moved, in widths and heights of the frame."""
SOFT = (3, 3)
"""Pixels over which its edge is blended."""


class FrameBatch(NamedTuple):
    """B frames, each by itself."""

    frames: Tensor
    """(B, H, W, 3) uint8."""
    initial: Tensor
    """(B, 1, h, w) fp32: the initial map, 0 to 1."""


class FrameSource:
    """Single frames of videos.

    ``initial`` holds the initial maps (T, H, W) of each on the pixels of ``config.size``, 0 and 1; ``config`` is the
    stage's own (``TrainingConfig.of_frames``).
    """

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
        pixels, mask = self._look(rng, video)
        if rng.random() < config.frames_paste:
            for _ in range(int(rng.integers(1, MOST_PASTED + 1))):
                pixels, mask = paste(rng, pixels, mask, *self._look(rng, int(rng.integers(len(self.samples)))))
        shares = cv2.resize(mask.astype(np.float32), config.grid[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(np.asarray(shares))[None]

    def _look(self, rng: np.random.Generator, video: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A frame of a video and its mask, both (H, W), in a window, a light and a mirror of their own."""
        config, sample = self.config, self.samples[video]
        t = int(rng.integers(sample.length))
        window = draw_window(rng, config.size, config.crop)
        pixels = window.of_pixels(np.asarray(sample.read_frame(t), np.uint8), config.size, config.size)
        if config.colour:
            pixels = recolour(rng, pixels[None], config.colour)[0]
        mask = (window.of_shares(self.initial[video][t]) >= 0.5).astype(np.uint8)
        return (pixels[:, ::-1], mask[:, ::-1]) if rng.random() < config.flip else (pixels, mask)


def paste(
    rng: np.random.Generator,
    pixels: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    others: NDArray[np.uint8],
    other_mask: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame and its mask with what the mask of another frame covers moved, resized and laid over them."""
    if not LEAST_SHARE < other_mask.mean() < MOST_SHARE:
        return pixels, mask
    height, width = mask.shape
    scale = rng.uniform(SHRINK, GROW)
    aside, up = rng.uniform(-ASIDE, ASIDE) * width, rng.uniform(-UP, UP) * height
    moved = np.array([[scale, 0, aside + (1 - scale) * width / 2], [0, scale, up + (1 - scale) * height / 2]])
    laid = cv2.warpAffine(np.ascontiguousarray(others), moved, (width, height))
    laid_mask = cv2.warpAffine(np.ascontiguousarray(other_mask), moved, (width, height), flags=cv2.INTER_NEAREST)
    share = cv2.GaussianBlur(laid_mask.astype(np.float32), SOFT, 0)[..., None]
    blended = np.rint(laid * share + pixels * (1 - share)).astype(np.uint8)
    return blended, np.maximum(mask, np.asarray(laid_mask, np.uint8))


class FrameLearner(TrainedNetwork):
    """The stage's learner. A ``harness.Learner``. The trunk learns as ``frames_frozen_stages`` has it."""

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
