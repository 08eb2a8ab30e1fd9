"""The appearance model: a U-Net with a ResNet-18 encoder, untrained, one class an object and one for background.

Zhu et al. 2020, section 4.1: "a U-Net with ResNet-18 backbone", trained from scratch for each video. Widths of the
decoder are open in the paper; they are chosen here (14.33 M parameters with two classes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models.resnet import BasicBlock, layer

RESNET_WIDTH = 64
"""Channels of the first stage of ResNet-18; each later stage has twice as many (He et al. 2016, table 1)."""


class UpBlock(nn.Module):
    """Twice the size by nearest neighbour, the encoder's features of that size beside it, two convolutions."""

    def __init__(self, channels: int, skipped: int, width: int) -> None:
        super().__init__()
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.convolve = nn.Sequential(*convolution(channels + skipped, width), *convolution(width, width))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.enlarge(x)
        return self.convolve(x if skip is None else torch.cat([x, skip], dim=1))


def convolution(channels: int, width: int) -> tuple[nn.Module, ...]:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


class UNet(nn.Module):
    """Images (B, 3, h, w), ImageNet-normalised RGB, to logits (B, K, h, w); h and w are multiples of 32.

    ``width`` is that of the first stage: a multiple of 4.
    """

    def __init__(self, classes: int, width: int = RESNET_WIDTH) -> None:
        super().__init__()
        down = (width, 2 * width, 4 * width, 8 * width)
        up = (4 * width, 2 * width, width, width // 2, width // 4)  # the paper names none
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList(
            layer(BasicBlock, channels, 2, out, stride)
            for channels, out, stride in zip((width, *down[:-1]), down, (1, 2, 2, 2), strict=True)
        )
        skips = (*reversed(down[:-1]), width, 0)  # stages 3, 2, 1, the stem, nothing
        self.ups = nn.ModuleList(
            UpBlock(channels, skipped, out)
            for channels, skipped, out in zip((down[-1], *up[:-1]), skips, up, strict=True)
        )
        self.head = nn.Conv2d(up[-1], classes, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        skips: list[Tensor | None] = [None, self.stem(images)]  # (B, 64, h/2, w/2)
        x = self.pool(skips[-1])
        for stage in self.stages:
            x = stage(x)
            skips.append(x)  # (B, C, h/4 ... h/32, ...)
        skips.pop()  # the last is where the way up begins
        for up in self.ups:
            x = up(x, skips.pop())
        logits: Tensor = self.head(x)  # (B, K, h, w)
        return logits

    def widen(self, classes: int, generator: torch.Generator) -> None:
        """Have ``classes`` classes; the ones there were keep their weights, new ones are drawn."""
        old = self.head
        new = nn.Conv2d(old.in_channels, classes, 3, 1, 1, device="meta").to_empty(device="cpu")
        draw(new, generator)
        new = new.to(device=old.weight.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            assert old.bias is not None
            assert new.bias is not None
            new.weight[: old.out_channels] = old.weight
            new.bias[: old.out_channels] = old.bias
        self.head = new


def draw_untrained(classes: int, generator: torch.Generator, width: int = RESNET_WIDTH) -> UNet:
    """A U-Net on the CPU drawn from ``generator`` and nothing else: torch's own generator stays as it is."""
    with torch.device("meta"):
        network = UNet(classes, width)
    network = network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            draw(module, generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return network


def draw(convolution: nn.Conv2d, generator: torch.Generator) -> None:
    """Fill a convolution on the CPU: He-normal by fan-out, as ResNet's; no bias."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
