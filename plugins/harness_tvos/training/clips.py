"""What a batch of training clips is, and how it is shared out: a clip follows from seed, iteration and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError, Sample

Image = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) ids
VOID = 255


class Clip(NamedTuple):
    """K frames of one size and what is known of them; ``matches`` has 2 rows where 0 and 1 are a pair, else none."""

    frames: NDArray[np.uint8]  # (K, S, S, 3) RGB
    labels: NDArray[np.uint8]  # (K, h, w), a class for each feature cell
    matches: NDArray[np.float32]  # (0 or 2, h, w, 2): where a cell of one frame of the pair lies in the other, (x, y)
    is_matched: NDArray[np.bool_]  # (0 or 2, h, w): where that is trusted


class ClipBatch(NamedTuple):
    """B clips; the arrays of ``Clip`` with B in front, as tensors."""

    frames: Tensor
    labels: Tensor
    matches: Tensor
    is_matched: Tensor


class ClipSource(Protocol):
    """Where clips come from."""

    def clip(self, iteration: int, place: int, side: int) -> Clip:
        """The clip at one place of an iteration's batch, the same whoever asks and in which order."""
        ...


def share_of(batch: int, rank: int, world: int) -> range:
    """The places of a batch that one of ``world`` processes makes: every ``world``-th."""
    return range(rank, batch, world)


def together(clips: Sequence[Clip]) -> ClipBatch:
    """One batch of some clips."""
    return ClipBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*clips, strict=True)))


def list_annotated(sample: Sample) -> tuple[int, ...]:
    """The frames that have a truth, ascending; clips are made of these."""
    return sample.truth_frames if sample.truth_frames is not None else tuple(range(sample.length))


def read_pair(sample: Sample, t: int) -> tuple[Image, Image]:
    """Frame ``t`` and its ids, void as background; DataError where it has no truth."""
    truth = sample.read_truth(t) if sample.read_truth else None
    if truth is None:
        raise DataError(
            f"video {sample.name!r} has no truth at frame {t}; TVOS learns from annotated frames",
            hint="train on a split whose truth is public, such as davis17-train",
        )
    return np.asarray(sample.read_frame(t), np.uint8), np.where(truth == VOID, 0, truth).astype(np.uint8)
