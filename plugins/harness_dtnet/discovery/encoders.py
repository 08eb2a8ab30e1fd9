"""The trunks of D-Net and T-Net: maps of strides 4, 8 and 16, of an image alone or of one with its mask."""

from __future__ import annotations

from typing import NamedTuple, cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness.models import efficientnet_lite
from harness.models.dilated_resnet import Name, ResNet, fold_resnet
from harness.models.efficientnet_lite import EfficientNetLite0, fold_lite_norms

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Maps(NamedTuple):
    """What an encoder sees, at a quarter, an eighth and a sixteenth of the image's sides, rounded up."""

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor


class ResNetEncoder(nn.Module):
    """A ResNet whose last layer is dilated instead of strided: res2, res3 and res5."""

    mean, std = IMAGENET_MEAN, IMAGENET_STD
    channels = (256, 512, 2048)

    def __init__(self, name: Name) -> None:
        super().__init__()
        self.trunk = ResNet(name, (1, 2, 2, 1), (1, 1, 1, 2), contract=True)

    def mask_stem(self) -> nn.Conv2d:
        """What a mask comes in by: beside the first convolution, nothing at first."""
        return start_at_zero(nn.Conv2d(1, 64, 7, 2, 3, bias=False))

    def forward(self, images: Float[Tensor, "B 3 H W"], of_mask: Tensor | None = None) -> Maps:
        trunk = self.trunk
        x = trunk.bn1(trunk.conv1(images))  # (B, 64, H/2, W/2)
        x = trunk.maxpool(functional.relu(x if of_mask is None else x + of_mask))
        found = []
        for name in trunk.layers:
            x = cast(Tensor, trunk.get_submodule(name)(x))
            found.append(x)
        return Maps(found[0], found[1], found[3])

    def fold(self) -> None:
        """Put batch norms into convolutions, for test time."""
        fold_resnet(self.trunk)


class LiteEncoder(nn.Module):
    """EfficientNet-Lite0 to its stage 5: stages 2, 3 and 5."""

    mean, std = efficientnet_lite.MEAN, efficientnet_lite.STD
    channels = (24, 40, 112)

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0(5)

    def mask_stem(self) -> nn.Conv2d:
        """What a mask comes in by: beside the first convolution, nothing at first."""
        return start_at_zero(nn.Conv2d(1, efficientnet_lite.STEM, 3, 2, 1, bias=False))

    def forward(self, images: Float[Tensor, "B 3 H W"], of_mask: Tensor | None = None) -> Maps:
        trunk = self.trunk
        x = trunk._bn0(trunk._conv_stem(images))  # (B, 32, H/2, W/2)
        x = functional.relu6(x if of_mask is None else x + of_mask)
        found = []
        for place, block in enumerate(trunk._blocks):
            x = block(x)
            if place in (trunk.ends[1], trunk.ends[2], trunk.ends[4]):
                found.append(x)
        return Maps(*found)

    def fold(self) -> None:
        """Put batch norms into convolutions, for test time."""
        fold_lite_norms(self)


Encoder = ResNetEncoder | LiteEncoder


def start_at_zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with weights of 0: what it adds to begins as it was."""
    nn.init.zeros_(convolution.weight)
    return convolution
