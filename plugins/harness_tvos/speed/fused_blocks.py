"""How a network lies on a device at test time, and residual blocks whose convolutions add and clip (cuDNN)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from harness.models.resnet import BasicBlock, Bottleneck


def layout_for(device: str | torch.device, dtype: torch.dtype, *, tf32: bool) -> torch.memory_format:
    """Channels last; channels first where fp32 must not be rounded to TF32 on CUDA.

    There cuDNN takes 12.5 ms channels last and 3.5 first for ResNet-18 at 480p, 16.1 and 8.5 for ResNet-50, and 2.4 GiB
    against .2 (H200, cuDNN 9.19, 2026-11-28).
    """
    is_exact = torch.device(device).type == "cuda" and dtype == torch.float32 and not tf32
    return torch.contiguous_format if is_exact else torch.channels_last


def fuse_activations(network: nn.Module) -> None:
    """Replace the blocks of ``network``, whose batch norms are folded; a stem of convolution and ReLU with them."""
    for name, module in list(network.named_children()):
        if isinstance(module, BasicBlock | Bottleneck):
            setattr(network, name, FusedBlock(module))
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


class FusedBlock(nn.Module):
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
