"""The blocks of ResNets under torchvision's state-dict names, and how their batch norms are folded for test time."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness.ops.onednn import FusedConvolution


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, of which the first is dilated, and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries stride and dilation), 1x1, and a shortcut (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, 4 * width, stride)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


Block = type[BasicBlock] | type[Bottleneck]


def shortcut(channels: int, out: int, stride: int) -> nn.Sequential | None:
    """The downsample branch, only where shape or stride changes."""
    if channels == out and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


def stem() -> list[nn.Module]:
    """Convolution 7x7, batch norm, ReLU and maximum of 3x3: from three channels to 64, of stride 4."""
    return [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]


def layer(
    block: Block, channels: int, depth: int, width: int, stride: int, dilation: int = 1, *, contract: bool = False
) -> nn.Sequential:
    """``depth`` blocks from ``channels`` to ``width * block.expansion``; the first carries the stride.

    ``contract``: the first block has half of the dilation, as its input comes from a layer less dilated (as
    mmsegmentation's ``contract_dilation``, and torchvision where a dilation takes the place of a stride).
    """
    out = width * block.expansion
    first = max(dilation // 2, 1) if contract else dilation
    rest = [block(out, width, 1, dilation) for _ in range(depth - 1)]
    return nn.Sequential(block(channels, width, stride, first), *rest)


def fold_batch_norms(network: nn.Module) -> None:
    """Put every batch norm of blocks and shortcuts of ``network``, in evaluation mode, into its convolution."""
    for module in network.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            for index in (1, 2, 3):
                fold_pair(module, f"conv{index}", f"bn{index}")
            if module.downsample is not None:
                fold_pair(module.downsample, "0", "1")


def fold_pair(parent: nn.Module, convolution: str, norm: str) -> None:
    """Put the batch norm ``norm`` of ``parent`` into ``convolution``; nothing happens where there is none."""
    children = dict(parent.named_children())
    if not isinstance(children.get(norm), nn.BatchNorm2d):
        return
    fused = fuse_conv_bn_eval(cast(nn.Conv2d, children[convolution]), cast(nn.BatchNorm2d, children[norm]))
    parent.register_module(convolution, fused)
    parent.register_module(norm, nn.Identity())


class FusedBlock(nn.Module):
    """A basic block or bottleneck with folded batch norms, in as many operations as it has convolutions, on a CPU."""

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        convolutions = [block.conv1, block.conv2, *([block.conv3] if isinstance(block, Bottleneck) else [])]
        self.inner = nn.ModuleList(FusedConvolution.of(convolution) for convolution in convolutions[:-1])
        self.last = FusedConvolution.of(convolutions[-1])
        downsample = block.downsample
        self.downsample = None if downsample is None else FusedConvolution.of(cast(nn.Conv2d, downsample[0]))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = x
        for convolution in self.inner:
            y = convolution(y, clip=True)
        return cast(Tensor, self.last(y, x if self.downsample is None else self.downsample(x), clip=True))


def fuse_blocks(network: nn.Module) -> None:
    """Have each residual block of ``network``, whose batch norms are folded, add and clip in its convolutions."""
    for name, module in list(network.named_children()):
        if isinstance(module, BasicBlock | Bottleneck):
            setattr(network, name, FusedBlock(module))
        else:
            fuse_blocks(module)
