"""ResNet-18, -50 and -101 under torchvision's names, with any strides and dilations, giving the map of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from harness.api.errors import DataError
from harness.models.resnet import BasicBlock, Block, Bottleneck, fold_batch_norms, fold_pair, layer, stem

Name = Literal["r18", "r50", "r101"]
DEPTHS: dict[Name, tuple[Block, tuple[int, int, int, int]]] = {
    "r18": (BasicBlock, (2, 2, 2, 2)),
    "r50": (Bottleneck, (3, 4, 6, 3)),
    "r101": (Bottleneck, (3, 4, 23, 3)),
}
WIDTHS = (64, 128, 256, 512)
PREFIXES = ("", "module.", "backbone.")


class ResNet(nn.Module):
    """Images (B, 3, H, W) to the maps after each layer, of the strides 4 times the product of ``strides``.

    As many layers are built as ``strides`` names. ``dilations``, one a layer, spread its 3x3 convolutions; ``contract``
    halves that of a layer's first block. The last operation of every map is a ReLU.
    """

    def __init__(
        self,
        name: Name,
        strides: tuple[int, ...] = (1, 2, 2, 2),
        dilations: tuple[int, ...] = (1, 1, 1, 1),
        *,
        contract: bool = False,
    ) -> None:
        super().__init__()
        if name not in DEPTHS or not 1 <= len(strides) <= 4 or len(dilations) < len(strides):
            raise ValueError(f"no ResNet {name!r} of strides {strides} and dilations {dilations}")
        block, depths = DEPTHS[name]
        self.conv1, self.bn1, self.relu, self.maxpool = stem()
        self.channels = tuple(width * block.expansion for width in WIDTHS[: len(strides)])
        self.layers = tuple(f"layer{place + 1}" for place in range(len(strides)))
        channels = 64
        for place, stride in enumerate(strides):
            made = layer(block, channels, depths[place], WIDTHS[place], stride, dilations[place], contract=contract)
            self.add_module(self.layers[place], made)
            channels = self.channels[place]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (B, 64, H/4, W/4)
        found = []
        for name in self.layers:
            x = cast(Tensor, self.get_submodule(name)(x))
            found.append(x)
        return found


def load_torchvision(network: ResNet, state: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Load what ``network`` has of a state in torchvision's layout, or under a prefix known; the rest is left out.

    DataError names what is missing or misfits. Strides and dilations are no weights: any network takes any file.
    """
    prefix = next((each for each in PREFIXES if f"{each}conv1.weight" in state), "")
    own = network.state_dict()
    found = {
        name: state.get(prefix + name, own[name] if name.endswith("num_batches_tracked") else None) for name in own
    }
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise DataError(
            f"{where} lack {len(missing)} tensors of this ResNet, first {missing[0]}; found {len(state)}, such as "
            f"{next(iter(state), 'none')!r}",
            hint="expected torchvision's names: conv1.weight, bn1.weight, layer1.0.conv1.weight...",
        )
    for name, value in found.items():
        if value is not None and value.shape != own[name].shape:
            raise DataError(
                f"{where} do not fit at {name}: found {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
    network.load_state_dict({name: value for name, value in found.items() if value is not None})


def fold_resnet(network: ResNet) -> None:
    """Put every batch norm of a network in evaluation mode into its convolution."""
    fold_batch_norms(network)
    fold_pair(network, "conv1", "bn1")
