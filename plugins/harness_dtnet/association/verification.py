"""Which proposal a track's result is replaced by, and which proposals are new targets (Zhou et al. 2021, eq. 10)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def matching_scores(
    proposals: Float[Tensor, "P D"],
    results: Float[Tensor, "N D"],
    firsts: Float[Tensor, "N D"],
    iou: Float[Tensor, "P N"],
    least: float,
) -> Float[Tensor, "P N"]:
    """Eq. 10: cosine with the result in this frame plus cosine with the track's first mask, where they overlap."""
    return (proposals @ results.t() + proposals @ firsts.t()) * (iou > least)


def assign(
    scores: NDArray[np.float32], threshold: float, matching: Literal["hungarian", "argmax"]
) -> list[tuple[int, int, float]]:
    """(proposal, track, score) of every track that gets a proposal, whose score is above the threshold."""
    if not scores.size:
        return []
    if matching == "argmax":
        best = scores.argmax(0)
        pairs = [(int(best[track]), track) for track in range(scores.shape[1])]
    else:  # what is not above the threshold is worth nothing, so it does not take a proposal from another
        worth = np.where(scores > threshold, scores, 0)
        pairs = [(int(p), int(n)) for p, n in zip(*linear_sum_assignment(worth, maximize=True), strict=True)]
    pairs.sort(key=lambda pair: pair[1])
    return [(p, n, float(scores[p, n])) for p, n in pairs if scores[p, n] > threshold]


def find_new(
    scores: NDArray[np.float32], iou: NDArray[np.float64], areas: list[int], *, least_area: float, most_overlap: float
) -> list[int]:
    """The proposals that score 0 with all tracks, overlap little with every result and are large enough.

    ``scores`` are of this frame's matching, ``iou`` of the results after it.
    """
    return [
        place
        for place, area in enumerate(areas)
        if area >= least_area and not scores[place].any() and (iou[place] < most_overlap).all()
    ]


def lay_over(masks: Bool[Tensor, "N H W"], replaced: dict[int, Bool[Tensor, "H W"]]) -> Bool[Tensor, "N H W"]:
    """The masks with some replaced: those lie over the others, the first of two that hold a pixel over the second."""
    if not replaced:
        return masks
    ids = torch.zeros(masks.shape[1:], dtype=torch.uint8, device=masks.device)
    for track in range(len(masks)):
        if track not in replaced:
            ids.masked_fill_(masks[track], track + 1)
    for track in sorted(replaced, reverse=True):
        ids.masked_fill_(replaced[track], track + 1)
    return ids == torch.arange(1, len(masks) + 1, device=masks.device)[:, None, None]
