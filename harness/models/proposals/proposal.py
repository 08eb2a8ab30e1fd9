"""One proposal: a mask, how sure it is, and the box around it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from harness.api.dataclass import dataclass

MOST = 20
"""Proposals a frame at most, where the caller does not say: as many objects as DAVIS takes."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """What may be an object. ``box`` is (left, top, right, bottom) in pixels, right and bottom one past the last."""

    mask: Bool[Tensor, "H W"]
    score: float
    box: tuple[int, int, int, int]


def choose(candidates: Iterable[tuple[Bool[Tensor, "H W"], float]], most: int) -> list[Proposal]:
    """Of masks and scores those that have a pixel, the ``most`` of highest score, of falling score."""
    made = [Proposal(mask, float(score), box) for mask, score in candidates if (box := box_of(mask)) is not None]
    return sorted(made, key=lambda proposal: -proposal.score)[:most]


def box_of(mask: Bool[Tensor, "H W"]) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) around a mask's pixels; None where it has none."""
    rows, columns = torch.nonzero(mask.any(1)).flatten().tolist(), torch.nonzero(mask.any(0)).flatten().tolist()
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if rows else None


def is_object(foreground: Shaped[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """A foreground, bool or a probability, as a mask: from one half on."""
    return foreground if foreground.dtype == torch.bool else foreground >= 0.5
