"""Local attention as Triton kernels: one program a tile of query pixels, no window of features in memory.

Windows centred on their pixels: the keys around a tile are taken in blocks, one matrix product each, and what lies
outside a query's own window is masked. Windows centred on offsets: products with whole pixels are gathered into a
table of (2r + 2)^2 a query (69 MB at 480p, one reference at a time), from which scores are interpolated. References
are addressed by their slots in the rings. Importing this module needs Triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from harness.ops.local_attention_plain import Offsets, first_pixels, pixels
from harness.ops.local_attention_programs import fold_around, fold_elsewhere, multiply_elsewhere, search_around
from harness.ops.propagation import places_of

TILE = 8
"""Side of a tile of queries; 64 queries are one matrix product's rows."""
KEYS = 32
"""Keys of one matrix product: with radius 12 one row of the keys around a tile; with 64 registers are spilled."""
STAGES = 2
GATHERED = 16
"""Queries of a program that gathers."""


def attend_fused(
    query: Float[Tensor, "h w C"],
    keys: Float[Tensor, "S h w C"],
    values: Float[Tensor, "S K h w"],
    slots: Sequence[int],
    *,
    offsets: Offsets | None = None,
    value_offsets: Offsets | None = None,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "K h w"]:
    """Attend on the GPU; features fp32, fp16 or bf16, values and sums fp32.

    Products of fp32 features take three TF32 products each, or one where PyTorch is told that TF32 is allowed; weights
    of 16-bit features are rounded to fp16 (to 2^-12 of themselves) before they meet the values, which lie in 0..1.
    """
    places_of(slots, len(keys))
    with on_its_device(query):
        return _attend(query, keys, values, slots, offsets, value_offsets, radius, temperature)


def on_its_device(query: Float[Tensor, "..."]) -> AbstractContextManager[object]:
    """Triton launches on torch's current device, whatever the tensors lie on."""
    return torch.cuda.device(query.device) if query.is_cuda else nullcontext()


def _attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Sequence[int],
    offsets: Offsets | None,
    value_offsets: Offsets | None,
    radius: int,
    temperature: float,
) -> Float[Tensor, "K h w"]:
    height, width, channels = query.shape
    classes = values.shape[1]
    offsets = [None] * len(slots) if offsets is None else offsets
    value_offsets = offsets if value_offsets is None else value_offsets
    query, keys, values = query.contiguous(), keys.contiguous(), values.contiguous()
    scale = temperature * math.log2(math.e)
    padded = max(16, triton.next_power_of_2(channels)), max(16, triton.next_power_of_2(classes))
    is_half = query.dtype != torch.float32
    state = (
        values.new_full((height, width), -1e30),  # -inf would subtract from itself
        values.new_zeros(height, width),
        values.new_zeros(height, width, classes),
    )
    near = [
        slot
        for slot, *moved in zip(slots, offsets, value_offsets, strict=True)
        if moved[0] is None and moved[1] is None
    ]
    if near:
        fold_around[(triton.cdiv(height, TILE), triton.cdiv(width, TILE))](
            query, keys, values, _on_device(near, query.device), *state, scale, len(near), height, width, classes,
            RADIUS=radius, CHANNELS=channels, PADDED=padded[0], CLASSES=padded[1], TILE=TILE, KEYS=KEYS,
            PRECISION=_precision(), HALF=is_half, num_warps=4, num_stages=STAGES,
        )  # fmt: skip
    tiles = triton.cdiv(height * width, GATHERED)
    span = 2 * radius + 2
    table = query.new_empty((height * width, span, span) if len(near) < len(slots) else 0, dtype=torch.float32)
    for slot, offset, value_offset in zip(slots, offsets, value_offsets, strict=True):
        if offset is None and value_offset is None:
            continue
        first, fraction = _windows(offset, radius, like=state[0])
        value_first, value_fraction = (
            (first, fraction) if value_offset is offset else _windows(value_offset, radius, like=state[0])
        )
        multiply_elsewhere[(tiles, span)](
            query, keys[slot], first, table, scale, height, width,
            SPAN=span, CHANNELS=channels, PADDED=padded[0], QUERIES=GATHERED,
        )  # fmt: skip
        fold_elsewhere[(tiles,)](
            table, fraction, values[slot], value_first, value_fraction, *state, height, width, classes,
            SPAN=span, LANES=triton.next_power_of_2(span - 1), CLASSES=padded[1], QUERIES=GATHERED,
        )  # fmt: skip
    return (state[2] / state[1][..., None]).permute(2, 0, 1)


def coarse_offsets_fused(
    query: Float[Tensor, "h w C"],
    key: Float[Tensor, "h w C"],
    *,
    dilation: int,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "h w 2"]:
    """Expected (dy, dx), in fp32: dense attention on each phase of the grid."""
    height, width, channels = query.shape
    offsets = torch.empty(height, width, 2, dtype=torch.float32, device=query.device)
    side = TILE * dilation
    with on_its_device(query):
        search_around[(triton.cdiv(height, side), triton.cdiv(width, side), dilation * dilation)](
            query.contiguous(), key.contiguous(), offsets, temperature * math.log2(math.e), height, width,
            DILATION=dilation, RADIUS=radius, CHANNELS=channels, PADDED=max(16, triton.next_power_of_2(channels)),
            TILE=TILE, KEYS=KEYS, PRECISION=_precision(), num_warps=4, num_stages=STAGES,
        )  # fmt: skip
    return offsets


def _precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3"


def _on_device(slots: Sequence[int], device: torch.device) -> Tensor:
    chosen = torch.tensor(slots, dtype=torch.int64)
    return chosen.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else chosen


def _windows(
    offset: Float[Tensor, "h w 2"] | None, radius: int, *, like: Float[Tensor, "h w"]
) -> tuple[Tensor, Tensor]:
    """First pixel (h, w, 2) of each query's window, int32, and the share (h, w, 2) of the pixel after it."""
    height, width = like.shape
    centre = pixels(height, width, like=like)
    first, fraction = first_pixels(centre if offset is None else centre + offset, radius, (height, width))
    return first.int().contiguous(), fraction.contiguous()
