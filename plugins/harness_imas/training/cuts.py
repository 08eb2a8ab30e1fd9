"""A mask moved towards a normalised cut of features (Shi and Malik 2000), as RCF's last step does to its targets."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

ALIKE = 0.2
"""Cosine from which two cells are tied. code."""
APART = 1e-5
"""How much cells are tied that are not alike. code."""
STEPS, LEARNING_RATE, WEIGHT_DECAY = 10, 0.45, 1e-6
"""Of Adam on the mask itself. code."""


def ties_of(features: Float[Tensor, "D i j"]) -> Float[Tensor, "N N"]:
    """How much each cell is tied to each: 1 where alike, hardly where not."""
    unit = functional.normalize(features.flatten(1).T, dim=1)
    alike: Bool[Tensor, "N N"] = unit @ unit.T > ALIKE
    return torch.where(alike, 1.0, APART)


def cut_value(ties: Float[Tensor, "N N"], mask: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """The soft normalised cut between mask and rest: what ties both, as a share of what ties each to all, summed."""
    inside, outside = ties @ mask, ties @ (1 - mask)
    between = (1 - mask) @ inside
    return between / inside.sum() + between / outside.sum()


def move_to_cut(features: Float[Tensor, "D i j"], mask: Float[Tensor, "h w"]) -> Float[Tensor, "i j"]:
    """The mask (0..1) at the features' grid after ten steps towards a lower cut; one of all or nothing stays."""
    size = features.shape[-2:]
    begun = functional.interpolate(mask[None, None], size=size, mode="nearest")[0, 0]
    if not 0 < float(begun.sum()) < begun.numel():
        return begun
    ties = ties_of(features)
    with torch.enable_grad():
        moved = begun.flatten().clone().requires_grad_()
        adam = torch.optim.Adam([moved], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(STEPS):
            adam.zero_grad()
            cut_value(ties, moved).backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                moved.clamp_(0, 1)
                if not 0 < float(moved.sum()) < moved.numel():
                    break
    return moved.detach().view(size)
