"""Saliency as class activation maps (Zhou et al. 2016) of a ResNet's file; its image labels are supervision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from harness.api.errors import DataError
from harness.files import digest_of_bytes
from harness.models.checkpoints import read_state
from harness.models.dilated_resnet import DEPTHS, PREFIXES, Name, ResNet, fold_resnet, load_torchvision
from harness.models.frame_files import Around, Frame, Place
from harness.models.resnet import Bottleneck
from harness.models.saliency.scale import to_unit

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images in 0..1, as torchvision's classifiers are given them."""
SHORTER = 224
LONGEST = 448
"""Pixels of the shorter side that is classified, and the most that the longer one may come to."""
CLASSES = 5
"""How many of the likeliest classes are looked for: a video's object need not be of the first."""


class ClassActivation:
    """``cam:FILE``: ResNet-18, -50 or -101 with its ``fc``, under torchvision's names."""

    looks_around = False

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.name = "cam"
        state = read_state(path)
        prefix = next((each for each in PREFIXES if f"{each}fc.weight" in state), None)
        if prefix is None or f"{prefix}fc.bias" not in state:
            raise DataError.at(path, found="no fc.weight and fc.bias", expected="a ResNet classifier of torchvision")
        # a stride of 8 in place of 32, as torchvision's replace_stride_with_dilation: the map is finer
        self.network = ResNet(name_of(path, state, prefix), (1, 2, 1, 1), (1, 1, 2, 4), contract=True)
        load_torchvision(self.network, state, str(path))
        fold_resnet(self.network.eval())
        self.network.to(device)
        self.weight, self.bias = (state[f"{prefix}fc.{part}"].float().to(device) for part in ("weight", "bias"))
        if self.weight.ndim != 2 or self.weight.shape[1] != self.network.channels[-1]:
            found = f"fc.weight of {tuple(self.weight.shape)}"
            raise DataError.at(path, found=found, expected=f"a number a class and {self.network.channels[-1]} channels")
        self.device = torch.device(device)
        self.digest = digest_of_bytes(path)

    @torch.no_grad()
    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        height, width = frame.shape[:2]
        image = frame.to(self.device).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        scale = min(SHORTER / min(height, width), LONGEST / max(height, width))
        size = [max(1, round(side * scale)) for side in (height, width)]
        image = functional.interpolate(image, size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(each, device=self.device)[:, None, None] for each in (MEAN, STD))
        features = self.network((image - mean) / std)[-1][0]  # (C, h, w)
        scores = self.weight @ features.mean((1, 2)) + self.bias
        likely = scores.topk(min(CLASSES, len(scores))).indices
        activation = torch.einsum("kc,chw->hw", self.weight[likely], features).clamp(min=0)
        whole = functional.interpolate(activation[None, None], (height, width), mode="bilinear")[0, 0]
        return to_unit(whole).to(frame.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.digest[:16]}"


def name_of(path: Path, state: Mapping[str, Tensor], prefix: str) -> Name:
    """Which ResNet a state is of, by its blocks; DataError where it is none we have."""
    is_bottleneck = f"{prefix}layer1.0.conv3.weight" in state
    blocks = tuple(
        sum(name.startswith(f"{prefix}layer{place}.") and name.endswith(".conv1.weight") for name in state)
        for place in range(1, 5)
    )
    for name, (block, depths) in DEPTHS.items():
        if depths == blocks and (block is Bottleneck) == is_bottleneck:
            return name
    raise DataError.at(path, found=f"a network of {blocks} blocks a layer", expected="ResNet-18, -50 or -101")
