"""How T-Net looks at frames: its own size, features in fp32, labels and first samples at that size."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_dtnet.discovery.frames import Normalise, Size, resize_images
from harness_dtnet.target.copies import draw_copies
from harness_dtnet.target.features import TargetFeatures


class TargetView:
    """The trunk of T-Net for test time; ``side`` makes squares of all frames, None leaves them as they are."""

    def __init__(self, network: nn.Module, normalise: Normalise, side: int | None) -> None:
        self.network, self.normalise, self.side = network, normalise, side

    def size_of(self, size: Size) -> Size:
        """The size of images and labels for frames worked on at ``size``."""
        return size if self.side is None else (self.side, self.side)

    def look(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features of images 0..255 of any size."""
        return self.look_closely(images)[-1]

    def look_closely(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Maps of strides 4, 8 and 16; the last are the features."""
        images = resize_images(images, self.size_of((images.shape[2], images.shape[3])))
        maps = cast(TargetFeatures, self.network).maps(self.normalise.apply(images))
        return [*maps[:-1], maps[-1].float().contiguous()]

    def labels(self, masks: Float[Tensor, "N H W"]) -> Float[Tensor, "N I J"]:
        """Masks 0..1 as labels, averaged where they shrink."""
        return resize_images(masks[None], self.size_of((masks.shape[1], masks.shape[2])))[0]

    def first_samples(
        self, image: Float[Tensor, "1 3 H W"], mask: Float[Tensor, "H W"], copies: int, random: np.random.Generator
    ) -> tuple[Float[Tensor, "K D h w"], Float[Tensor, "K I J"]]:
        """Features and labels of a frame with a new target and of augmented copies of both."""
        small = resize_images(image, self.size_of((image.shape[2], image.shape[3])))
        label = self.labels(mask[None])[0]
        picture = small[0].permute(1, 2, 0).round().to(torch.uint8).cpu().numpy()
        drawn = draw_copies(picture, label.cpu().numpy(), copies, random)
        images = [small] + [torch.from_numpy(each).permute(2, 0, 1)[None].to(small) for each, _ in drawn]
        labels = [label] + [torch.from_numpy(each).to(label) for _, each in drawn]
        features = [self.look(each) for each in images]  # one by one: what lies in memory at once stays small
        return torch.cat(features), torch.stack(labels)
