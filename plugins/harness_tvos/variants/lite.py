"""TVOS on EfficientNet-Lite0 with ImageNet features: a small embedding of length sqrt(temperature) at stride 8.

Ours: the paper has a ResNet-50. A 1x1 convolution follows one stage or two; features are compared by their angle, over
a temperature that is learnt and lies in the features, so the constants of propagation stay those of the released code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness import DataError
from harness.models.efficientnet_lite import MEAN, STAGES, STD, EfficientNetLite0

LiteArchitecture = Literal["lite0-s4", "lite0-s5", "lite0-s4s5"]
STRIDE = 8
TAPS: dict[LiteArchitecture, tuple[int, ...]] = {"lite0-s4": (4,), "lite0-s5": (5,), "lite0-s4s5": (4, 5)}
"""After which stages of the trunk the maps are taken; those of several are laid side by side."""
TEMPERATURE = 40.0
"""Of features that were only centred: of 20, 40 and 80 the best on training sequences (notes of 2026-11-28)."""
NAME = "projection.weight"


class LiteNetwork(nn.Module):
    """Images (B, 3, H, W), normalised by ``mean`` and ``std``, to features (B, C, ceil(H/8), ceil(W/8)).

    ``width`` channels; 0: as many as the maps have. Cell i looks at pixel 8i + 3, next to the middle of its own pixels.
    """

    mean = MEAN
    std = STD

    def __init__(self, architecture: LiteArchitecture, *, width: int = 0) -> None:
        super().__init__()
        self.architecture: LiteArchitecture = architecture
        self.taps = TAPS[architecture]
        self.trunk = EfficientNetLite0(max(self.taps), max_stride=STRIDE).centre_on_pixels()
        channels = sum(STAGES[tap - 1].channels for tap in self.taps)
        self.projection = nn.Conv2d(channels, width or channels, 1)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        self.frozen_stages = 0
        self.is_norm_frozen = False

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        features = self.projection(self.maps(images))  # (B, C, h, w)
        wide = features if features.dtype == torch.float64 else features.float()
        scale = (0.5 * self.log_temperature.to(wide.dtype)).exp()
        return cast(Tensor, (functional.normalize(wide, dim=1) * scale).to(features.dtype))

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """What the projection is given."""
        found = self.trunk.maps(images, self.taps)
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def freeze(self, stages: int, *, norms: bool, temperature: bool) -> None:
        """Let the stem and the first ``stages`` stages, the statistics of batch norms or the temperature stay."""
        self.frozen_stages, self.is_norm_frozen = stages, norms
        self.log_temperature.requires_grad_(not temperature)
        if stages:
            last = self.trunk.ends[stages - 1]
            for part in (self.trunk._conv_stem, self.trunk._bn0, *self.trunk._blocks[: last + 1]):
                part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> LiteNetwork:
        """As any module; batch norms whose statistics stay are left in evaluation mode."""
        super().train(mode)
        if self.is_norm_frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


@torch.no_grad()
def centre_projection(network: LiteNetwork, images: Float[Tensor, "B 3 H W"]) -> None:
    """Begin the projection as centring, by the mean of the maps of some images, and scaling to about length one.

    Where it narrows, it begins with the leading principal directions of the centred maps.
    """
    was = network.training
    maps = network.eval().maps(images).transpose(0, 1).flatten(1).double()  # (D, B*h*w)
    network.train(was)
    mean = maps.mean(1)
    out, channels = network.projection.weight.shape[:2]
    turn = torch.eye(channels, dtype=torch.float64, device=maps.device)
    if out != channels:
        turn = torch.linalg.eigh(torch.cov(maps)).eigenvectors.flip(1)[:, :out].t()
    scaled = turn / mean.norm()
    network.projection.weight.copy_(scaled[..., None, None])
    cast(Tensor, network.projection.bias).copy_(-(scaled @ mean))


def is_lite(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of a LiteNetwork."""
    return NAME in state and "trunk._conv_stem.weight" in state


def lite_network_of(state: Mapping[str, Tensor]) -> LiteNetwork:
    """The network that a state dict's names and shapes are of, nothing loaded."""
    shape = tuple(state[NAME].shape)
    blocks = {int(name.split(".")[2]) for name in state if name.startswith("trunk._blocks.")}
    for architecture, taps in TAPS.items():
        count = sum(stage.blocks for stage in STAGES[: max(taps)])
        channels = sum(STAGES[tap - 1].channels for tap in taps)
        if shape[1:] == (channels, 1, 1) and len(blocks) == count:
            return LiteNetwork(architecture, width=shape[0])
    raise DataError(
        f"the weights are of no TVOS network on EfficientNet-Lite0: found {len(blocks)} blocks and a projection of "
        f"{shape}; expected {', '.join(TAPS)}"
    )
