"""How much each pixel of a label counts: small targets are lifted to a tenth of the frame (FRTM's "hinge")."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SHARE = 0.1
"""FRTM: a target below this share of the frame counts as if it had it."""
FEWEST = 10
"""FRTM: pixels below which a share is not trusted and ``SHARE`` is taken for it."""


def pixel_importance(labels: Float[Tensor, "*B H W"]) -> Float[Tensor, "*B H W"]:
    """V^2 of every pixel of labels in 0..1: with share a < .1 of the frame, .1 / a inside and .9 / (1 - a) outside."""
    inside = labels > 0.5
    count = inside.flatten(-2).sum(-1).to(labels.dtype)[..., None, None]
    pixels = labels.shape[-2] * labels.shape[-1]
    share = torch.where(count < FEWEST, SHARE, count / pixels)
    lifted = share.clamp(min=SHARE)
    # Nothing lies outside a target of the whole frame: what is divided by is then never taken.
    outside = (1 - lifted) / (1 - share).clamp(min=1 / pixels)
    return torch.where(inside, lifted / share, outside)
