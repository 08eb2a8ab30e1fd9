"""The TVOS embedding network: a ResNet of stride 8 under the official state-dict names, and how its weights load.

Zhang et al. 2020 say "ResNet-50 with strides 1 in layers 3 and 4". The released code (microsoft/transductive-vos at
1312e43) also narrows layer 4 to width 256, gives it no downsample branch and never initialises it from ImageNet.
That is what is built here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness import DataError
from harness.api.records import Precision
from harness.models.checkpoints import load_strictly, read_state, refuse_other_names
from harness.models.efficientnet_lite import fold_lite_norms
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness.models.resnet import BasicBlock, Block, Bottleneck, fold_batch_norms, fold_pair, fuse_blocks, layer, stem
from harness.ops.onednn import FusedConvolution
from harness_tvos.speed.fused_blocks import fuse_activations
from harness_tvos.variants.lite import LiteNetwork, is_lite, lite_network_of

Architecture = Literal["r18", "r50", "r101"]
State = dict[str, Tensor]

STRIDE = 8
EMBEDDING = 256  # channels of the features, in every architecture
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Where torchvision's names live inside `backbone`; layer 4 has another width and is left out, as in the official code.
IMAGENET_NAMES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6}


@dataclass(frozen=True)
class Plan:
    """What tells one architecture from another."""

    block: Block
    depths: tuple[int, int, int, int]


PLANS: dict[Architecture, Plan] = {
    "r18": Plan(BasicBlock, (2, 2, 2, 2)),
    "r50": Plan(Bottleneck, (3, 4, 6, 3)),
    "r101": Plan(Bottleneck, (3, 4, 23, 3)),
}


WIDTHS = (64, 128, 256, 256)
STRIDES = (1, 2, 1, 1)


class EmbeddingNetwork(nn.Module):
    """Images (B, 3, H, W), ImageNet-normalised RGB, to features (B, 256, ceil(H/8), ceil(W/8)).

    The last operation is a batch norm (r50, r101) or a ReLU (r18); features are never L2-normalised.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        plan = PLANS[architecture]
        self.architecture: Architecture = architecture
        parts: list[nn.Module] = stem()
        channels = 64
        for depth, width, stride in zip(plan.depths, WIDTHS, STRIDES, strict=True):
            parts.append(layer(plan.block, channels, depth, width, stride))
            channels = width * plan.block.expansion
        self.backbone = nn.Sequential(*parts)
        has_head = plan.block is Bottleneck
        self.adjust_dim: nn.Module = nn.Conv2d(channels, EMBEDDING, 1, bias=False) if has_head else nn.Identity()
        self.bn256: nn.Module = nn.BatchNorm2d(EMBEDDING) if has_head else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.backbone(images)  # (B, C, ceil(H/8), ceil(W/8))
        return self.bn256(self.adjust_dim(x))  # (B, 256, ceil(H/8), ceil(W/8))


def build_network(architecture: Architecture, *, seed: int = 0) -> EmbeddingNetwork:
    """An untrained network as the released code draws it.

    Convolutions of the backbone are N(0, sqrt(2 / (k * k * C_out))). ``adjust_dim`` is left to PyTorch there, uniform
    between +-1 / sqrt(C_in): its deviation is .018 and not .088, so before a batch norm its steps weigh 24 times more.
    """
    if architecture not in PLANS:
        raise ValueError(f"no TVOS network is called {architecture!r}; there are {', '.join(PLANS)}")
    network = EmbeddingNetwork(architecture)
    draw_convolutions(network.backbone, seed)
    if isinstance(network.adjust_dim, nn.Conv2d):
        generator = torch.Generator().manual_seed(seed + 1)
        nn.init.kaiming_uniform_(network.adjust_dim.weight, a=5**0.5, generator=generator)
    return network


def draw_convolutions(network: nn.Module, seed: int) -> None:
    """Draw every convolution anew."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)


def initialise_from_imagenet(network: EmbeddingNetwork, torchvision_state: Mapping[str, Tensor]) -> None:
    """Copy a torchvision ResNet's stem and layers 1 to 3 into ``network``; layer 4 and the head stay as they are."""
    renamed = {}
    for name, value in torchvision_state.items():
        root, _, rest = name.partition(".")
        if root in IMAGENET_NAMES:
            renamed[f"backbone.{IMAGENET_NAMES[root]}.{rest}"] = value
    wanted = tuple(f"backbone.{index}." for index in IMAGENET_NAMES.values())
    state = network.state_dict()
    expected = {name for name in state if name.startswith(wanted) and not name.endswith("num_batches_tracked")}
    found = {name for name in renamed if not name.endswith("num_batches_tracked")}
    refuse_other_names(expected, found, "the ImageNet weights", hint=OFFICIAL_NAMES)
    network.load_state_dict({**state, **renamed})


def load_checkpoint(path: str | Path) -> State:
    """Read a TVOS checkpoint: safetensors, or a torch file holding a state dict or the official wrapper of one.

    A ``module.`` prefix is stripped, halves are widened to fp32. Nothing is unpickled beyond tensors and plain
    containers; a file that needs more is refused.
    """
    state = {name.removeprefix("module."): value for name, value in read_state(path).items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def architecture_of(state: Mapping[str, Tensor]) -> Architecture:
    """Tell r18, r50 and r101 apart by the blocks a state dict names."""
    kind = Bottleneck if any(name.endswith(".conv3.weight") for name in state) else BasicBlock
    depths = tuple(
        len({name.split(".")[2] for name in state if name.startswith(f"backbone.{layer}.")}) for layer in range(4, 8)
    )
    for architecture, plan in PLANS.items():
        if plan.block is kind and plan.depths == depths:
            return architecture
    raise DataError(
        f"the weights are of no TVOS network: found {len(state)} tensors, "
        f"{'bottleneck' if kind is Bottleneck else 'basic'} blocks {depths} under backbone.4 to backbone.7; expected "
        + ", ".join(f"{name} {plan.depths}" for name, plan in PLANS.items()),
        hint="the names must be the official ones (backbone.0.weight ... bn256.bias); the weights of another ResNet "
        "go with --preset layer3-raw or layer3-cosine",
    )


OFFICIAL_NAMES = "the names must be the official ones (backbone.0.weight ... bn256.bias), with or without 'module.'"


def network_for(state: Mapping[str, Tensor]) -> EmbeddingNetwork | LiteNetwork:
    """The network that ``state`` is of, with it loaded: strictly, except that batch counters may be missing."""
    if is_lite(state):
        lite = lite_network_of(state)
        load_strictly(
            lite,
            state,
            f"the {lite.architecture} weights",
            names_hint=OFFICIAL_NAMES,
            shapes_hint="they are of another width or depth",
        )
        return lite
    network = EmbeddingNetwork(architecture_of(state))
    hint = "TVOS narrows layer 4 to width 256; plain ImageNet weights serve features=layer3, or a training's start"
    load_strictly(network, state, f"the {network.architecture} weights", names_hint=OFFICIAL_NAMES, shapes_hint=hint)
    return network


class InferenceNetwork(nn.Module):
    """A frozen network with folded batch norms: images in, features in its own precision out.

    Images of another precision than fp32 are worked on in theirs, by a copy that is kept. ``plain`` is the network as
    it was, where that was asked for.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        *,
        normalised: bool,
        plain: nn.Module | None,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.layout = layout
        self.normalised = normalised
        self.plain = plain
        self._others: dict[torch.dtype, nn.Module] = {}

    def forward(self, images: Tensor) -> Tensor:
        dtype = self.dtype if images.dtype == torch.float32 else images.dtype
        network, layout = self.network, self.layout
        if dtype != self.dtype:
            layout = fastest_layout(images.device, dtype, tf32=False)
            if dtype not in self._others:
                other = copy.deepcopy(network).to(dtype=dtype, memory_format=layout)  # type: ignore[call-overload]
                self._others[dtype] = cast(nn.Module, other)
            network = self._others[dtype]
        features = network(images.to(dtype, memory_format=layout))  # (B, C, ceil(H/8), ceil(W/8))
        return with_length_one(features) if self.normalised else features

    def unfold(self, images: Tensor) -> Tensor:
        """What the network gives with its batch norms apart, in the precision of ``images``."""
        if self.plain is None:
            raise ValueError("this network was made without keep_plain=True")
        plain = self.plain
        if images.dtype != next(plain.parameters()).dtype:
            plain = copy.deepcopy(plain).to(images.dtype)
        features = plain(images)
        return with_length_one(features) if self.normalised else features


def image_statistics(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation, of images in 0..1, that a network was trained with."""
    is_of_lite = any(isinstance(module, LiteNetwork) for module in network.modules())
    return (LiteNetwork.mean, LiteNetwork.std) if is_of_lite else (IMAGENET_MEAN, IMAGENET_STD)


def with_length_one(features: Tensor) -> Tensor:
    """Features (B, C, h, w) divided by their length at each pixel."""
    wide = features if features.dtype == torch.float64 else features.float()
    return functional.normalize(wide, dim=1).to(features.dtype)


def for_inference(
    network: nn.Module,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    *,
    normalised: bool = False,
    keep_plain: bool = False,
    compiled: bool = False,
    fused: bool = True,
    tf32: bool = False,
) -> InferenceNetwork:
    """A copy of ``network`` for test time: batch norms folded, channels last but for exact fp32 on CUDA.

    ``normalised``: features get length 1. ``keep_plain``: the network as it is stays at hand, for comparison.
    ``compiled``: torch.compile works on it, at its first image of each size, and fuses by itself. ``fused``: its
    convolutions add shortcuts and clip; on CUDA in halves and TF32 (``tf32`` says whether fp32 is rounded to it), where
    ResNet-50 at 480p in bf16 takes .78 ms as a graph instead of 1.28 (H200).
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    plain = copy.deepcopy(folded).to(device) if keep_plain else None
    fold_batch_norms(folded)
    fold_pair(folded, "conv1", "bn1")
    fold_lite_norms(folded)
    if isinstance(folded, EmbeddingNetwork):
        fold_pair(folded.backbone, "0", "1")
        fold_pair(folded, "adjust_dim", "bn256")
    if fused and not compiled and torch.device(device).type == "cpu":
        fuse_blocks(folded)
        if isinstance(folded, EmbeddingNetwork) and isinstance(folded.adjust_dim, nn.Conv2d):
            folded.adjust_dim = FusedConvolution.of(folded.adjust_dim)
    dtype = DTYPES[precision]
    layout = fastest_layout(device, dtype, tf32=tf32)
    folded = folded.to(device=device, dtype=dtype, memory_format=layout)  # type: ignore[call-overload]
    if fused and not compiled and torch.device(device).type == "cuda" and layout is torch.channels_last:
        fuse_activations(folded)
    runs = cast(nn.Module, torch.compile(folded)) if compiled else folded
    return InferenceNetwork(runs, dtype, normalised=normalised, plain=plain, layout=layout).eval()
