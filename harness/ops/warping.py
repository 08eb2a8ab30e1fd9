"""Masks moved along optical flow: (2, H, W) is (dx, dy) in pixels, from a pixel to where it lies in the next frame."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

STEPS = 256
"""Shares of a pixel are whole 1/256ths: sums of whole numbers do not depend on their order, on any device."""


def warp_masks(masks: Bool[Tensor, "N H W"], flow: Float[Tensor, "2 h w"]) -> Bool[Tensor, "N H W"]:
    """Masks of the first frame as they lie in the second.

    Each pixel falls onto the four that it ends between, by bilinear shares; a pixel of the second frame is in a mask
    where more than half of what fell there is. Where nothing falls it is in none, and what leaves the frame, or flows
    to nowhere (NaN, infinite), is gone.
    """
    height, width = flow.shape[1:]
    if masks.shape[1:] != flow.shape[1:]:
        raise ValueError(f"found masks of {tuple(masks.shape[1:])}, flow of {(height, width)}; expected one size")
    fallen = flow.new_zeros(height * width, len(masks) + 1, dtype=torch.int32)  # the last column: all pixels
    moved = torch.cat([masks, masks.new_ones(1, height, width)]).flatten(1).t().to(torch.int32)  # (H*W, N + 1)
    for places, shares in _corners(flow):
        inside = shares > 0
        fallen.index_add_(0, places[inside], moved[inside] * shares[inside, None])
    in_mask = 2 * fallen[:, :-1] > fallen[:, -1:]
    return in_mask.t().reshape(len(masks), height, width)


def _corners(flow: Float[Tensor, "2 H W"]) -> list[tuple[Int[Tensor, " H*W"], Int[Tensor, " H*W"]]]:
    """The four pixels around each end of the flow, and their shares; 0 outside the frame."""
    height, width = flow.shape[1:]
    x = (torch.arange(width, device=flow.device) + flow[0].double()).flatten()
    y = (torch.arange(height, device=flow.device)[:, None] + flow[1].double()).flatten()
    is_somewhere = (x > -1) & (x < width) & (y > -1) & (y < height)  # False for NaN
    x, y = (torch.where(is_somewhere, axis, 0.0) for axis in (x, y))
    left, top = x.floor().long(), y.floor().long()
    across, down = ((STEPS * (axis - whole)).round().int() for axis, whole in ((x, left), (y, top)))
    found = []
    for row, share_y in ((top, STEPS - down), (top + 1, down)):
        for column, share_x in ((left, STEPS - across), (left + 1, across)):
            is_inside = is_somewhere & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            places = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            found.append((places, torch.where(is_inside, share_y * share_x, 0)))
    return found
