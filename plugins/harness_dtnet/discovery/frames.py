"""Frames on their way into a network: the size they are worked on at, resized, normalised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness.ops.sizes import Size, scale_to


def working_size(size: Size, short_side: int | None) -> Size:
    """The video's own size, or one with at most so many pixels on the shorter side; nothing is enlarged."""
    if short_side is None or min(size) <= short_side:
        return size
    return scale_to(size, short_side)


def resize_frame(frame: UInt8[Tensor, "H W 3"], size: Size) -> Float[Tensor, "1 3 h w"]:
    """A frame at this size, 0..255, averaged where it shrinks."""
    return resize_images(frame.permute(2, 0, 1)[None].float(), size)


def resize_images(images: Float[Tensor, "B C H W"], size: Size) -> Float[Tensor, "B C h w"]:
    """Images at this size, averaged where they shrink; themselves where they have it."""
    if size == tuple(images.shape[-2:]):
        return images
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)


class Normalise:
    """Images 0..255 as a network takes them, in its precision and layout."""

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: str, dtype: torch.dtype, layout: torch.memory_format
    ) -> None:
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255
        self.dtype, self.layout = dtype, layout

    def apply(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The images less the mean, over the deviation."""
        return ((images - self.mean) / self.std).to(self.dtype, memory_format=self.layout)
