"""Residual blocks whose convolutions add and clip, by cuDNN; those for a CPU are in ``harness.models.resnet``."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from harness.models.resnet import BasicBlock, Bottleneck


def fuse_activations(network: nn.Module) -> None:
    """Replace the blocks of ``network``, whose batch norms are folded; a stem of convolution and ReLU with them."""
    for name, module in list(network.named_children()):
        if isinstance(module, BasicBlock | Bottleneck):
            setattr(network, name, CudnnBlock(module))
        else:
            fuse_activations(module)
    if isinstance(network, nn.Sequential) and len(network) > 2 and is_stem(network):
        network[0], network[2] = ClippedConvolution(cast(nn.Conv2d, network[0])), nn.Identity()


def is_stem(network: nn.Sequential) -> bool:
    """Whether it begins with a convolution, a folded batch norm and a ReLU."""
    kinds = nn.Conv2d, nn.Identity, nn.ReLU
    return all(isinstance(module, kind) for module, kind in zip(network, kinds, strict=False))


class ClippedConvolution(nn.Module):
    """A convolution and its ReLU as one operation."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        conv = self.convolution
        padding = cast(tuple[int, ...], conv.padding)
        return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)


class CudnnBlock(nn.Module):
    """A basic block or a bottleneck in as many operations as it has convolutions."""

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        convolutions = [block.conv1, block.conv2, *([block.conv3] if isinstance(block, Bottleneck) else [])]
        self.inner = nn.Sequential(*map(ClippedConvolution, convolutions[:-1]))
        self.last = convolutions[-1]
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        conv = self.last
        return torch.cudnn_convolution_add_relu(
            self.inner(x),
            conv.weight,
            shortcut,
            1.0,
            conv.bias,
            conv.stride,
            cast(tuple[int, ...], conv.padding),
            conv.dilation,
            conv.groups,
        )
