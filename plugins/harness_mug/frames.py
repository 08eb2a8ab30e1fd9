"""Frames as the network wants them: their size, and colour or, in the released code, lightness alone."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness.ops.sizes import Size, scale_to

WHITE = (0.2126, 0.7152, 0.0722)
"""How much red, green and blue light count for lightness (sRGB)."""
DARK, CUT = (6 / 29) ** 3, 0.04045
"""Below these the curves of CIE Lab and sRGB are straight."""


def working_size(size: Size, short_side: int, stretch: Size | None, stride: int) -> Size:
    """Rows and columns of multiples of ``stride``, so that no cell hangs over the frame's edge.

    >>> working_size((480, 854), 240, None, 8), working_size((480, 854), 240, (256, 256), 4)
    ((240, 424), (256, 256))
    """
    height, width = stretch or scale_to(size, short_side)
    return max(stride, height // stride * stride), max(stride, width // stride * stride)


def resize_frame(frame: UInt8[Tensor, "H W 3"], size: Size) -> Float[Tensor, "1 3 h w"]:
    """A frame as floats of 0..255 at another size, each pixel the mean of those it stands for."""
    pixels = frame.permute(2, 0, 1)[None].float()
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    return functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)


def lightness(frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The L of CIE Lab as OpenCV's 8 bits have it (0..255), in all three channels, of RGB of 0..255. code."""
    shares = frames / 255
    light = torch.where(shares <= CUT, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    y = (light * light.new_tensor(WHITE)[:, None, None]).sum(1, keepdim=True)
    found = torch.where(y > DARK, 116 * y.clamp(min=DARK) ** (1 / 3) - 16, y * (29 / 3) ** 3)
    return (found * 2.55).round().expand(-1, 3, -1, -1)
