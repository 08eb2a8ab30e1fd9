"""The three sizes of a video (its own, what the network sees, the grid of the features) and the ways between them."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness.ops.labels import one_hot, resize_bilinear, resize_nearest
from harness_tvos.network import STRIDE

Size = tuple[int, int]
"""Rows and columns."""


def working_size(size: Size, short_side: int | None, least_side: int | None = None) -> Size:
    """The size the network sees: the video's own, or with its shorter side so long and the other cut to a whole.

    ``least_side`` enlarges what is smaller and leaves the rest.
    """
    if least_side is not None and min(size) < least_side:
        short_side = least_side
    if short_side is None or min(size) == short_side:
        return size
    height, width = (max(1, short_side * side // min(size)) for side in size)
    return height, width


def grid_of(size: Size) -> Size:
    """(h, w) of the features of an image of this size."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def resize_image(image: UInt8[Tensor, "H W 3"], size: Size) -> Float[Tensor, "1 3 h w"]:
    """An image of this size, 0..255, resized as by Pillow's bilinear filter, which rounds to whole numbers."""
    planes = image.permute(2, 0, 1)[None]  # (1, 3, H, W)
    if size == tuple(planes.shape[-2:]):
        return planes.float()
    if planes.is_cuda:  # where bytes cannot be resized
        return functional.interpolate(planes.float(), size=size, mode="bilinear", antialias=True).round_()
    return functional.interpolate(planes, size=size, mode="bilinear", antialias=True).float()


def soft_labels(prompt: UInt8[Tensor, "H W"], ids: list[int], size: Size) -> Float[Tensor, "K h w"]:
    """The prompt as shares of each of ``ids`` at every feature pixel of the working ``size``."""
    planes = one_hot(prompt, ids)  # (K, H, W)
    if size != tuple(prompt.shape):
        planes = functional.interpolate(planes[None], size=size, mode="bilinear", antialias=True)[0]
    return resize_bilinear(planes, grid_of(size))


def hard_labels(prompt: UInt8[Tensor, "H W"], ids: list[int], way: Sequence[Size]) -> Float[Tensor, "K h w"]:
    """The prompt as one of ``ids`` at every feature pixel, by nearest pixels through each size of ``way``."""
    for size in way:
        prompt = resize_nearest(prompt, size)
    return one_hot(prompt, ids)
