"""Accidents of the released YouTube-VOS code, behind ``official_bugs``: what it does to annotations after the first.

Its scores can be had by them alone (README, departures); the method does none of this by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from harness_tvos.frames.sizes import hard_labels
from harness_tvos.memory import Memory, write_over


def skip_third(prompts: Iterable[tuple[int, Tensor | None]]) -> Iterator[tuple[int, Tensor | None]]:
    """Frames and prompts with the third prompt of the video lost."""
    found = 0
    for frame, prompt in prompts:
        found += prompt is not None
        yield frame, None if prompt is not None and found == 3 else prompt


def write_merged(memory: Memory, slot: int, prompt: Tensor) -> None:
    """Write every object of a later prompt into the labels of its frame under the highest id, and clear no other.

    The mask of that frame stays as it was predicted.
    """
    merged = torch.where(prompt > 0, prompt.max(), prompt)
    prompted = hard_labels(merged, memory.ids.tolist(), (memory.grid,))
    memory.relabel(slot, write_over(memory.labels_at(slot), prompted))
