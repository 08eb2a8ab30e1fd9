"""Local attention compiled for the CPU: pixel by pixel, with one window of scores as its only extra memory.

Same sums as ``local_attention_plain``. The references of a pixel are folded in one after the other, relative to the
highest score so far. Where windows are centred on offsets, the fraction of the offset is shared by the whole window:
(2r + 2)^2 products with whole pixels, interpolated, give all (2r + 1)^2 scores; the weights go back to whole pixels
the same way before they meet the values. Importing this module needs Numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.api.held_memory import leave_out_compilers
from harness.ops.local_attention_plain import Offsets, first_pixels, pixels

with leave_out_compilers():
    from harness.ops.local_attention_loops import attend_rows, search_rows

ROWS = 4
"""Rows of queries that a thread takes at a time."""


def attend_compiled(
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
    """Attend in the dtype of ``values``, on as many threads as PyTorch has; features stored otherwise are copied."""
    height, width = query.shape[:2]
    dtype = values.dtype
    offsets = [None] * len(slots) if offsets is None else offsets
    value_offsets = offsets if value_offsets is None else value_offsets
    check_sizes(query, keys, values, slots, offsets, value_offsets)
    if keys.dtype != dtype:
        keys, values, slots = keys[list(slots)].to(dtype), values[list(slots)], range(len(slots))
    attended = values.new_empty(values.shape[1], height, width)
    arrays = [
        _array(query.to(dtype) * (temperature * math.log2(math.e))),  # weights are powers of 2
        _array(keys),
        _array(values),
        np.array(slots, np.int64),
        *_windows(offsets, height, width, radius, dtype),
        *_windows(value_offsets, height, width, radius, dtype),
    ]
    kind = (attend_rows, dtype)
    _share_out(kind, list(range(height)), lambda rows: attend_rows(rows, *arrays, radius, attended.numpy()))
    return attended


def coarse_offsets_compiled(
    query: Float[Tensor, "h w C"],
    key: Float[Tensor, "h w C"],
    *,
    dilation: int,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "h w 2"]:
    """Expected (dy, dx) of each pixel over a window of ``dilation`` steps; at least fp32."""
    check_sizes(query, key[None], query.permute(2, 0, 1)[None], (0,))
    dtype = torch.promote_types(query.dtype, torch.float32)
    scaled = _array(query.to(dtype) * (temperature * math.log2(math.e)))
    keys = _array(key.to(dtype))
    offsets = torch.empty(*query.shape[:2], 2, dtype=dtype)
    # Rows that look at the same rows of the key follow each other.
    rows = [row for phase in range(dilation) for row in range(phase, len(query), dilation)]
    kind = (search_rows, dtype)
    _share_out(kind, rows, lambda some: search_rows(some, scaled, keys, dilation, radius, offsets.numpy()))
    return offsets


def check_sizes(query: Tensor, keys: Tensor, values: Tensor, slots: Sequence[int], *offsets: Offsets) -> None:
    """Compiled loops look at no bounds: refuse here what would read elsewhere in memory."""
    shape, count = tuple(query.shape), min(len(keys), len(values))
    if tuple(keys.shape[1:]) != shape or tuple(values.shape[2:]) != shape[:2]:
        raise ValueError(
            f"found keys of {tuple(keys.shape[1:])} and values of {tuple(values.shape[2:])} a frame; "
            f"expected {shape} and {shape[:2]}, as the query has"
        )
    if not slots or not all(0 <= slot < count for slot in slots):
        raise ValueError(f"found slots {list(slots)}; expected at least one, each in 0..{count - 1}")
    for each in offsets:
        if len(each) != len(slots):
            raise ValueError(f"found offsets of {len(each)} references; expected {len(slots)}, one (or None) a slot")
        for offset in each:
            if offset is not None and tuple(offset.shape) != (*shape[:2], 2):
                raise ValueError(f"found offsets of {tuple(offset.shape)}; expected {(*shape[:2], 2)}")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _windows(
    offsets: Offsets, height: int, width: int, radius: int, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each reference the place of its windows in the other two arrays, or -1: around the pixels themselves.

    The others hold the first pixel (F, h, w, 2) of each window, and the share (F, h, w, 2) of the pixel after it.
    """
    places = np.full(len(offsets), -1, np.int64)
    first, fraction = (
        [torch.empty(0, height, width, 2, dtype=torch.int64)],
        [torch.empty(0, height, width, 2, dtype=dtype)],
    )
    for reference, offset in enumerate(offsets):
        if offset is not None:
            places[reference] = len(first) - 1
            centre = pixels(height, width, like=fraction[0]) + offset.to(dtype)
            whole, share = first_pixels(centre, radius, (height, width))
            first.append(whole[None])
            fraction.append(share[None])
    return places, _array(torch.cat(first)), _array(torch.cat(fraction))


_ready: set[Hashable] = set()
"""The loops that were called in this process before, each with its dtype."""


def _share_out(kind: Hashable, rows: list[int], work: Callable[[np.ndarray], None]) -> None:
    """Do ``work`` on a few rows at a time, on as many threads as PyTorch has; ``kind`` is what Numba compiles once."""
    parts = [np.array(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]
    if kind not in _ready:
        with leave_out_compilers():
            work(parts.pop(0))
        _ready.add(kind)
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
