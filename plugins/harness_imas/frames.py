"""Whole frames at the size that the network works on."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def resize_whole(frame: Tensor, short_side: int, stretch: tuple[int, int] | None) -> Tensor:
    """A (H, W, 3) uint8 frame as (1, 3, h, w) floats of 0..255, bilinear as the released code resizes.

    Its shorter side gets ``short_side`` pixels, after it was brought to ``stretch`` rows and columns where that is set.
    """
    pixels = frame.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    if stretch is not None:
        pixels = functional.interpolate(pixels, size=stretch, mode="bilinear", align_corners=False)
    rows, columns = pixels.shape[-2:]
    scale = short_side / min(rows, columns)
    size = max(round(rows * scale), 1), max(round(columns * scale), 1)
    if size == (rows, columns):
        return pixels
    return functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
