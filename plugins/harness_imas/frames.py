"""Whole frames at the size that the network works on."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from harness.ops.sizes import scale_to


def resize_whole(frame: Tensor, short_side: int, stretch: tuple[int, int] | None) -> Tensor:
    """A (H, W, 3) uint8 frame as (1, 3, h, w) floats of 0..255, bilinear as the released code resizes.

    Its shorter side gets ``short_side`` pixels, after it was brought to ``stretch`` rows and columns where that is set.
    """
    pixels = frame.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    if stretch is not None:
        pixels = functional.interpolate(pixels, size=stretch, mode="bilinear", align_corners=False)
    size = scale_to((pixels.shape[-2], pixels.shape[-1]), short_side)
    if size == tuple(pixels.shape[-2:]):
        return pixels
    return functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
