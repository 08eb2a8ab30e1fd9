"""Atrous spatial pyramid pooling (Chen et al. 2017, DeepLabv3), under torchvision's state-dict names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness.models.resnet import fold_pair


class Pooled(nn.Sequential):
    """The mean of the whole map through a 1x1 convolution, laid on every cell."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return cast(Tensor, super().forward(x)).expand(-1, -1, *x.shape[-2:])


class ASPP(nn.Module):
    """A map seen at several scales: 1x1, a 3x3 for each of ``rates``, and the mean; put together by a 1x1.

    DeepLabv3 drops half of the answer's values while learning: ``dropout``. Batch norms need two images or more in
    train mode, as the mean is one cell.
    """

    def __init__(
        self, channels: int, rates: Sequence[int] = (12, 24, 36), out: int = 256, dropout: float = 0.5
    ) -> None:
        super().__init__()
        spread = [convolution(channels, out, 3, rate) for rate in rates]
        self.convs = nn.ModuleList([convolution(channels, out, 1), *spread, Pooled(channels, out)])
        self.project = nn.Sequential(*convolution(out * len(self.convs), out, 1), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return cast(Tensor, self.project(torch.cat([part(x) for part in self.convs], 1)))


def convolution(channels: int, out: int, kernel: int, rate: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the map keeps its size."""
    padding = rate * (kernel // 2)
    made = nn.Conv2d(channels, out, kernel, 1, padding, rate, bias=False)
    return nn.Sequential(made, nn.BatchNorm2d(out), nn.ReLU())


def fold_aspp(network: ASPP) -> None:
    """Put every batch norm of a pyramid in evaluation mode into its convolution."""
    for part in (*network.convs, network.project):
        first = 1 if isinstance(part, Pooled) else 0
        fold_pair(part, str(first), str(first + 1))
