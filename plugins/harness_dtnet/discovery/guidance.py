"""Segmentation guidance: features of the frame before and its mask, mixed in channel by channel (eq. 1 to 7)."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_dtnet.kernels import gate


class GuidanceGate(nn.Module):
    """F_SGM: two descriptors of C channels decide for each channel how much of either map is taken.

    The hidden layer has C / 2 units (ours: the paper gives no size).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Linear(2 * channels, channels // 2), nn.ReLU(), nn.Linear(channels // 2, 2 * channels)
        )

    def forward(
        self, own: Float[Tensor, "B C h w"], guidance: Float[Tensor, "B C h w"], squeezed: Float[Tensor, "B E"]
    ) -> Float[Tensor, "B C h w"]:
        logits = cast(Tensor, self.excite(squeezed)).unflatten(1, (2, -1))  # (B, 2, C)
        return gate(own, guidance, logits)


def squeeze(first: Float[Tensor, "B C h w"], second: Float[Tensor, "B C h w"]) -> Float[Tensor, "B E"]:
    """F_SQ of two maps, put together: the mean of every channel."""
    return torch.cat([first.mean((2, 3)), second.mean((2, 3))], 1)
