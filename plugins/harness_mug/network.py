"""The network of MuG: a trunk phi, its projections, rho on single frames and a read-out of whole videos.

Three layouts: the paper's, the released code's, and a small one that a CPU trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness import BuildContext, DataError
from harness.api.errors import UsageError
from harness.models import efficientnet_lite as lite
from harness.models.checkpoints import load_strictly, read_state
from harness.models.dilated_resnet import Name, ResNet, fold_resnet, load_torchvision
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness.models.resnet import fold_pair
from harness_mug.config import Features
from harness_mug.frames import lightness
from harness_mug.readout.paper import PaperReadout
from harness_mug.readout.released import ReleasedReadout

Architecture = Literal["paper", "code", "small"]
State = Mapping[str, Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TRAINING = "training."
"""Prefix of what only training needs: the geometric estimator kappa and the bias of the response."""


@dataclass(frozen=True)
class Layout:
    """What tells one network from another."""

    trunk: Name | Literal["lite0"]
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    stride: int = 8
    """Pixels of a cell, each way."""
    width: int = 512
    """Channels of x."""
    reduces: bool = True
    """Whether a 1x1 convolution brings the trunk's last map to ``width``."""
    match: int = 128
    """Channels of what the long term, the video and one-shot compare: half of r."""
    track: int = 64
    """Channels of what the short term correlates. paper: phi(p) is 16 x 16 x 64."""
    readout: Literal["paper", "code"] = "paper"
    is_grey: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


LAYOUTS: dict[Architecture, Layout] = {
    # "the first four groups of convolutional layers" of ResNet-50, dilated, at a quarter of the frame; x has 512
    # channels, which its fourth group has not: the 1x1 is ours.
    "paper": Layout("r50", (1, 1, 1), (1, 2, 4), stride=4),
    "code": Layout("r18", (1, 2, 1, 1), (1, 1, 1, 1), reduces=False, readout="code", is_grey=True),
    # at an eighth of frames of half the sides J of held-out videos was .03 less, at the same cost
    "small": Layout("lite0", stride=16, width=128, match=64, mean=lite.MEAN, std=lite.STD),
}
LITE_STAGES = 5
DENSE = 8


class Embedding(NamedTuple):
    """What the trunk and its projections say of B frames."""

    x: Float[Tensor, "B C h w"]
    match: Float[Tensor, "B D h w"]
    skips: tuple[Tensor, ...]
    """Of the released read-out: the third and the second map."""

    def at(self, place: int) -> Embedding:
        """One frame of it, still as a batch."""
        x, match = self.x[place : place + 1], self.match[place : place + 1]
        return Embedding(x, match, tuple(each[place : place + 1] for each in self.skips))


Memory = tuple[Tensor, ...]
"""What is kept of a reference: its features, or in the released form its key and value."""


class MuGNetwork(nn.Module):
    """Frames (B, 3, H, W) of 0..255, after ``normalise``, to everything that MuG makes of them."""

    def __init__(self, architecture: Architecture, *, dense: bool = False) -> None:
        """``dense``: a small trunk has cells of 8 pixels by dilation, where it learnt on 16."""
        super().__init__()
        layout = LAYOUTS[architecture]
        if dense and architecture == "small":
            layout = replace(layout, stride=DENSE)
        self.architecture, self.layout = architecture, layout
        self.trunk, last = build_trunk(layout)
        self.reduce = nn.Conv2d(last, layout.width, 1) if layout.reduces else nn.Identity()
        self.match = nn.Conv2d(layout.width, layout.match, 1)
        self.track = nn.Conv2d(layout.width, layout.track, 1)
        for projection in (self.reduce, self.match, self.track):
            if isinstance(projection, nn.Conv2d):  # products begin as those of the trunk's own map, or near them. ours
                nn.init.orthogonal_(projection.weight)
                nn.init.zeros_(cast(Tensor, projection.bias))
        self.rho = nn.Conv2d(layout.width, 1, 1)
        self.upsilon: PaperReadout | ReleasedReadout
        if layout.readout == "paper":
            self.upsilon = PaperReadout(layout.match)
        else:
            _, second, third, _ = cast(ResNet, self.trunk).channels
            self.upsilon = ReleasedReadout((second, third, layout.width))
        self._statistics: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def normalise(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Frames of 0..255 as the trunk wants them; mean and deviation are sent to a device once."""
        place = (frames.device, frames.dtype)
        if place not in self._statistics:
            mean, std = (frames.new_tensor(each).view(1, 3, 1, 1) for each in (self.layout.mean, self.layout.std))
            self._statistics[place] = mean, std
        mean, std = self._statistics[place]
        shares = lightness(frames) / 256 if self.layout.is_grey else frames / 255
        return (shares - mean) / std

    def embed(self, images: Float[Tensor, "B 3 H W"]) -> Embedding:
        """phi and its projections for the long term."""
        return self.project(self.maps(images))

    def project(self, maps: Sequence[Tensor]) -> Embedding:
        """The same, from the trunk's maps."""
        x = self.reduce(maps[-1])
        return Embedding(x, self.match(x), (maps[2], maps[1]) if self.layout.readout == "code" else ())

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The trunk's."""
        return cast(list[Tensor], self.trunk(images)) if isinstance(self.trunk, ResNet) else [self.trunk(images)]

    def maps_until(self, images: Float[Tensor, "B 3 H W"], stage: int) -> Tensor:
        """The map after a stage of a small trunk, counted from 1."""
        return cast(lite.EfficientNetLite0, self.trunk).maps(images, (stage,))[0]

    def maps_from(self, kept: Tensor, stage: int) -> list[Tensor]:
        """The trunk's, from what `maps_until` gave."""
        trunk = cast(lite.EfficientNetLite0, self.trunk)
        for block in trunk._blocks[trunk.ends[stage - 1] + 1 :]:
            kept = block(kept)
        return [kept]

    def describe(self, images: Float[Tensor, "B 3 H W"], features: Features) -> Float[Tensor, "B C h w"]:
        """What one-shot compares cells by."""
        last = self.maps(images)[-1]
        if features == "trunk":
            return last
        x = cast(Tensor, self.reduce(last))
        return x if features == "x" else cast(Tensor, self.match(x))

    def embed_for_tracking(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B T h w"]:
        """What patches and frames are correlated by."""
        return cast(Tensor, self.track(self.reduce(self.maps(images)[-1])))

    def remember(self, frame: Embedding) -> Memory:
        """What is kept of a reference, of a batch of one."""
        if isinstance(self.upsilon, ReleasedReadout):
            return tuple(self.upsilon.remember(frame.x[0]))
        return (frame.match[0],)

    def represent(self, own: Memory, references: Sequence[Memory]) -> Tensor:
        """r of one frame (D, h, w): what is gathered from the references, and its own."""
        stacked = [torch.stack(each) for each in zip(*references, strict=True)]
        if isinstance(self.upsilon, ReleasedReadout):
            from harness_mug.readout.released import Memory as Pair

            return self.upsilon.represent(Pair(*own), *stacked)
        return self.upsilon.represent(own[0], stacked[0])

    def read_out(self, representations: Float[Tensor, "B D i j"], frames: Embedding) -> Float[Tensor, "B 1 h w"]:
        """The object's logits, from r and in the released form from skips."""
        if isinstance(self.upsilon, ReleasedReadout):
            return cast(Tensor, self.upsilon(representations, *frames.skips))
        return cast(Tensor, self.upsilon(representations))

    def judge(self, frames: Embedding) -> Float[Tensor, "B 1 h w"]:
        """The logits of P = rho(x), each frame by itself (eq. 2)."""
        return cast(Tensor, self.rho(frames.x))

    def fold(self, *, fused: bool = False) -> None:
        """Put every batch norm, in evaluation mode, into its convolution, and with ``fused`` a small trunk's clips."""
        if isinstance(self.trunk, ResNet):
            fold_resnet(self.trunk)
        else:
            lite.fold_lite_norms(self)
            if fused:
                lite.fuse_lite_blocks(self)
        if isinstance(self.upsilon, ReleasedReadout):
            fold_pair(self.upsilon.encode, "0", "1")
            # the norm after the global convolution follows a sum, which is no convolution


def build_trunk(layout: Layout) -> tuple[ResNet | lite.EfficientNetLite0, int]:
    """An untrained trunk, and the channels of its last map."""
    if layout.trunk == "lite0":
        trunk = lite.EfficientNetLite0(LITE_STAGES, max_stride=layout.stride).centre_on_pixels()
        return trunk, trunk.channels[-1]
    resnet = ResNet(layout.trunk, layout.strides, layout.dilations)
    return resnet, resnet.channels[-1]


def build_network(architecture: Architecture, seed: int, *, imagenet: bool = False, dense: bool = False) -> MuGNetwork:
    """An untrained network, drawn from ``seed``; with ``imagenet`` around the installed package's trunk."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MuGNetwork(architecture, dense=dense)
    if imagenet:
        if not isinstance(network.trunk, lite.EfficientNetLite0):
            raise UsageError(
                f"found imagenet=true with the untrained architecture {architecture!r}; only 'small' has such weights",
                hint="give a torchvision file to a training, with --init",
            )
        lite.with_imagenet(network.trunk)
    return network


def load_trunk(network: MuGNetwork, state: State, where: str) -> None:
    """Load a published trunk: a ResNet under torchvision's names, or an EfficientNet-Lite0 under its own."""
    if isinstance(network.trunk, ResNet):
        load_torchvision(network.trunk, state, where)
    else:
        lite.load_published(network.trunk, state, where)


def is_ours(state: State) -> bool:
    """Whether these are weights of a whole MuG, not of a trunk alone."""
    return any(name.startswith("upsilon.") for name in state)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A file's tensors, floats in fp32."""
    return {name: value.float() if value.is_floating_point() else value for name, value in read_state(path).items()}


def architecture_of(state: State, where: str) -> Architecture:
    """The layout that names are of; DataError where they are of none."""
    if is_ours(state):
        if "trunk._conv_stem.weight" in state:
            return "small"
        if "trunk.conv1.weight" in state:
            return "code" if "upsilon.form" in state else "paper"
    raise DataError(
        f"the weights in {where} are of no MuG: found {len(state)} tensors, such as {next(iter(state), 'none')!r}; "
        "expected trunk..., match..., rho... and upsilon...",
        hint="a trunk alone is given to a training, with --init",
    )


def load_network(path: Path, *, dense: bool = False) -> MuGNetwork:
    """The network that a file's names are of; what only training needs is left out."""
    state = {name: value for name, value in read_weights(path).items() if not name.startswith(TRAINING)}
    network = MuGNetwork(architecture_of(state, str(path)), dense=dense)
    load_strictly(network, state, f"the weights in {path}")
    return network


@runtime_checkable
class Embeds(Protocol):
    """What propagation needs of a network."""

    stride: int

    def describe(self, frames: Float[Tensor, "B 3 H W"], features: Features) -> Float[Tensor, "B C h w"]:
        """What cells of frames of 0..255 are compared by."""
        ...


class Phi:
    """A network at test time: on its device, in its precision, batch norms folded."""

    def __init__(self, network: MuGNetwork, device: str, dtype: torch.dtype, *, plain: bool = False) -> None:
        """``plain``: a small trunk works as PyTorch has it on a CPU too."""
        self.dtype = dtype
        self.layout = fastest_layout(device, dtype, tf32=False)
        network.eval().requires_grad_(False).fold(fused=torch.device(device).type == "cpu" and not plain)
        self.network: MuGNetwork = network.to(device=device, dtype=dtype, memory_format=self.layout)  # type: ignore[call-overload]
        self.stride = network.layout.stride

    def embed(self, frames: Float[Tensor, "B 3 H W"]) -> Embedding:
        """Frames of 0..255 as everything the network says of them."""
        return self.network.embed(self._normalise(frames))

    def describe(self, frames: Float[Tensor, "B 3 H W"], features: Features) -> Float[Tensor, "B C h w"]:
        """What one-shot compares cells of frames of 0..255 by."""
        return self.network.describe(self._normalise(frames), features)

    def _normalise(self, frames: Tensor) -> Tensor:
        return self.network.normalise(frames).to(self.dtype, memory_format=self.layout)


def phi_of(context: BuildContext, *, dense: bool = False, plain: bool = False) -> Phi:
    """The network of the context's weights; without weights an untrained one. ``dense`` and ``plain`` as there.

    UsageError for weights of another network than the config's: frames and constants of one say nothing of another.
    """
    config = context.config
    if context.weights is not None:
        network = load_network(context.weights, dense=dense)
        if network.architecture != config.untrained_architecture:
            raise UsageError(
                f"{context.weights.name} holds the network of {network.architecture!r}, and the config is of "
                f"{config.untrained_architecture!r}",
                hint=f"take a preset of {network.architecture}, or train one with --preset "
                f"{config.untrained_architecture} and give its --weights FILE; --weights none has learnt nothing",
            )
    else:
        network = build_network(config.untrained_architecture, context.seed, imagenet=config.imagenet, dense=dense)
    return Phi(network, context.device, DTYPES[context.precision], plain=plain)
