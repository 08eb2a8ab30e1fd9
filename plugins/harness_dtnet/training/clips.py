"""Frames to learn from, each with the frame before it and a mask of that: cropped, mirrored, pasted on.

Everything is a function of the seed and the iteration; no sample depends on how many processes share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.pasting import Crop, lay_over, pick_object
from harness_dtnet.training.placing import blur_mask, cut, move_mask, place, recolour
from harness_dtnet.training.targets import MOST, UNKNOWN, VOID
from harness_dtnet.training.videos import Ids, LearnedVideo

FEWEST = 16
"""Visible pixels from which an object has a centre; of fewer it is foreground alone. ours."""


class FrameBatch(NamedTuple):
    """B frames and those before them."""

    frames: Tensor
    """(B, S, S, 3) uint8 RGB."""
    ids: Tensor
    """(B, S, S) uint8: 0, 1 to ``MOST``, ``UNKNOWN``, ``VOID``."""
    classes: Tensor
    """(B, MOST + 1) uint8: the class of each id."""
    before: Tensor
    """(B, S, S, 3) uint8 RGB, the frame before."""
    masks: Tensor
    """(B, S, S) uint8: a foreground of the frame before, 0 to 255, as good as one that was found."""
    is_guided: Tensor
    """(B,) bool: whether the frame before is to be seen."""


class FrameSource:
    """The frames of one training; ``classes`` has the class of each category's number."""

    def __init__(
        self, videos: Sequence[LearnedVideo], config: TrainingConfig, seed: int, classes: dict[int, int]
    ) -> None:
        self.videos, self.config, self.seed, self.classes = videos, config, seed, classes
        exact = [k for k, video in enumerate(videos) if video.sample.read_flow]
        others = [k for k, video in enumerate(videos) if not video.sample.read_flow]
        self.kinds = (exact or others, others or exact)
        self.donors = tuple([k for k in kind if not videos[k].is_merged] for kind in self.kinds)

    def frames(self, iteration: int, places: Sequence[int]) -> FrameBatch:
        """The frames at these places of an iteration's batch."""
        drawn = [self._sample(np.random.default_rng((self.seed, iteration, place))) for place in places]
        return FrameBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True)))

    def _sample(self, rng: np.random.Generator) -> tuple[NDArray, ...]:
        config = self.config
        kind = 0 if rng.random() < config.generated else 1
        number = int(rng.choice(self.kinds[kind]))
        video = self.videos[number]
        this, earlier = draw_moments(rng, video.frames, config.gap)
        pair = [video.read(t) for t in (this, earlier)]
        matrix = place(rng, pair[0][1], config)
        crops = [Crop(*cut(image, ids, matrix, config.crop)) for image, ids in pair]
        classes = self._classes(video)
        if rng.random() < config.paste:
            classes = self._paste(rng, 1, number, crops, classes)
        crops = [Crop(image, keep_large(ids)) for image, ids in recolour(rng, crops, config.colour)]
        mask = guidance_mask(rng, crops[1].ids, config)
        is_guided = np.array(rng.random() >= config.unguided)
        return crops[0].image, crops[0].ids, classes, crops[1].image, mask, is_guided

    def _classes(self, video: LearnedVideo) -> NDArray[np.uint8]:
        """The class of each id from 0 to ``MOST``."""
        found = np.full(MOST + 1, UNKNOWN, np.uint8)
        found[0] = 0
        for name, category in video.categories.items():
            if 0 < name <= MOST:
                found[name] = self.classes[category]
        return found

    def _paste(
        self, rng: np.random.Generator, kind: int, host: int, crops: list[Crop], classes: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Lay objects of other videos over both crops, in place; returns the classes with theirs."""
        donors = [k for k in self.donors[kind] if k != host]
        classes = classes.copy()
        for _ in range(int(rng.integers(1, self.config.most_pasted + 1)) if donors else 0):
            taken = {int(name) for crop in crops for name in np.unique(crop.ids)}
            free = next((name for name in range(1, MOST + 1) if name not in taken), None)
            donor = self.videos[int(rng.choice(donors))]
            moments = draw_moments(rng, donor.frames, self.config.gap)
            found = pick_object(rng, [donor.read(t) for t in moments])
            if free is None or found is None:
                continue
            crops[:] = lay_over(rng, crops, found, free)
            category = donor.categories.get(found.name)
            classes[free] = UNKNOWN if category is None else self.classes[category]
        return classes


def draw_moments(rng: np.random.Generator, frames: Sequence[int], gap: int) -> tuple[int, int]:
    """A frame and one 1 to ``gap`` back; for the first frame one ahead, or itself where it is alone."""
    at = int(rng.integers(len(frames)))
    away = int(rng.integers(1, gap + 1))
    earlier = max(at - away, 0) if at else min(away, len(frames) - 1)
    return frames[at], frames[earlier]


def keep_large(ids: Ids) -> Ids:
    """Ids whose objects of fewer than ``FEWEST`` pixels have no centre of their own."""
    counts = np.bincount(ids.ravel(), minlength=256)
    table = np.arange(256, dtype=np.uint8)
    table[1 : MOST + 1][counts[1 : MOST + 1] < FEWEST] = UNKNOWN
    return table[ids]


def guidance_mask(rng: np.random.Generator, ids: Ids, config: TrainingConfig) -> NDArray[np.uint8]:
    """The foreground of the frame before as a network might have found it: moved, grown, soft, of some objects only."""
    names = [int(name) for name in np.unique(ids) if name not in (0, VOID)]
    kept = [name for name in names if rng.random() >= config.mask_lacks]
    mask = np.isin(ids, kept).astype(np.float32)
    moved = move_mask(rng, mask, config.mask_jitter) if config.mask_jitter else mask
    return np.rint(255 * blur_mask(rng, moved)).astype(np.uint8)
