"""Short-term granularity: a patch followed two frames on and back has to end where it began (eq. 3 to 5).

A patch of k x k cells is said to be at the cell whose upper left corner is its centre: at (i, j) it covers the rows
from i - k // 2 on. Peaks and crops have no gradient; it flows through the last correlation alone, as in UDT.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_mug.kernels import correlate

Embed = Callable[[Tensor], Tensor]
ROUTE = (1, 2, 1, 0)
"""Frames that the patch of frame 0 is looked for in, one after the other."""


def respond(
    patch: Float[Tensor, "B C k k"], features: Float[Tensor, "B C h w"], bias: Float[Tensor, ""]
) -> Float[Tensor, "B h w"]:
    """S of eq. 3 and 4: the correlation, scaled so that the sigmoid is not full at once, with a learnt bias (ours)."""
    return (correlate(patch, features) + bias).sigmoid()


def gaussian(centres: Int[Tensor, "B 2"], size: tuple[int, int], deviation: float) -> Float[Tensor, "B h w"]:
    """G of eq. 5: 1 at the centre (row, column) of each, and of so many cells of standard deviation."""
    rows, columns = (torch.arange(side, device=centres.device, dtype=torch.float32) for side in size)
    away = (rows[None, :, None] - centres[:, 0, None, None]) ** 2 + (columns - centres[:, 1, None, None]) ** 2
    return torch.exp(-away / (2 * deviation**2))


def find_peaks(response: Float[Tensor, "B h w"], side: int) -> Int[Tensor, "B 2"]:
    """The cell (row, column) of the highest response of each, among those whose patch of ``side`` cells fits."""
    height, width = response.shape[1:]
    before = side // 2
    inside = response[:, before : height - side + before + 1, before : width - side + before + 1]
    best = inside.flatten(1).argmax(1)
    return torch.stack([best // inside.shape[2], best % inside.shape[2]], 1) + before


def crop(
    images: Float[Tensor, "B 3 H W"], centres: Int[Tensor, "B 2"], side: int, stride: int
) -> Float[Tensor, "B 3 s s"]:
    """Patches of ``side`` cells around the centres (row, column) in cells."""
    corners = (centres - side // 2) * stride
    pixels = torch.arange(side * stride, device=images.device)
    rows, columns = (corners[:, axis, None] + pixels for axis in (0, 1))
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.movedim(1, -1)[batch, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def follow(
    images: Float[Tensor, "B F 3 H W"],
    features: Float[Tensor, "B F C h w"],
    start: Int[Tensor, "B 2"],
    embed: Embed,
    bias: Float[Tensor, ""],
    *,
    side: int,
    stride: int,
) -> tuple[Float[Tensor, "B h w"], Int[Tensor, "B 2"]]:
    """The last response, that of the first frame to the patch that was followed back, and where its peak is.

    ``embed`` gives the features of patches (B, 3, s, s) as (B, C, k, k).
    """
    where, at = start, 0
    for place in ROUTE:
        is_last = place == ROUTE[-1]
        with torch.set_grad_enabled(is_last and torch.is_grad_enabled()):
            patch = embed(crop(images[:, at], where, side, stride))
            response = respond(patch, features[:, place], bias)
            where, at = find_peaks(response.detach(), side), place
    return response, where


def short_loss(response: Float[Tensor, "B h w"], start: Int[Tensor, "B 2"], deviation: float) -> Float[Tensor, ""]:
    """Eq. 5, divided by the number of cells."""
    return (response - gaussian(start, (response.shape[1], response.shape[2]), deviation)).square().mean()
