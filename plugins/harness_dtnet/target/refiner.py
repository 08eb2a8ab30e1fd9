"""From a target's coarse scores to its mask: a decoder that learnt, after FRTM (Robinson et al. 2020, section 3.3).

The levels are those of T-Net's trunk, strides 16, 8 and 4 (FRTM has stride 32 too, which T-Net does without).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness.models.aspp import convolution
from harness_dtnet.discovery.heads import enlarge, fold_sequences


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.Sequential(convolution(channels, channels, 3), last)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        return functional.relu(x + self.body(x))


class Level(nn.Module):
    """One map of the trunk and the scores on it, and what the deeper level made of them."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = convolution(channels, width, 1)
        self.mix = nn.Sequential(
            convolution(width + 1, width, 3), convolution(width, width, 3), convolution(width, width, 3)
        )
        self.before, self.after = Residual(width), Residual(width)
        self.attention = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width), nn.Sigmoid())

    def forward(
        self, features: Float[Tensor, "B D h w"], scores: Float[Tensor, "N 1 i j"], deeper: Tensor | None
    ) -> Float[Tensor, "N C h w"]:
        """``features`` are one map for all targets, or one each."""
        reduced = cast(Tensor, self.reduce(features)).expand(len(scores), -1, -1, -1)
        x = self.before(self.mix(torch.cat([reduced, enlarge(scores, features)], 1)))
        if deeper is not None:
            deeper = enlarge(deeper, features)
            share = self.attention(torch.cat([x.mean((2, 3)), deeper.mean((2, 3))], 1))  # (N, C)
            x = share[..., None, None] * x + deeper
        return cast(Tensor, self.after(x))


class Refiner(nn.Module):
    """Coarse scores and the trunk's maps (B, D, i, j), of strides 4, 8 and 16, to logits of a mask at stride 4."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([Level(each, width) for each in channels])
        self.answer = nn.Sequential(convolution(width, width // 2, 3), nn.Conv2d(width // 2, 1, 3, padding=1))

    def forward(self, scores: Float[Tensor, "N h w"], maps: Sequence[Tensor]) -> Float[Tensor, "N I J"]:
        coarse, x = scores[:, None], None
        for level, features in zip(reversed(self.levels), reversed(maps), strict=True):
            x = level(features, coarse, x)
        return cast(Tensor, self.answer(x))[:, 0]

    def fold(self) -> None:
        """Put batch norms into convolutions, for test time."""
        fold_sequences(self)
