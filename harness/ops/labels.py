"""Id maps as class scores and back, laid over each other, and resized between the video's size and a feature grid."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

VOID = 255


def one_hot(mask: UInt8[Tensor, "H W"], ids: Sequence[int]) -> Float[Tensor, "K H W"]:
    """One float plane an id of ``ids``, in that order; pixels of no listed id are 0 in every plane."""
    return torch.stack([mask == value for value in ids]).float()


def overlay(mask: UInt8[Tensor, "H W"], prompt: UInt8[Tensor, "H W"]) -> UInt8[Tensor, "H W"]:
    """``mask`` with the objects of ``prompt`` exactly as prompted, and nowhere else."""
    kept = mask.masked_fill(torch.isin(mask, prompt.unique()), 0)
    return torch.where(prompt > 0, prompt, kept)


def resize_bilinear(planes: Float[Tensor, "K H W"], size: tuple[int, int]) -> Float[Tensor, "K h w"]:
    """Resize as the official VOS codes do: pixel centres at .5 (align_corners=False), no antialiasing.

    Down by 8 this is the mean of the centre 2 x 2 of each 8 x 8 block.
    """
    return functional.interpolate(planes[None], size=size, mode="bilinear", align_corners=False)[0]


def resize_nearest(mask: UInt8[Tensor, "H W"], size: tuple[int, int]) -> UInt8[Tensor, "h w"]:
    """Resize ids as Pillow's nearest filter does: each pixel takes the one that its centre falls into."""
    rows, columns = (_under_centres(*sides, mask.device) for sides in zip(mask.shape, size, strict=True))
    return mask[rows[:, None], columns]


@functools.lru_cache(maxsize=32)
def _under_centres(source: int, target: int, device: torch.device) -> Int[Tensor, " target"]:
    """Pillow adds up steps in double precision, and so decides where a centre falls between two pixels."""
    step = source / target
    centres = itertools.accumulate(itertools.repeat(step, target - 1), initial=step / 2)
    return torch.tensor([min(int(centre), source - 1) for centre in centres], device=device)
