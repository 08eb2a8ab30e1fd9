"""Local attention to be trained through: scores of a window and sums over it, with gradients, no window of features.

Both are bilinear, so their gradients are again of the same three forms: ``_products`` (two frames to a window of
scores), ``_gather`` (each pixel sums its window) and ``_scatter`` (each pixel adds into its window).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def window_scores(
    q: Float[Tensor, "B C h w"], k: Float[Tensor, "B C h w"], radius: int, dilation: int = 1
) -> Float[Tensor, "B n h w"]:
    """<q at a pixel, k at each of the n = (2r + 1)^2 positions around it>, row by row; 0 outside the frame."""
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
        return _products(q, k, radius, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        q, k = ctx.saved_tensors
        of_q = _gather(grad, k, *ctx.window) if ctx.needs_input_grad[0] else None
        of_k = _scatter(grad, q, *ctx.window) if ctx.needs_input_grad[1] else None
        return of_q, of_k, None, None


class _WindowSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, radius: int, dilation: int) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.window = radius, dilation
        return _gather(weights, values, radius, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weights, values = ctx.saved_tensors
        of_weights = _products(grad, values, *ctx.window) if ctx.needs_input_grad[0] else None
        of_values = _scatter(weights, grad, *ctx.window) if ctx.needs_input_grad[1] else None
        return of_weights, of_values, None, None


def _products(
    q: Float[Tensor, "B C h w"], k: Float[Tensor, "B C h w"], radius: int, dilation: int
) -> Float[Tensor, "B n h w"]:
    scores = q.new_zeros(len(q), (2 * radius + 1) ** 2, *q.shape[2:])
    for n, here, there in _shifts(radius, dilation, *q.shape[2:]):
        scores[:, n][:, *here] = (q[:, :, *here] * k[:, :, *there]).sum(1)
    return scores


def _gather(
    weights: Float[Tensor, "B n h w"], values: Float[Tensor, "B K h w"], radius: int, dilation: int
) -> Float[Tensor, "B K h w"]:
    sums = torch.zeros_like(values)
    for n, here, there in _shifts(radius, dilation, *values.shape[2:]):
        sums[:, :, *here].addcmul_(weights[:, n, None][:, :, *here], values[:, :, *there])
    return sums


def _scatter(
    weights: Float[Tensor, "B n h w"], values: Float[Tensor, "B K h w"], radius: int, dilation: int
) -> Float[Tensor, "B K h w"]:
    sums = torch.zeros_like(values)
    for n, here, there in _shifts(radius, dilation, *values.shape[2:]):
        sums[:, :, *there].addcmul_(weights[:, n, None][:, :, *here], values[:, :, *here])
    return sums


def _shifts(
    radius: int, dilation: int, height: int, width: int
) -> Iterator[tuple[int, tuple[slice, slice], tuple[slice, slice]]]:
    """Of each position of the window: its number, the pixels that have it inside the frame, and where it is."""
    span = range(-radius * dilation, radius * dilation + 1, dilation)
    for n, (dy, dx) in enumerate((dy, dx) for dy in span for dx in span):
        if abs(dy) < height and abs(dx) < width:
            here = slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
            there = slice(max(dy, 0), height - max(-dy, 0)), slice(max(dx, 0), width - max(-dx, 0))
            yield n, here, there
