"""From class scores on a coarse grid to a mask of ids as one Triton kernel: bilinear up-sampling, argmax, id.

Nothing between scores and ids is written. Importing this module needs Triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import contextlib
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

from harness.ops.labels import VOID

COLUMNS = 256  # pixels of one program, all of one row


def upsample_fused(
    scores: Float[Tensor, "K h w"], ids: UInt8[Tensor, " K"], size: tuple[int, int]
) -> UInt8[Tensor, "H W"]:
    """The id of the highest class, the first of equals; pixel centres lie at .5 (align_corners=False).

    Where a score is no number the mask is void.
    """
    classes, height, width = scores.shape
    if len(ids) != classes or not ids.is_contiguous():
        raise ValueError(f"found {len(ids)} ids of {classes} classes, or with gaps; expected one a class, contiguous")
    mask = torch.empty(size, dtype=torch.uint8, device=scores.device)
    with torch.cuda.device(scores.device) if scores.is_cuda else contextlib.nullcontext():
        _upsample_rows[(triton.cdiv(size[1], COLUMNS), size[0])](
            scores.contiguous(),
            ids,
            mask,
            height,
            width,
            size[1],
            height / size[0],
            width / size[1],
            classes,
            COLUMNS=COLUMNS,
            VOID=VOID,
        )
    return mask


@triton.jit(do_not_specialize=["height", "width", "columns", "scale_y", "scale_x", "classes"])
@no_type_check
def _upsample_rows(
    scores,
    ids,
    mask,
    height,
    width,
    columns,
    scale_y,
    scale_x,
    classes,
    COLUMNS: tl.constexpr,
    VOID: tl.constexpr,
):
    """Part of one row of the mask; the four neighbours of a pixel are mixed across first, then down, as in PyTorch."""
    row = tl.program_id(1)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    is_pixel = column < columns
    y = tl.maximum((row + 0.5) * scale_y - 0.5, 0.0)
    x = tl.maximum((column + 0.5) * scale_x - 0.5, 0.0)
    top = tl.minimum(y.to(tl.int32), height - 1)
    left = tl.minimum(x.to(tl.int32), width - 1)
    bottom = tl.minimum(top + 1, height - 1)
    right = tl.minimum(left + 1, width - 1)
    down = y - top
    across = x - left
    best = tl.full((COLUMNS,), -float("inf"), tl.float32)
    chosen = tl.zeros((COLUMNS,), tl.int32)
    is_number = is_pixel
    for k in range(0, classes):
        plane = scores + k * height * width
        upper = tl.load(plane + top * width + left, mask=is_pixel, other=0.0) * (1 - across)
        upper += tl.load(plane + top * width + right, mask=is_pixel, other=0.0) * across
        lower = tl.load(plane + bottom * width + left, mask=is_pixel, other=0.0) * (1 - across)
        lower += tl.load(plane + bottom * width + right, mask=is_pixel, other=0.0) * across
        mixed = upper * (1 - down) + lower * down
        is_number = is_number & (mixed == mixed)
        chosen = tl.where(mixed > best, k, chosen)
        best = tl.maximum(best, mixed)
    tl.store(mask + row * columns + column, tl.load(ids + chosen, mask=is_number, other=VOID), mask=is_pixel)
