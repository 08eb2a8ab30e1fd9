"""What is remembered of earlier frames: features and labels in two rings, and how a later prompt is laid over them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from harness.api.free_memory import refuse_more_than_free


class Memory:
    """Features and labels of the last frames in two rings, allocated once: constant in the length of the video.

    ``ring``: one for features that is there already, in place of a new one; what it holds does not matter.
    """

    def __init__(self, frames: int, grid: tuple[int, int], features: Tensor, *, ring: Tensor | None = None) -> None:
        self.grid = grid
        if ring is None and features.device.type == "cpu":
            _refuse_what_does_not_fit(frames, grid, features)
        self.features = features.new_empty(frames, *features.shape) if ring is None else ring  # (S, h*w, C)
        self.labels = torch.zeros(frames, 1, len(features), device=features.device)  # (S, K, h*w)
        self.ids = torch.zeros(1, dtype=torch.uint8, device=features.device)  # (K,) object id of each class

    def slot_of(self, frame: int) -> int:
        """Where a frame lies in the rings, in place of the oldest."""
        return frame % len(self.features)

    def write(self, slot: int | Tensor, features: Tensor, labels: Tensor) -> None:
        """Keep a frame's features (h*w, C) and labels (K, h, w); the slot may be a tensor (1,) on the device."""
        if isinstance(slot, int) and not 0 <= slot < len(self.features):
            raise IndexError(f"found slot {slot}; expected one in 0..{len(self.features) - 1}")
        self.features[slot] = features
        self.relabel(slot, labels)

    def relabel(self, slot: int | Tensor, labels: Tensor) -> None:
        """Keep other labels (K, h, w) of the frame that lies there."""
        self.labels[slot] = labels.flatten(1)

    def labels_at(self, slot: int) -> Tensor:
        """The labels (K, h, w) of the frame that lies there."""
        return self.labels[slot].unflatten(1, self.grid)

    def alias(self) -> Memory:
        """Another memory on the same tensors: objects added here do not show there."""
        return copy.copy(self)

    def move_into(self, other: Memory) -> None:
        """Copy what is here into the tensors of ``other``, which are alike, and go on with those."""
        if self.features is not other.features:
            other.features.copy_(self.features)
        other.labels.copy_(self.labels)
        other.ids.copy_(self.ids)
        self.features, self.labels, self.ids = other.features, other.labels, other.ids

    def add_objects(self, prompt: Tensor) -> None:
        """Give each id of ``prompt`` that is new a class; earlier frames hold nothing of it."""
        known = set(self.ids.tolist())
        new = [value for value in prompt.unique().tolist() if value not in known]
        if new:
            self.ids = torch.cat([self.ids, self.ids.new_tensor(new)])
            self.labels = nn.functional.pad(self.labels, (0, 0, 0, len(new)))


def _refuse_what_does_not_fit(frames: int, grid: tuple[int, int], features: Tensor) -> None:
    """MemoryError where the rings would not fit once they are full, which they are after so many frames."""
    mib = frames * len(features) * (features.shape[1] * features.element_size() + 2 * 4) / 2**20
    what = f"tvos keeps features and labels of {frames} frames of {grid[1]} x {grid[0]} positions"
    refuse_more_than_free(mib, what, "work on fewer pixels: --set short_side=480, or --preset youtube-vos")


def overlay_labels(labels: Tensor, prompted: Tensor) -> Tensor:
    """Labels (K, h, w): ``prompted`` where it shows objects, and ``labels`` of the other objects else."""
    others = labels * ~prompted.flatten(1).any(1)[:, None, None]
    others[0] = 1 - others[1:].sum(0)
    return write_over(others, prompted)


def write_over(labels: Tensor, prompted: Tensor) -> Tensor:
    """``prompted`` where it shows objects, and of ``labels`` the share that it leaves to the background."""
    combined = labels * prompted[0]
    combined[1:] += prompted[1:]
    return combined
