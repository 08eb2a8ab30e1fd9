"""What D-Net should answer, from ids of objects: where centres are, where each pixel's centre lies, which pixels count.

Zhou et al. 2021, 3.1: a Gaussian of 10 pixels around each centre, and the way there from every pixel of the object. The
centre is that of its mass (ours: the paper does not say).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

MOST = 20
"""Objects of one frame; ids are 1 to this."""
UNKNOWN = 254
"""The id of foreground whose objects nobody told apart, and the class of an object of no known category."""
VOID = 255
STRIDE = 4
"""Pixels a cell of the answers, each way; cell i is centred on pixel 4 i + 1.5."""


class Targets(NamedTuple):
    """At a quarter of the sides."""

    heatmap: Float[Tensor, "B h w"]
    offsets: Float[Tensor, "B 2 h w"]
    """(dy, dx) to the object's centre, in pixels; 0 where there is no object."""
    is_told: Bool[Tensor, "B h w"]
    """Where the heatmap is known: not in void, nor in foreground whose objects nobody told apart."""
    is_object: Bool[Tensor, "B h w"]
    """Where the offsets are."""


def instance_targets(ids: UInt8[Tensor, "B H W"], sigma: float) -> Targets:
    """Targets of id maps; sides are multiples of 4. Where Gaussians meet, the higher one holds."""
    numbers = torch.arange(1, MOST + 1, device=ids.device)
    is_of = ids[:, None] == numbers[:, None, None]  # (B, K, H, W)
    y, x = mass_centre(is_of.sum(3)), mass_centre(is_of.sum(2))  # (B, K)
    is_there = is_of.flatten(2).any(2)  # (B, K)
    rows, columns = (cell_centres(side // STRIDE, ids.device) for side in ids.shape[1:])
    away = (rows[:, None] - y[..., None, None]).square() + (columns - x[..., None, None]).square()  # (B, K, h, w)
    heat = torch.exp(-away / (2 * sigma**2)) * is_there[..., None, None]
    cells = ids[:, 1::STRIDE, 1::STRIDE]  # (B, h, w)
    is_object = (cells > 0) & (cells <= MOST)
    place = (cells.long() - 1).clamp(0, MOST - 1).flatten(1)  # (B, h*w)
    to_y, to_x = (centre.gather(1, place).view(cells.shape) for centre in (y, x))
    offsets = torch.stack([to_y - rows[:, None], to_x - columns], 1) * is_object[:, None]
    return Targets(heat.amax(1), offsets, (cells != UNKNOWN) & (cells != VOID), is_object)


def mass_centre(counts: Tensor) -> Float[Tensor, "B K"]:
    """The mean place along one side of what ``counts`` (B, K, side) has there; 0 of nothing."""
    places = torch.arange(counts.shape[2], device=counts.device, dtype=torch.float64)
    return ((counts * places).sum(2) / counts.sum(2).clamp(min=1)).float()


def cell_centres(cells: int, device: torch.device) -> Float[Tensor, " cells"]:
    """Where cells lie along one side, in pixels."""
    return STRIDE * torch.arange(cells, device=device, dtype=torch.float32) + (STRIDE - 1) / 2


def class_map(ids: UInt8[Tensor, "B H W"], classes: UInt8[Tensor, "B K"]) -> UInt8[Tensor, "B H W"]:
    """The class of each pixel: 0 background, 1 to c a category, ``UNKNOWN`` another object, ``VOID``.

    ``classes`` has that of each id from 0 to ``MOST``, in their order.
    """
    table = torch.full((len(ids), 256), UNKNOWN, dtype=torch.uint8, device=ids.device)
    table[:, : classes.shape[1]] = classes
    table[:, VOID] = VOID
    return table.gather(1, ids.flatten(1).long()).view(ids.shape)
