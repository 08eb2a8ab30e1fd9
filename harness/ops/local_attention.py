"""Local attention to be trained through: scores of a window and sums over it, with gradients, no window of features.

Both are bilinear, so their gradients are again of the same three forms: ``_products`` (two frames give a window of
scores), ``_gather`` (each pixel sums its window) and ``_scatter`` (each pixel adds into its window). Each is a batch of
matrix products: a tile of 8 x 8 pixels with the (8 + 2r)^2 pixels that its windows cover. The windows are a diagonal
band of these small matrices, read and written as a strided view. CPU and CUDA take the same road.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

TILE = 8
"""Side of a tile. With radius 6 (12), 42 % (61 %) of the products are used, and they are large enough to be fast."""


def window_scores(
    q: Float[Tensor, "B C h w"], k: Float[Tensor, "B C h w"], radius: int, dilation: int = 1
) -> Float[Tensor, "B n h w"]:
    """<q at a pixel, k at each of the n = (2r + 1)^2 positions around it>, row by row; 0 outside the frame.

    Also under autocast the arithmetic is in the dtype of the arguments.
    """
    return _WindowScores.apply(q, k, radius, dilation)


def window_sum(
    weights: Float[Tensor, "B n h w"], values: Float[Tensor, "B K h w"], radius: int, dilation: int = 1
) -> Float[Tensor, "B K h w"]:
    """Each pixel's weighted sum of the values at the n positions around it; values are 0 outside the frame."""
    return _WindowSum.apply(weights, values, radius, dilation)


class _WindowScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, radius: int, dilation: int) -> Tensor:
        ctx.save_for_backward(q, k)
        ctx.window = radius, dilation
        return _by_phase(_products, q, k, (2 * radius + 1) ** 2, radius, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        q, k = ctx.saved_tensors
        channels = q.shape[1]
        of_q = _by_phase(_gather, grad, k, channels, *ctx.window).to(q.dtype) if ctx.needs_input_grad[0] else None
        of_k = _by_phase(_scatter, grad, q, channels, *ctx.window).to(k.dtype) if ctx.needs_input_grad[1] else None
        return of_q, of_k, None, None


class _WindowSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, radius: int, dilation: int) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.window = radius, dilation
        return _by_phase(_gather, weights, values, values.shape[1], radius, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weights, values = ctx.saved_tensors
        places, classes = weights.shape[1], values.shape[1]
        of_weights, of_values = None, None
        if ctx.needs_input_grad[0]:
            of_weights = _by_phase(_products, grad, values, places, *ctx.window).to(weights.dtype)
        if ctx.needs_input_grad[1]:
            of_values = _by_phase(_scatter, weights, grad, classes, *ctx.window).to(values.dtype)
        return of_weights, of_values, None, None


def _by_phase(
    form: Callable[[Tensor, Tensor, int], Tensor],
    first: Float[Tensor, "B D h w"],
    second: Float[Tensor, "B E h w"],
    channels: int,
    radius: int,
    dilation: int,
) -> Float[Tensor, "B {channels} h w"]:
    """Apply ``form`` to each item, and to each of the dilation^2 sub-grids within which windows are dense."""
    dtype = torch.promote_types(first.dtype, second.dtype)
    made = first.new_empty(len(first), channels, *first.shape[2:], dtype=dtype)
    with torch.autocast(first.device.type, enabled=False):
        for one, other, out in zip(first.to(dtype), second.to(dtype), made, strict=True):
            for top in range(min(dilation, out.shape[1])):
                for left in range(min(dilation, out.shape[2])):
                    phase = (slice(None), slice(top, None, dilation), slice(left, None, dilation))
                    out[phase] = form(one[phase], other[phase], radius)
    return made


def _products(q: Float[Tensor, "C h w"], k: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "n h w"]:
    side = 2 * radius + 1
    near = _tiles(q) @ _regions(k, radius)  # (T, 64, (8 + 2r)^2)
    window = _band(near, radius).reshape(len(near), TILE * TILE, side * side)
    return _frame(window, *q.shape[1:])


def _gather(weights: Float[Tensor, "n h w"], values: Float[Tensor, "K h w"], radius: int) -> Float[Tensor, "K h w"]:
    sums = _near(weights, radius) @ _regions(values, radius).transpose(1, 2)  # (T, 64, K)
    return _frame(sums, *values.shape[1:])


def _scatter(weights: Float[Tensor, "n h w"], values: Float[Tensor, "K h w"], radius: int) -> Float[Tensor, "K h w"]:
    height, width = values.shape[1:]
    down, across = _tile_counts(height, width)
    parts = _tiles(values).transpose(1, 2) @ _near(weights, radius)  # (T, K, (8 + 2r)^2)
    size = down * TILE + 2 * radius, across * TILE + 2 * radius
    added = functional.fold(parts.flatten(1).t()[None], size, TILE + 2 * radius, stride=TILE)
    return added[0, :, radius : radius + height, radius : radius + width]


def _tile_counts(height: int, width: int) -> tuple[int, int]:
    return -(-height // TILE), -(-width // TILE)


def _tiles(frame: Float[Tensor, "C h w"]) -> Float[Tensor, "T p C"]:
    """The pixels of each tile (p = 64); the last row and column of tiles are filled up with zeros."""
    height, width = frame.shape[1:]
    down, across = _tile_counts(height, width)
    filled = functional.pad(frame, (0, across * TILE - width, 0, down * TILE - height))
    tiles = filled.view(-1, down, TILE, across, TILE).permute(1, 3, 2, 4, 0)
    return tiles.reshape(down * across, TILE * TILE, -1)


def _frame(tiles: Float[Tensor, "T p C"], height: int, width: int) -> Float[Tensor, "C {height} {width}"]:
    """What ``_tiles`` was made of."""
    down, across = _tile_counts(height, width)
    filled = tiles.view(down, across, TILE, TILE, -1).permute(4, 0, 2, 1, 3).reshape(-1, down * TILE, across * TILE)
    return filled[:, :height, :width]


def _regions(frame: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "T C m"]:
    """The m = (8 + 2r)^2 pixels that the windows of each tile cover; zeros outside the frame."""
    channels, height, width = frame.shape
    down, across = _tile_counts(height, width)
    fill = (radius, radius + across * TILE - width, radius, radius + down * TILE - height)
    reach = TILE + 2 * radius
    regions = functional.pad(frame, fill).unfold(1, reach, TILE).unfold(2, reach, TILE)  # (C, down, across, m, m)
    return regions.permute(1, 2, 0, 3, 4).reshape(down * across, channels, reach * reach)


def _near(weights: Float[Tensor, "n h w"], radius: int) -> Float[Tensor, "T p m"]:
    """The weights of each tile's pixels for each pixel of its region; 0 where that is in no window."""
    tiles = _tiles(weights)
    near = weights.new_zeros(len(tiles), TILE * TILE, (TILE + 2 * radius) ** 2)
    band = _band(near, radius)
    band.copy_(tiles.view(band.shape))
    return near


def _band(near: Float[Tensor, "T p m"], radius: int) -> Float[Tensor, "T y x i j"]:
    """A view: of pixel (y, x) of each tile, the window's position (i, j) is pixel (y + i, x + j) of the region."""
    side, reach = 2 * radius + 1, TILE + 2 * radius
    strides = (TILE * reach**2 + reach, reach**2 + 1, reach, 1)
    return near.as_strided((len(near), TILE, TILE, side, side), (near.stride(0), *strides))
