"""The appearance model: a U-Net with a ResNet-18 encoder, untrained, one class an object and one for background.

Zhu et al. 2020, section 4.1: "a U-Net with ResNet-18 backbone", trained from scratch for each video. Widths of the
decoder are open in the paper; they are chosen here (14.33 M parameters with two classes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models.resnet import BasicBlock, layer, stem

ENCODER = (64, 128, 256, 512)  # ResNet-18, He et al. 2016, table 1
DECODER = (256, 128, 64, 32, 16)  # chosen: the paper names none


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
    """Images (B, 3, h, w), ImageNet-normalised RGB, to logits (B, K, h, w); h and w are multiples of 32."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        *first, self.pool = stem()
        self.stem = nn.Sequential(*first)
        self.stages = nn.ModuleList(
            layer(BasicBlock, channels, 2, width, stride)
            for channels, width, stride in zip((64, *ENCODER[:-1]), ENCODER, (1, 2, 2, 2), strict=True)
        )
        skips = (*reversed(ENCODER[:-1]), 64, 0)  # stages 3, 2, 1, the stem, nothing
        self.ups = nn.ModuleList(
            UpBlock(channels, skipped, width)
            for channels, skipped, width in zip((ENCODER[-1], *DECODER[:-1]), skips, DECODER, strict=True)
        )
        self.head = nn.Conv2d(DECODER[-1], classes, 3, 1, 1)

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
        old, new = self.head, nn.Conv2d(DECODER[-1], classes, 3, 1, 1, device="meta").to_empty(device="cpu")
        draw(new, generator)
        new = new.to(device=old.weight.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            assert old.bias is not None
            assert new.bias is not None
            new.weight[: old.out_channels] = old.weight
            new.bias[: old.out_channels] = old.bias
        self.head = new


def untrained(classes: int, generator: torch.Generator) -> UNet:
    """A U-Net on the CPU drawn from ``generator`` and nothing else: torch's own generator stays as it is."""
    with torch.device("meta"):
        network = UNet(classes)
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
