"""What T-Net sees: one map of a frozen trunk that learnt from ImageNet, and how masks are summed up on it."""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness.models import efficientnet_lite
from harness.models.dilated_resnet import ResNet, fold_resnet
from harness.models.efficientnet_lite import EfficientNetLite0, fold_lite_norms
from harness_dtnet.discovery.encoders import IMAGENET_MEAN, IMAGENET_STD
from harness_dtnet.target.bilinear import Bilinear

TargetTrunk = Literal["r101", "lite0"]


class TargetFeatures(nn.Module):
    """Images to res4 of a ResNet-101 (paper), stride 16, or to stage 5 of EfficientNet-Lite0, dilated to stride 8."""

    def __init__(self, name: TargetTrunk) -> None:
        super().__init__()
        is_lite = name == "lite0"
        self.mean = efficientnet_lite.MEAN if is_lite else IMAGENET_MEAN
        self.std = efficientnet_lite.STD if is_lite else IMAGENET_STD
        self.channels = (24, 40, 112) if is_lite else (256, 512, 1024)  # of maps
        self.trunk: nn.Module = EfficientNetLite0(5, max_stride=8) if is_lite else ResNet("r101", (1, 2, 2))

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        return self.maps(images)[-1]

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The maps of strides 4, 8 and 16; of EfficientNet-Lite0 4, 8 and 8."""
        trunk = self.trunk
        return (
            trunk.maps(images, (2, 3, 5)) if isinstance(trunk, EfficientNetLite0) else cast(list[Tensor], trunk(images))
        )

    def fold(self) -> None:
        """Put batch norms into convolutions, for test time."""
        if isinstance(self.trunk, ResNet):
            fold_resnet(self.trunk)
        else:
            fold_lite_norms(self)


def describe(
    features: Float[Tensor, "D h w"], masks: Float[Tensor, "N H W"], bilinear: Bilinear
) -> Float[Tensor, "N D"]:
    """What each mask looks like, as a vector of length 1: the mean feature under it, less that of the frame.

    An empty mask, and one of the whole frame, look like nothing: their vectors are 0. Ours; the paper takes a network
    for re-identification whose weights are for TensorFlow. Features after a ReLU are never far apart in angle, so
    without the frame's mean no threshold would refuse anything.
    """
    flat = features.flatten(1)  # (D, h*w)
    cells = bilinear.down(masks).flatten(1)  # (N, h*w)
    areas = cells.sum(1, keepdim=True)
    found = (cells / areas.where(areas > 0, 1.0)) @ flat.t() - flat.mean(1)  # (N, D)
    lengths = found.norm(dim=1, keepdim=True)
    # Against the largest feature, what rounding leaves of a mask that is the whole frame is nothing.
    is_something = (areas > 0) & (lengths > 1e-5 * flat.abs().amax())
    return torch.where(is_something, found / lengths.where(is_something, 1.0), 0.0)
