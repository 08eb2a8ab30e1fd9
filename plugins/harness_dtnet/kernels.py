"""The hot functions of dtnet: the fit of target models, grouping pixels by centre, the gate of the guidance module.

Each has its plain form: double backward, all distances at once, the printed sum of two products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from harness import kernel
from harness.api.timing import Example
from harness_dtnet.target.bilinear import Bilinear
from harness_dtnet.target.gauss_newton import Penalty, fit
from harness_dtnet.target.importance import pixel_importance
from harness_dtnet.target.plain import fit_plain

# Targets, samples, channels, projected channels, grid, labels; the last is the paper's size.
FITS = ((2, 2, 16, 4, (6, 7), (48, 57)), (1, 5, 1024, 96, (30, 30), (473, 473)))
GROUPS = ((24, 32, 3), (480, 854, 20))  # rows, columns, centres
GATES = ((16, (6, 8)), (256, (30, 54)))  # channels, grid


def fit_examples(device: str) -> list[Example]:
    """Features that never are below 0, one box a target, and a few steps: rounding then stays far from the answer."""
    return [_fit_example(device, *size) for size in FITS]


def _fit_example(
    device: str, targets: int, samples: int, depth: int, channels: int, grid: tuple[int, int], size: tuple[int, int]
) -> Example:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(targets, depth, samples, *grid, generator=generator).relu()
    labels = torch.zeros(targets, samples, *size)
    for target in range(targets):
        for sample in range(samples):
            top, left = size[0] // 4 + 3 * sample, size[1] // 3 + 2 * target
            labels[target, sample, top : top + size[0] // 3, left : left + size[1] // 4] = 1
    first = torch.randn(targets, channels, depth, generator=generator) / depth**0.5
    second = torch.randn(targets, channels, 9, generator=generator) / (9 * channels) ** 0.5
    given = (features, labels, pixel_importance(labels) / samples, first, second)
    return Example(
        name=f"{targets} targets, {samples} samples, {depth} to {channels} channels on {grid[0]}x{grid[1]}",
        args=tuple(tensor.to(device) for tensor in given),
        kwargs={"iterations": (2, 3), "penalty": Penalty()},
        rounded=(),  # least squares: in halves there would be nothing left to compare
    )


def fit_work(features: Tensor, labels: Tensor, *weights: Any, iterations: Sequence[int], **_: Any) -> float:
    """Multiply-adds of products with features and of stencils, counted twice; labels come in once."""
    targets, depth, samples, h, w = features.shape
    channels, cells = weights[1].shape[1], samples * h * w
    turns = sum(iterations) + len(iterations)
    step = 2 * 9 * cells * (depth + channels) + 2 * 9 * depth * channels + 3 * 9 * cells
    begun = len(iterations) * channels * depth * cells
    return 2.0 * targets * (turns * step + begun + 4 * samples * labels.shape[-1] * labels.shape[-2] * 3 * h)


def fit_traffic(features: Tensor, labels: Tensor, *weights: Any, iterations: Sequence[int], **_: Any) -> float:
    """Features are read twice in every step of conjugate gradient, labels and their importance once."""
    turns = sum(iterations) + len(iterations)
    return 4.0 * (2 * turns * features.numel() + 2 * labels.numel())


@kernel(example=fit_examples, reference=fit_plain, flops=fit_work, bytes=fit_traffic, tolerance=1e-3)
def fit_targets(
    features: Float[Tensor, "N D K h w"],
    labels: Float[Tensor, "N K H W"],
    importance: Float[Tensor, "N K H W"],
    w1: Float[Tensor, "N C D"],
    w2: Float[Tensor, "N C 9"],
    *,
    iterations: Sequence[int],
    penalty: Penalty,
) -> tuple[Float[Tensor, "N C D"], Float[Tensor, "N C 9"]]:
    """Both filters of N targets fitted to K samples each (eq. 9); ``importance`` is V^2 with samples' weights in it."""
    bilinear = Bilinear((features.shape[3], features.shape[4]), (labels.shape[2], labels.shape[3]), features)
    stencil = bilinear.stencil(importance).transpose(1, 2).contiguous()  # (N, 9, K, h, w)
    target = bilinear.down(importance * labels)
    return fit(features, stencil, target, w1, w2, iterations, penalty)


def group_examples(device: str) -> list[Example]:
    """Offsets that lead near the nearest centre, with noise, and a foreground of half of the pixels."""
    return [_group_example(device, *size) for size in GROUPS]


def _group_example(device: str, height: int, width: int, count: int) -> Example:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([height, width])
    offsets = 0.1 * height * torch.randn(2, height, width, generator=generator)
    foreground = torch.rand(height, width, generator=generator) > 0.5
    return Example(
        name=f"{height}x{width}, {count} centres",
        args=(foreground.to(device), offsets.to(device), centres.to(device)),
        rounded=(),
    )


def group_plain(
    foreground: Bool[Tensor, "H W"], offsets: Float[Tensor, "2 H W"], centres: Float[Tensor, "k 2"]
) -> UInt8[Tensor, "H W"]:
    """The printed form: every distance of every pixel."""
    if not len(centres):
        return torch.zeros_like(foreground, dtype=torch.uint8)
    rows, columns = (torch.arange(side, device=offsets.device, dtype=offsets.dtype) for side in foreground.shape)
    away_y = (rows[:, None] + offsets[0]) - centres[:, 0, None, None]  # (k, H, W)
    away_x = (columns + offsets[1]) - centres[:, 1, None, None]
    nearest = (away_y * away_y + away_x * away_x).min(0).indices
    return ((nearest + 1) * foreground).to(torch.uint8)


def group_work(foreground: Tensor, offsets: Tensor, centres: Tensor) -> float:
    """Six operations a pixel and centre."""
    return 6.0 * foreground.numel() * len(centres)


def group_traffic(foreground: Tensor, offsets: Tensor, centres: Tensor) -> float:
    """Foreground and offsets read once, ids written once."""
    return float(2 * foreground.numel() + offsets.numel() * offsets.element_size())


@kernel(example=group_examples, reference=group_plain, flops=group_work, bytes=group_traffic, tolerance=0.0)
def group_pixels(
    foreground: Bool[Tensor, "H W"], offsets: Float[Tensor, "2 H W"], centres: Float[Tensor, "k 2"]
) -> UInt8[Tensor, "H W"]:
    """For every foreground pixel 1 + the place of the centre nearest to where its offset (dy, dx) leads; else 0.

    The first of equals. At most 255 centres (rows, columns), in pixels like the offsets.
    """
    if foreground.is_cuda or not len(centres):
        return group_plain(foreground, offsets, centres)
    cells = foreground.flatten().nonzero()[:, 0]  # pixels of the foreground alone
    width = foreground.shape[1]
    y = (cells // width).to(offsets.dtype) + offsets[0].flatten()[cells]
    x = (cells % width).to(offsets.dtype) + offsets[1].flatten()[cells]
    best = torch.full_like(y, math.inf)
    nearest = torch.zeros_like(cells, dtype=torch.uint8)
    for place, (row, column) in enumerate(centres.tolist()):
        away_y, away_x = y - row, x - column
        distance = away_y * away_y + away_x * away_x
        is_nearer = distance < best
        nearest.masked_fill_(is_nearer, place + 1)
        best = torch.minimum(best, distance)
    grouped = torch.zeros(foreground.numel(), dtype=torch.uint8)
    grouped[cells] = nearest
    return grouped.view(foreground.shape)


def gate_examples(device: str) -> list[Example]:
    """Two maps and logits of both signs."""
    return [_gate_example(device, *size) for size in GATES]


def _gate_example(device: str, channels: int, grid: tuple[int, int]) -> Example:
    generator = torch.Generator().manual_seed(0)
    own, guidance = torch.randn(2, 1, channels, *grid, generator=generator)
    logits = torch.randn(1, 2, channels, generator=generator)
    return Example(
        name=f"{channels} channels on {grid[0]}x{grid[1]}", args=tuple(t.to(device) for t in (own, guidance, logits))
    )


def gate_plain(
    own: Float[Tensor, "B C h w"], guidance: Float[Tensor, "B C h w"], logits: Float[Tensor, "B 2 C"]
) -> Float[Tensor, "B C h w"]:
    """The printed form: alpha X + beta X^SGM, where a softmax makes alpha + beta = 1."""
    alpha, beta = logits.softmax(1)[..., None, None].unbind(1)
    return alpha * own + beta * guidance


def gate_work(own: Tensor, guidance: Tensor, logits: Tensor) -> float:
    """Three operations a value."""
    return 3.0 * own.numel()


def gate_traffic(own: Tensor, guidance: Tensor, logits: Tensor) -> float:
    """Both maps read once, one written."""
    return 3.0 * own.numel() * own.element_size()


@kernel(example=gate_examples, reference=gate_plain, flops=gate_work, bytes=gate_traffic, tolerance=1e-5)
def gate(
    own: Float[Tensor, "B C h w"], guidance: Float[Tensor, "B C h w"], logits: Float[Tensor, "B 2 C"]
) -> Float[Tensor, "B C h w"]:
    """Eq. 6 and 7 in one pass over the maps: from the guidance towards the own features by alpha."""
    alpha = (logits[:, 0] - logits[:, 1]).sigmoid()[..., None, None]  # a softmax of two
    return torch.lerp(guidance, own, alpha)
