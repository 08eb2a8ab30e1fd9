"""The motion model of IMAS: how optical flow is rebuilt from soft masks, by what pathways, and how wrong that is.

Paper 3.2, equations 1 to 6 and Table 4. Flow is (dx, dy) in pixels of the frames, not of the masks' cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Pathway = Literal["none", "robust", "scaling", "affine", "residual", "affine+residual"]
PATHWAYS: tuple[Pathway, ...] = ("none", "robust", "scaling", "affine", "residual", "affine+residual")

BOUND = 10.0
"""Pixels: the largest residual, lambda of eq. 3, and what divides the logit before tanh. code: both 10."""
ROBUST = (0.01, 0.4)
"""(|d| + .01)^.4, the robust loss of Table 4. code."""
RIDGE = 1e-4
"""Added to the moments of a channel's positions in -1..1: that of one without pixels cannot be inverted. ours."""
OUTPUTS: dict[Pathway, int] = {"scaling": 2, "residual": 2, "affine+residual": 2}
"""Values a pixel, a channel and a direction that the pathway's own head predicts."""


class Motion(nn.Module):
    """Eq. 1 and 2: flow pooled by each mask between two small MLPs, and laid out again by the masks.

    ``hidden`` units. The code's first MLP is two 3x3 convolutions; the paper says MLP, which is ``kernel`` 1.
    """

    def __init__(self, *, hidden: int = 64, kernel: int = 3) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.Conv2d(2, hidden, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.1),
        )
        self.after = nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, 2))

    def forward(self, masks: Float[Tensor, "B C h w"], flow: Float[Tensor, "B 2 h w"]) -> Float[Tensor, "B C 2"]:
        """One flow vector a mask."""
        vectors: Tensor = self.after(pool(self.before(flow), masks))
        return vectors


def pool(values: Float[Tensor, "B D h w"], masks: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C D"]:
    """The mean of ``values`` under each mask; zero where a mask is zero everywhere."""
    weights = masks / masks.sum((2, 3), keepdim=True).clamp(min=1e-6)
    return torch.einsum("bchw,bdhw->bcd", weights, values)


def rebuild(
    masks: Float[Tensor, "B C h w"],
    vectors: Float[Tensor, "B C 2"],
    flow: Float[Tensor, "B 2 h w"],
    raw: Float[Tensor, "B _ h w"] | None,
    pathway: Pathway,
) -> Float[Tensor, "B 2 h w"]:
    """The flow that a pathway predicts: eq. 2, and 5 or what Table 4 has in its place.

    ``raw`` are the logits of the pathway's head, (2, C) values a pixel, component first; None where it has none.
    ``flow`` is what is to be predicted: an affine motion is fitted to it.
    """
    predicted = torch.einsum("bck,bchw->bkhw", vectors, masks)
    if pathway in ("affine", "affine+residual"):
        predicted = predicted + lay_out(fit_affine(masks, flow), masks)
    if raw is None:
        return predicted
    bounded = torch.tanh(raw.unflatten(1, (2, masks.shape[1])) / BOUND)  # (B, 2, C, h, w)
    if pathway == "scaling":
        scaled = vectors.transpose(1, 2)[..., None, None] * bounded  # (B, 2, C, h, w)
        return predicted + lay_out(scaled, masks)
    return predicted + lay_out(BOUND * bounded, masks)


def lay_out(flows: Float[Tensor, "B 2 C h w"], masks: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 2 h w"]:
    """Eq. 4: the flow of each channel, weighted by its mask, summed."""
    return (flows * masks[:, None]).sum(2)


def fit_affine(masks: Float[Tensor, "B C h w"], flow: Float[Tensor, "B 2 h w"]) -> Float[Tensor, "B 2 C h w"]:
    """What an affine motion of each channel, fitted by weighted least squares, adds to the channel's mean flow.

    Positions are (row, column) in -1..1. Gradients flow through the fit, as in the code, which has no regulariser.
    """
    height, width = flow.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=flow.device, dtype=flow.dtype)
    columns = torch.linspace(-1, 1, width, device=flow.device, dtype=flow.dtype)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))  # (2, h, w)
    weights = masks / masks.sum((2, 3), keepdim=True).clamp(min=1e-6)
    centre = torch.einsum("bchw,khw->bck", weights, places)
    mean = torch.einsum("bchw,bkhw->bck", weights, flow)
    moments = torch.einsum("bchw,khw,lhw->bckl", weights, places, places) - centre[..., None] * centre[..., None, :]
    joint = torch.einsum("bchw,khw,blhw->bckl", weights, places, flow) - centre[..., None] * mean[..., None, :]
    ridge = RIDGE * torch.eye(2, device=flow.device, dtype=flow.dtype)
    slopes = torch.linalg.solve(moments + ridge, joint)  # (B, C, 2 of place, 2 of flow)
    moved = torch.einsum("bckl,khw->blchw", slopes, places)
    return moved - torch.einsum("bckl,bck->blc", slopes, centre)[..., None, None]


def motion_loss(predicted: Float[Tensor, "B 2 h w"], flow: Float[Tensor, "B 2 h w"], pathway: Pathway) -> Tensor:
    """Eq. 6: the mean absolute difference; for ``robust`` the mean of its robust form."""
    difference = (predicted - flow).abs()
    if pathway != "robust":
        return difference.mean()
    floor, power = ROBUST
    return ((difference + floor) ** power).mean()


def entropy(logits: Float[Tensor, "B C h w"]) -> Tensor:
    """The mean entropy of the masks at a pixel, in nats; RCF's regulariser, by which IMAS says objects are scattered.

    The released code takes the logarithm of a second softmax; this is the entropy itself.
    """
    return torch.special.entr(logits.softmax(1)).sum(1).mean()


def flow_on(flow: Float[Tensor, "B 2 H W"], size: Sequence[int], clamp: float) -> Float[Tensor, "B 2 h w"]:
    """Flow at the masks' size, bilinear without scaling of its values, then clamped. code."""
    resized = functional.interpolate(flow, size=tuple(size), mode="bilinear", align_corners=False)
    return resized.clamp(-clamp, clamp)


def compactness(mask: Float[Tensor, "B h w"]) -> Tensor:
    """How far a mask's pixels lie from their middle, squared, in shares of the frame, times the mask; the mean. code.

    RCF's for STv2, by Guess What Moves (Choudhury et al. 2022). An empty mask has no spread.
    """
    rows = torch.arange(mask.shape[1], device=mask.device, dtype=mask.dtype)[:, None] / mask.shape[1]
    columns = torch.arange(mask.shape[2], device=mask.device, dtype=mask.dtype)[None, :] / mask.shape[2]
    total = mask.sum((1, 2), keepdim=True).clamp(min=1e-6)
    row, column = ((axis * mask).sum((1, 2), keepdim=True) / total for axis in (rows, columns))
    return (((rows - row) ** 2 + (columns - column) ** 2) * mask).mean()
