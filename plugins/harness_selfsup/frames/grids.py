"""From pixels to the cells of the feature grid and back: sizes, resized frames, labels of cells, upsampled scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from harness.ops.sizes import Size, scale_to
from harness_selfsup.network import STRIDE


def working_size(size: Size, short_side: int | None) -> Size:
    """The size the encoder sees: the video's own, or with its shorter side so long."""
    if short_side is None or min(size) == short_side:
        return size
    return scale_to(size, short_side)


def grid_of(size: Size) -> Size:
    """(h, w) of the features of an image of this size."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def resize_frame(frame: Tensor, size: Size) -> Tensor:
    """A (H, W, 3) uint8 frame at ``size``: as it is, or (h, w, 3) float in [0, 1], bilinear with antialiasing."""
    if tuple(frame.shape[:2]) == size:
        return frame
    planes = functional.interpolate(
        frame.permute(2, 0, 1)[None].float() / 255, size=size, mode="bilinear", antialias=True
    )
    return planes[0].permute(1, 2, 0).clamp(0, 1)


def labels_of_cells(mask: Tensor, ids: Tensor, size: Size, *, mean: bool) -> Tensor:
    """Labels (K, h, w) of the cells of an image of ``size``, for ids (K,); cell i lies on pixel 4 i of it.

    Nearest: one-hot of that one pixel (MAST). Mean: the share of each id in the 4 x 4 pixels centred on it.
    """
    if tuple(mask.shape) != size:
        mask = functional.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0].to(mask.dtype)
    if not mean:
        return (mask[::STRIDE, ::STRIDE] == ids[:, None, None]).float()
    taps = torch.full((5,), 1 / STRIDE, device=mask.device)  # pixels 4 i - 2 .. 4 i + 2,
    taps[::4] /= 2  # the outer ones by half
    planes = functional.pad((mask == ids[:, None, None]).float()[:, None], (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(planes, torch.outer(taps, taps)[None, None], stride=STRIDE)[:, 0]


def upsample(scores: Tensor, size: Size, *, aligned: bool) -> Tensor:
    """Scores (K, h, w) of cells as those of the pixels of an image of ``size``, bilinearly.

    Aligned: cell i lies on pixel 4 i, and what is beyond the last cell is like it. Else pixels and cells share their
    outer edges (align_corners=False, MAST), which puts cell i on pixel 4 i + 1.5 where 4 divides ``size``.
    """
    if not aligned:
        return functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
    height, width = (STRIDE * (cells - 1) + 1 for cells in scores.shape[1:])
    inner = functional.interpolate(scores[None], size=(height, width), mode="bilinear", align_corners=True)
    return functional.pad(inner, (0, size[1] - width, 0, size[0] - height), mode="replicate")[0]
