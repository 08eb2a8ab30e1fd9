"""The encoder as it is trained: with a batch norm on its features, which test time finds folded into the weights.

MAST's encoder ends in a bare convolution whose inputs are all positive. Adam's first steps, at 1e-3, move all features
of all pixels by one long common vector; their dot products explode, the softmax closes on wrong pixels, and nothing
ever opens it again: the reconstruction gets worse than copying, without any error. The batch norm holds centre and
length of the features, and as one more affine map it changes nothing in what the method can express or load.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness_selfsup.network import EMBEDDING, Encoder


class TrainedEncoder(nn.Module):
    """Lab images (B, 3, H, W) to features (B, 64, H/4, W/4); without ``is_normed`` nothing is put on the encoder."""

    def __init__(self, encoder: Encoder, *, is_normed: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.BatchNorm2d(EMBEDDING) if is_normed else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.encoder(images)))

    def fold(self) -> Encoder:
        """The encoder of test time: the same features in evaluation mode."""
        encoder = copy.deepcopy(self.encoder)
        if isinstance(self.norm, nn.BatchNorm2d):
            convolution = copy.deepcopy(encoder.post_convolution).eval()
            encoder.post_convolution = fuse_conv_bn_eval(convolution, copy.deepcopy(self.norm).eval())
        return encoder


@torch.no_grad()
def keep_features(network: TrainedEncoder, images: Tensor) -> None:
    """Set the norm so that it changes nothing, by the mean and variance of the features of some images."""
    if isinstance(network.norm, nn.BatchNorm2d):
        mean, variance = _moments(network, images)
        network.norm.running_mean, network.norm.running_var = mean, variance
        network.norm.weight.copy_((variance + network.norm.eps).sqrt())
        network.norm.bias.copy_(mean)


@torch.no_grad()
def scale_features(network: TrainedEncoder, factor: float) -> None:
    """Multiply all features by ``factor``."""
    last = network.norm if isinstance(network.norm, nn.BatchNorm2d) else network.encoder.post_convolution
    for parameter in last.parameters():
        parameter.mul_(factor)


def _moments(network: TrainedEncoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the bare encoder's features by channel, its own norms taking them from the batch."""
    features = copy.deepcopy(network.encoder).train()(images)
    variance, mean = torch.var_mean(features, dim=(0, 2, 3))
    return mean, variance
