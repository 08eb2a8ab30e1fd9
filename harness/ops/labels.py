"""Id maps as class scores and back, and the bilinear resizing between the video's size and a feature grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

VOID = 255


def one_hot(mask: UInt8[Tensor, "H W"], ids: Sequence[int]) -> Float[Tensor, "K H W"]:
    """One float plane an id of ``ids``, in that order; pixels of no listed id are 0 in every plane."""
    return torch.stack([mask == value for value in ids]).float()


def resize_bilinear(planes: Float[Tensor, "K H W"], size: tuple[int, int]) -> Float[Tensor, "K h w"]:
    """Resize as the official VOS codes do: pixel centres at .5 (align_corners=False), no antialiasing.

    Down by 8 this is the mean of the centre 2 x 2 of each 8 x 8 block.
    """
    return functional.interpolate(planes[None], size=size, mode="bilinear", align_corners=False)[0]
