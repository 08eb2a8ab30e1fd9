"""The encoder of MAST and of its momentum memory: a small ResNet of stride 4 under MAST's names, and how it loads.

Zhu et al. 2020, appendix A, "ResNet-18 with the channel number and stride number reduced"; the released code of MAST
(zlai0/MAST at a57b043, models/submodule.py and mast.py) says how: no max pooling, 64 features, no normalisation last.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness.api.records import Precision
from harness.models.checkpoints import load_strictly, read_state
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES

State = dict[str, Tensor]

STRIDE = 4
EMBEDDING = 64  # channels of the features
LAYERS = ((64, 1), (128, 2), (256, 1), (256, 1))  # width and stride of layers 1 to 4, of two blocks each
MEMORY_PREFIX = "momentum."  # of the names of the memory encoder, where a file holds one


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions (``left``) and a shortcut, which is empty where shapes agree."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.left(x) + self.shortcut(x))


class Backbone(nn.Module):
    """Lab images (B, 3, H, W) to (B, 256, ceil(H/4), ceil(W/4))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(ResidualBlock(before, width, stride), ResidualBlock(width, width, 1))
            for before, (width, stride) in zip((64, 64, 128, 256), LAYERS, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(images)))))


class Encoder(nn.Module):
    """Lab images (B, 3, H, W) of ``harness_selfsup.frames.lab.to_lab`` to features (B, 64, ceil(H/4), ceil(W/4)).

    The last operation is a convolution with bias: features have any sign and no fixed length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feature_extraction = Backbone()
        self.post_convolution = nn.Conv2d(LAYERS[-1][0], EMBEDDING, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.post_convolution(self.feature_extraction(images))


@dataclass(frozen=True)
class Encoders:
    """Phi_q, and Phi_r where it is another network (Zhu et al. 2020, eq. 5)."""

    query: Encoder
    memory: Encoder | None = None


def build_encoder(seed: int = 0) -> Encoder:
    """An untrained encoder with PyTorch's own initialisation, as MAST has it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder()


def load_checkpoint(path: str | Path) -> Encoders:
    """Read a checkpoint in MAST's format: safetensors, or a torch file holding a state dict or a wrapper of one.

    A ``module.`` prefix is stripped and halves are widened to fp32. Names under ``momentum.`` are those of the memory
    encoder; a file without them (MAST's own) has one encoder for both. DataError where names or shapes differ.
    """
    state = {name.removeprefix("module."): value for name, value in read_state(path).items()}
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    memory = {
        name.removeprefix(MEMORY_PREFIX): value for name, value in state.items() if name.startswith(MEMORY_PREFIX)
    }
    query = {name: value for name, value in state.items() if not name.startswith(MEMORY_PREFIX)}
    return Encoders(
        encoder_for(query, f"the weights in {path}"),
        encoder_for(memory, f"the weights under '{MEMORY_PREFIX}' in {path}") if memory else None,
    )


def state_of(encoders: Encoders) -> State:
    """What ``load_checkpoint`` reads back: MAST's names, and the memory encoder's under ``momentum.``."""
    state = dict(encoders.query.state_dict())
    if encoders.memory is not None:
        state |= {MEMORY_PREFIX + name: value for name, value in encoders.memory.state_dict().items()}
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def encoder_for(state: Mapping[str, Tensor], what: str = "the weights") -> Encoder:
    """An encoder with ``state`` loaded: strictly, except that batch counters may be missing."""
    encoder = Encoder()
    load_strictly(
        encoder,
        state,
        what,
        names_hint="the names must be MAST's (feature_extraction.conv1.0.weight ... post_convolution.bias), with or "
        "without 'module.'",
        shapes_hint="the encoder is MAST's at a57b043: layers of 64, 128, 256 and 256 channels, 64 features",
    )
    return encoder


class InferenceEncoder(nn.Module):
    """A frozen encoder with folded batch norms: fp32 Lab in, features (B, h, w, 64) in its own precision out."""

    def __init__(self, encoder: Encoder, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        self.encoder = encoder
        self.dtype = dtype
        self.layout = layout

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images.to(self.dtype, memory_format=self.layout))
        return features.permute(0, 2, 3, 1).contiguous()  # (B, h, w, 64): as it is where channels lie last already


def for_inference(
    encoder: Encoder, device: str | torch.device = "cpu", precision: Precision = "fp32", *, tf32: bool = False
) -> InferenceEncoder:
    """A copy of ``encoder`` for test time: batch norms folded, numbers as convolutions like them there."""
    folded = copy.deepcopy(encoder).eval().requires_grad_(False)
    for module in list(folded.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    dtype = DTYPES[precision]
    layout = fastest_layout(device, dtype, tf32=tf32)
    folded = folded.to(device=device, dtype=dtype, memory_format=layout)  # type: ignore[call-overload]
    return InferenceEncoder(folded, dtype, layout).eval()


def _fold(layers: nn.Sequential) -> None:
    """Put each batch norm of ``layers`` into the convolution before it."""
    for index in range(1, len(layers)):
        norm = layers[index]
        if isinstance(norm, nn.BatchNorm2d):
            layers[index - 1] = fuse_conv_bn_eval(cast(nn.Conv2d, layers[index - 1]), norm)
            layers[index] = nn.Identity()
