"""Features of networks that never saw a mask: layer 3 (res4) of any ResNet under torchvision's names, at stride 8.

For the rows "ImageNet", "InstDisc" and "MoCo" of Zhang et al. 2020, table 2. They do not say which layer was taken or
how its products were scaled; as in section 3.5 the stride of layer 3 is made 1 here, and nothing is dilated.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from harness import DataError
from harness.models.checkpoints import load_strictly
from harness.models.resnet import BasicBlock, Block, Bottleneck, layer, stem
from harness_tvos.network import IMAGENET_NAMES, OFFICIAL_NAMES, PLANS, Architecture, State, draw_convolutions

# What MoCo's checkpoints (v1 and v2; v3) put before the names of the encoder that is kept, once "module." is gone.
PREFIXES = ("encoder_q.", "base_encoder.")
LAYERS = ("layer1", "layer2", "layer3")


class Layer3Network(nn.Module):
    """Images (B, 3, H, W), ImageNet-normalised RGB, to features (B, C, ceil(H/8), ceil(W/8)) after a ReLU."""

    def __init__(self, block: Block, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = stem()
        self.layer1 = layer(block, 64, depths[0], 64, stride=1)
        self.layer2 = layer(block, 64 * block.expansion, depths[1], 128, stride=2)
        self.layer3 = layer(block, 128 * block.expansion, depths[2], 256, stride=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (B, 64, H/4, W/4)
        return self.layer3(self.layer2(self.layer1(x)))  # (B, 256 * expansion, H/8, W/8)


def build_layer3_network(architecture: Architecture, *, seed: int = 0) -> Layer3Network:
    """An untrained network up to layer 3, drawn as ``build_network`` draws."""
    plan = PLANS[architecture]
    network = Layer3Network(plan.block, plan.depths[:3])
    draw_convolutions(network, seed)
    return network


def layer3_network_for(state: Mapping[str, Tensor]) -> Layer3Network:
    """The network that the stem and layers 1 to 3 of ``load_checkpoint``'s answer are of; the rest is ignored."""
    found = torchvision_state(state)
    block = Bottleneck if "layer1.0.conv3.weight" in found else BasicBlock
    depths = tuple(len({name.split(".")[1] for name in found if name.startswith(f"{part}.")}) for part in LAYERS)
    if 0 in depths or "conv1.weight" not in found:
        raise DataError(
            f"the weights are of no ResNet: found {len(state)} tensors such as {next(iter(state), 'none')!r}, expected "
            "conv1, bn1 and layer1 to layer3 under torchvision's names",
            hint=f"prefixes known: module., {', '.join(PREFIXES)}; TVOS's own names are known too",
        )
    network = Layer3Network(block, depths)
    load_strictly(
        network,
        found,
        "the ResNet weights",
        names_hint=OFFICIAL_NAMES,
        shapes_hint="wide and grouped ResNets are other networks",
    )
    return network


def torchvision_state(state: Mapping[str, Tensor]) -> State:
    """Stem and layers 1 to 3 of a checkpoint under torchvision's names; the checkpoint may have TVOS's own names."""
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}conv1.weight" in state), "")
    names = {f"backbone.{index}.": f"{name}." for name, index in IMAGENET_NAMES.items()}
    kept: State = {}
    for name, value in state.items():
        own = next((own for own in names if name.startswith(own)), None)
        bare = name.removeprefix(prefix) if own is None else name.replace(own, names[own], 1)
        if bare.startswith(tuple(names.values())) and (own or name.startswith(prefix)):
            kept[bare] = value
    return kept
