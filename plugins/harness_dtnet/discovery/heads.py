"""The decoders of D-Net: from task features at stride 16, by way of maps of strides 8 and 4, to answers at stride 4."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness.models.aspp import convolution

REDUCED = (64, 32)
"""Channels that the maps of strides 8 and 4 come in with. Panoptic-DeepLab (the paper says nothing of a reduction)."""


class SeparableConvolution(nn.Sequential):
    """5 x 5 for each channel, then 1 x 1, each with batch norm and ReLU (Panoptic-DeepLab; paper: "5 x 5")."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )


class Decoder(nn.Module):
    """Up by 2, beside res3, a 5 x 5; up by 2, beside res2, two 5 x 5 and a 1 x 1."""

    def __init__(self, channels: int, eighth: int, quarter: int, width: int, out: int) -> None:
        super().__init__()
        self.reduce_eighth = convolution(eighth, REDUCED[0], 1)
        self.reduce_quarter = convolution(quarter, REDUCED[1], 1)
        self.mix_eighth = SeparableConvolution(channels + REDUCED[0], width)
        self.mix_quarter = nn.Sequential(
            SeparableConvolution(width + REDUCED[1], width), SeparableConvolution(width, width)
        )
        self.answer = nn.Conv2d(width, out, 1)

    def forward(
        self, x: Float[Tensor, "B C h w"], eighth: Float[Tensor, "B D H W"], quarter: Float[Tensor, "B E I J"]
    ) -> Float[Tensor, "B O I J"]:
        x = self.mix_eighth(torch.cat([enlarge(x, eighth), self.reduce_eighth(eighth)], 1))
        x = self.mix_quarter(torch.cat([enlarge(x, quarter), self.reduce_quarter(quarter)], 1))
        return cast(Tensor, self.answer(x))


def enlarge(x: Float[Tensor, "B C h w"], like: Tensor) -> Float[Tensor, "B C H W"]:
    """Bilinearly to the size of another map."""
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def fold_sequences(network: nn.Module) -> None:
    """Put every batch norm that follows a convolution in a sequence, in evaluation mode, into that convolution."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for place in range(1, len(module)):
            norm, before = module[place], module[place - 1]
            if isinstance(norm, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                module[place - 1] = fuse_conv_bn_eval(before, norm)
                module[place] = nn.Identity()
