"""Local attention as the official code computes it: every window written out, softmaxed and summed; slow and simple.

Each pixel of the target looks at (2r + 1)^2 positions of each reference, around itself or around an offset of its own.
One softmax goes over the positions of all references. A position outside the frame keeps its place in the softmax with
logit 0 and value 0 (MAST@a57b043, models/colorizer.py), so at borders the values of a pixel sum to less than 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Offsets = Sequence[Float[Tensor, "h w 2"] | None]
"""Of each reference: None where windows are centred on the pixel, else (dy, dx) from each pixel to its own centre."""


def attend_plain(
    query: Float[Tensor, "h w C"],
    keys: Float[Tensor, "S h w C"],
    values: Float[Tensor, "S K h w"],
    slots: Sequence[int],
    *,
    offsets: Offsets | None = None,
    value_offsets: Offsets | None = None,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "K h w"]:
    """Values of each target pixel; holds the windows of one reference's features at once (4 GB at 480p)."""
    offsets = [None] * len(slots) if offsets is None else offsets
    value_offsets = offsets if value_offsets is None else value_offsets
    target = query.to(values.dtype).permute(2, 0, 1) * temperature
    logits = [
        _products(target, windows(keys[slot].to(values.dtype).permute(2, 0, 1), offset, radius))
        for slot, offset in zip(slots, offsets, strict=True)
    ]
    weights = torch.cat(logits).softmax(0).split(len(logits[0]))
    sums = torch.zeros_like(values[0])
    for weight, slot, offset in zip(weights, slots, value_offsets, strict=True):
        sums += (weight * windows(values[slot], offset, radius)).sum(1)
    return sums


def coarse_offsets_plain(
    query: Float[Tensor, "h w C"],
    key: Float[Tensor, "h w C"],
    *,
    dilation: int,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "h w 2"]:
    """Expected (dy, dx) of each target pixel in one reference, searched in steps of ``dilation`` pixels."""
    found = windows(key.permute(2, 0, 1), None, radius, dilation=dilation)
    weights = _products(query.permute(2, 0, 1) * temperature, found).softmax(0)
    return torch.einsum("nhw,nd->hwd", weights, steps(radius, like=query)) * dilation


def _products(target: Float[Tensor, "C h w"], found: Float[Tensor, "C n h w"]) -> Float[Tensor, "n h w"]:
    """<target, each position of its window>, channel by channel (30 times faster than the same einsum)."""
    products = torch.zeros_like(found[0])
    for one, other in zip(target, found, strict=True):
        products.addcmul_(one, other)
    return products


def windows(
    frame: Float[Tensor, "C h w"], offset: Float[Tensor, "h w 2"] | None, radius: int, *, dilation: int = 1
) -> Float[Tensor, "C n h w"]:
    """The n = (2r + 1)^2 positions around each pixel, or around pixel + offset, sampled bilinearly; 0 outside."""
    channels, height, width = frame.shape
    if offset is None:
        side = 2 * radius + 1
        unfolded = functional.unfold(frame[None], side, dilation=dilation, padding=radius * dilation)
        return unfolded.view(channels, side * side, height, width)
    centre = pixels(height, width, like=offset) + offset
    position = centre + dilation * steps(radius, like=offset)[:, None, None]  # (n, h, w, 2)
    # In pixels of the grid, as align_corners=True has them (the default in torch <= 1.2, which MAST was written for;
    # unpatched on later versions it samples elsewhere). Written so that one row or column divides by no 0.
    y, x = ((2 * axis + 1) / size - 1 for axis, size in zip(position.unbind(-1), (height, width), strict=True))
    grid = torch.stack([x, y], -1).flatten(0, 1).to(frame.dtype)
    sampled = functional.grid_sample(frame[None], grid[None], padding_mode="zeros", align_corners=False)
    return sampled.view(channels, -1, height, width)


def pixels(height: int, width: int, *, like: Float[Tensor, "..."]) -> Float[Tensor, "{height} {width} 2"]:
    """(y, x) of every pixel."""
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)


def steps(radius: int, *, like: Float[Tensor, "..."]) -> Float[Tensor, "n 2"]:
    """(dy, dx) of every position of a window, row by row."""
    return pixels(2 * radius + 1, 2 * radius + 1, like=like).flatten(0, 1) - radius


def first_pixels(
    centre: Float[Tensor, "*shape 2"], radius: int, size: tuple[int, int]
) -> tuple[Int[Tensor, "*shape 2"], Float[Tensor, "*shape 2"]]:
    """First pixel of each window and the share of the next one; windows wholly outside are moved to the edge.

    A centre that is not a number keeps its fraction, and so makes the pixel's values not a number either.
    """
    whole = centre.floor()
    fraction = centre - whole
    outside = 2 * radius + 2
    top, left = (
        (axis.nan_to_num(0.0) - radius).clamp(-outside, limit)
        for axis, limit in zip(whole.unbind(-1), size, strict=True)
    )
    return torch.stack([top, left], -1).long(), fraction
