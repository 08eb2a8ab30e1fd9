"""The scores of all targets as one map: what each pixel is, and how sure each target is of it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SURE = 1e-6  # as far as probabilities stay from 0 and 1


def merge(
    scores: Float[Tensor, "N H W"], is_foreground: Bool[Tensor, "H W"] | None
) -> tuple[Float[Tensor, "N H W"], Bool[Tensor, "N H W"]]:
    """Labels 0..1 of N targets and their masks, of which no two hold a pixel.

    FRTM: background has the least of all 1 - p, and each has its odds p / (1 - p) over the sum of all odds. A pixel is
    its target's where that is more than background and every other target; elsewhere the target's label is 0. Scores
    are taken for p as they are, since they were fitted to labels of 0 and 1 (ours), and are 0 outside the foreground.
    """
    if is_foreground is not None:
        scores = scores * is_foreground
    p = scores.clamp(SURE, 1 - SURE)
    background = (1 - p).amin(0, keepdim=True)
    odds = torch.cat([background, p]) / torch.cat([1 - background, 1 - p])
    shares = odds / odds.sum(0)
    winner = shares.max(0).indices
    masks = winner == torch.arange(1, len(scores) + 1, device=scores.device)[:, None, None]
    return shares[1:] * masks, masks
