"""The three sizes of a video: its own, the one the network sees, and the grid of the features."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from harness.ops.labels import one_hot, resize_bilinear
from harness_tvos.network import STRIDE

Size = tuple[int, int]
"""Rows and columns."""


def working_size(size: Size, short_side: int | None) -> Size:
    """The size the network sees: the video's own, or with its shorter side so long, the other one cut to a whole."""
    if short_side is None or min(size) == short_side:
        return size
    height, width = (max(1, short_side * side // min(size)) for side in size)
    return height, width


def grid_of(size: Size) -> Size:
    """(h, w) of the features of an image of this size."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def resized_image(image: Tensor, short_side: int | None) -> Tensor:
    """(1, 3, h, w) float, 0..255, of a (H, W, 3) uint8 image, resized as by Pillow's bilinear filter."""
    planes = image.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    size = working_size((image.shape[0], image.shape[1]), short_side)
    if size == tuple(planes.shape[-2:]):
        return planes
    return functional.interpolate(planes, size=size, mode="bilinear", antialias=True).round_()


def soft_labels(prompt: Tensor, ids: list[int], short_side: int | None) -> Tensor:
    """The prompt as shares of each of ``ids`` at every feature pixel, (K, h, w): it stays soft, unlike later labels."""
    planes = one_hot(prompt, ids)  # (K, H, W)
    size = working_size((prompt.shape[0], prompt.shape[1]), short_side)
    if size != tuple(prompt.shape):
        planes = functional.interpolate(planes[None], size=size, mode="bilinear", antialias=True)[0]
    return resize_bilinear(planes, grid_of(size))
