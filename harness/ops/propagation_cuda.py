"""Label propagation as one Triton kernel: products, both running peaks, normaliser and label sums in one pass.

References are addressed by their slots in the rings, so nothing is gathered or concatenated, and their number is read
from the slots: one CUDA graph serves a video from its second frame on. All keys are shared out evenly over ``splits``
programs a query tile (6,420 queries alone do not fill a large GPU); a small kernel puts their sums together.
Importing this module needs Triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any, NamedTuple

import torch
import triton
from jaxtyping import Float, Float16
from torch import Tensor

from harness.ops.propagation import LEAST, Sigmas, Slots, on_device, places_of
from harness.ops.propagation_programs import fold_references, merge_splits

MOST_CELLS = 724
"""Up to here whole numbers of `places_on_grid` are exact in fp16 (724^2 * 2 / 512 = 2,048)."""
MERGED = 64  # queries of one program that puts the splits together
LEAST_2 = math.floor(LEAST * math.log2(math.e))
"""`LEAST` for powers of two."""
LIFT_2 = 14
"""Weights that meet the labels in fp16 are at most 2^14, so that they have all their bits down to 2^-28 of the heaviest
and are there down to 2^-38."""


class Tile(NamedTuple):
    """How much one program works on, and how many programs a multiprocessor holds at a time."""

    queries: int
    keys: int
    warps: int
    stages: int
    chunk: int
    """Bytes of a pixel's features in one product, in a loop; 0: those of the queries stay in shared memory whole."""
    residents: int


# The first that fits the GPU's shared memory is taken: nothing is tuned while a method runs. LOOPED is in the order
# measured on an H200. HELD has not been timed since the loop was rewritten; its first tile has run there. In the loop
# before, 128 x 64 took .98 ms, 128 x 128 1.13. tests/ops/test_compiled_for_hopper.py holds registers and shared memory.
HELD = (
    Tile(128, 128, 8, 2, 0, 1),
    Tile(128, 64, 8, 3, 0, 1),
    Tile(128, 64, 8, 2, 0, 1),
    Tile(64, 64, 4, 2, 0, 2),
    Tile(32, 32, 4, 1, 0, 2),
)
LOOPED = (
    Tile(128, 128, 8, 3, 128, 1),
    Tile(128, 64, 8, 3, 128, 1),
    Tile(64, 32, 4, 1, 64, 2),
)
INTERPRETED = Tile(512, 1024, 4, 1, 0, 1)
"""For Triton's interpreter, to which only the number of steps matters."""
MOST_HELD = 256
"""Channels in 16 bits up to which they are held. Those in 32 are not: cut in three, they would fill the registers."""


def propagate_fused(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Slots,
    sigmas: Sigmas,
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
    tile: Tile | None = None,
    splits: int | None = None,
) -> Float[Tensor, "K N"]:
    """Propagate in one pass on the GPU and a small one after it; features fp32, fp16 or bf16, labels and sums fp32.

    Products of fp32 features take three TF32 products each, or one where PyTorch is told that TF32 is allowed; weights
    of 16-bit features, bf16 too, are rounded to fp16 before they meet the labels. Rings that are not contiguous are
    refused, and so are slots that they do not have where these are numbers; a tensor of slots is trusted.
    """
    query = query.contiguous()
    for name, tensor in (("keys", keys), ("labels", labels)):
        if not tensor.is_contiguous():
            raise ValueError(f"{name} {tuple(tensor.shape)} has strides {tensor.stride()}; expected contiguous")
    if not isinstance(slots, Tensor):
        places_of(slots, len(keys))
    slots, sigmas = on_device(slots, torch.int64, query.device), on_device(sigmas, torch.float64, query.device)
    with torch.cuda.device(query.device) if query.is_cuda else contextlib.nullcontext():
        if tile is not None:
            tiles: tuple[Tile, ...] = (tile,)
        elif query.is_cuda:
            tiles = tiles_for(query.dtype, query.shape[1], torch.cuda.get_device_capability(query.device)[0])
        else:
            tiles = (INTERPRETED,)
        for chosen in tiles:
            with contextlib.suppress(triton.OutOfResources):
                return _propagate(query, keys, labels, slots, sigmas, size, temperature, chosen, splits)
    raise RuntimeError(f"no tile for {query.shape[1]} channels of {query.dtype} fits {query.device}")


def tiles_for(dtype: torch.dtype, channels: int, capability: int) -> tuple[Tile, ...]:
    """The tiles to try, best first; ``capability``: the GPU's major number, 9 for Hopper."""
    if dtype != torch.float32 and channels <= MOST_HELD:
        return HELD
    return LOOPED if capability >= 9 else LOOPED[1:]  # without wgmma, the first one spills all over


def splits_that_fill(tiles: int, slots: int) -> int:
    """The fewest programs a query tile that leave at most a twentieth of the GPU idle in their last round.

    ``slots``: programs that run at a time. Without such a number, the one that leaves least idle.
    """
    busy = {splits: tiles * splits / (math.ceil(tiles * splits / slots) * slots) for splits in range(1, 17)}
    return next((splits for splits, share in busy.items() if share >= 0.95), max(busy, key=lambda each: busy[each]))


def _propagate(
    query: Tensor,
    keys: Tensor,
    labels: Tensor,
    slots: Tensor,
    sigmas: Tensor,
    size: tuple[int, int],
    temperature: float,
    tile: Tile,
    splits: int | None,
) -> Float[Tensor, "K N"]:
    pixels, channels = query.shape
    classes = labels.shape[1]
    tiles = triton.cdiv(pixels, tile.queries)
    splits = splits or splits_that_fill(tiles, _slots(query.device, tile))
    padded = max(16, triton.next_power_of_2(classes))
    peaks = labels.new_empty(2, splits, pixels)
    total = labels.new_empty(splits, pixels)
    sums = labels.new_empty(splits, pixels, classes)
    fold_references[(tiles, splits)](
        query,
        keys,
        labels,
        slots,
        sigmas,
        *places_on_grid(size, query.device),
        peaks,
        total,
        sums,
        temperature * math.log2(math.e),
        pixels,
        len(slots),
        classes,
        SLOTS=triton.next_power_of_2(len(slots)),
        CLASSES=padded,
        PRECISION="tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3",
        QUERIES=tile.queries,
        KEYS=tile.keys,
        LIFT=0 if query.dtype == torch.float32 else LIFT_2,
        **parts_of(channels, tile.chunk // query.element_size()),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    scores = labels.new_empty(classes, pixels)
    merge_splits[(triton.cdiv(pixels, MERGED),)](
        peaks,
        total,
        sums,
        scores,
        pixels,
        classes,
        splits,
        CLASSES=padded,
        QUERIES=MERGED,
        LEAST=LEAST_2,
    )
    return scores


@functools.cache
def places_on_grid(size: tuple[int, int], device: torch.device) -> tuple[Float16[Tensor, "N 16"], ...]:
    """Rows whose products are squared distances on the grid, exactly: (-2y, -2x, 512, 1, a, b) for queries and
    (y, x, a, b, 512, 1) for keys, where y^2 + x^2 = 512 a + b. The kernel multiplies them on the tensor cores.

    They stay where they are for good: CUDA graphs hold their addresses.
    """
    height, width = size
    if max(size) > MOST_CELLS:
        raise ValueError(f"found a grid of {height} x {width} cells; expected at most {MOST_CELLS} a side")
    cell = torch.arange(height * width, device=device)
    y, x = cell // width, cell % width
    square = y**2 + x**2
    a, b, one, none = square // 512, square % 512, torch.ones_like(cell), torch.zeros_like(cell)
    queries = (-2 * y, -2 * x, 512 * one, one, a, b)
    keys = (y, x, a, b, 512 * one, one)
    return tuple(torch.stack([*rows, *[none] * 10], 1).half() for rows in (queries, keys))


def parts_of(channels: int, chunk: int) -> dict[str, Any]:
    """How the kernel cuts so many channels up: by so many at most in a loop, or (0) at once as 80 = 64 + 16."""
    if chunk:
        while channels % chunk and chunk > 16:
            chunk //= 2
        return {"CHANNELS": channels, "CHUNK": chunk, "HEAD": 16, "TAIL": 0}
    head = max(16, 2 ** (channels.bit_length() - 1))
    tail = 0 if channels <= head else max(16, triton.next_power_of_2(channels - head))
    return {"CHANNELS": channels, "CHUNK": 0, "HEAD": head, "TAIL": tail}


def _slots(device: torch.device, tile: Tile) -> int:
    """How many programs run at a time; 40 in Triton's interpreter, so that it has splits to merge."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 40
    return processors * tile.residents
