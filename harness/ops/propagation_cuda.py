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
from typing import Any, NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float16
from torch import Tensor

from harness.ops.propagation import LEAST, Sigmas, Slots, on_device, places_of

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
    ahead: bool = False
    """Whether products of the next keys run while this tile's exponentials do, for one tile of registers more."""


# The first that fits the GPU's shared memory is taken: nothing is tuned while a method runs. Their order was measured,
# registers and shared memory are held by tests/ops/test_compiled_for_hopper.py.
HELD = (
    Tile(128, 64, 8, 3, 0, 1, ahead=True),
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
    _fold_references[(tiles, splits)](
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
        AHEAD=tile.ahead,
        **parts_of(channels, tile.chunk // query.element_size()),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    scores = labels.new_empty(classes, pixels)
    _merge_splits[(triton.cdiv(pixels, MERGED),)](
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


@triton.jit(do_not_specialize=["pixels", "references", "classes"])
@no_type_check
def _fold_references(
    query,
    keys,
    labels,
    slots,
    sigmas,
    places_q,
    places_k,
    peaks_out,
    total_out,
    sums_out,
    scale,
    pixels,
    references,
    classes,
    SLOTS: tl.constexpr,
    CLASSES: tl.constexpr,
    PRECISION: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CHUNK: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    LIFT: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """One tile of queries against its share of all keys; exponents are to the base 2.

    With ``AHEAD``, products of the keys that come next are begun before the exponentials of these: the tensor cores
    work meanwhile. What lies beyond the last query, key or class is the last one again, which weighs nothing or is not
    kept: masks in the loop would cost as much as the exponentials.
    """
    split = tl.program_id(1)
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    some_i = tl.minimum(i, pixels - 1)[:, None]
    axis = tl.arange(0, 16)
    place_q = tl.load(places_q + some_i * 16 + axis)
    label = tl.arange(0, CLASSES)
    some_label = tl.minimum(label, classes - 1)[None, :]
    queries = query + some_i * CHANNELS
    if CHUNK == 0:
        q_head = _load_part(queries, 0, HEAD, CHANNELS)
        q_tail = _load_part(queries, HEAD, TAIL, CHANNELS) if TAIL > 0 else q_head
    else:
        q_head = queries
        q_tail = queries
    peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    near_peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    sums = tl.zeros((QUERIES, CLASSES), tl.float32)

    place = tl.arange(0, SLOTS)
    count = tl.sum((tl.load(slots + place, mask=place < references, other=-1) >= 0).to(tl.int32), 0)
    tiles = tl.cdiv(pixels, KEYS)  # of one reference
    share = tl.cdiv(count * tiles, tl.num_programs(1))
    first = split * share
    last = tl.minimum(first + share, count * tiles)
    for reference in range(first // tiles, tl.cdiv(last, tiles)):
        slot = tl.load(slots + reference)
        sigma = tl.load(sigmas + reference).to(tl.float32)
        narrowness = 1.4426950408889634 / (sigma * sigma * scale)
        frame_keys = keys + slot * pixels * CHANNELS
        frame_labels = labels + slot * classes * pixels
        begin = tl.maximum(first - reference * tiles, 0)
        if AHEAD:
            key = frame_keys + tl.minimum(begin * KEYS + tl.arange(0, KEYS), pixels - 1) * CHANNELS
            coming = _products(q_head, q_tail, key, CHANNELS, CHUNK, HEAD, TAIL, PRECISION, QUERIES, KEYS)
        for tile in range(begin, tl.minimum(last - reference * tiles, tiles)):
            j = tile * KEYS + tl.arange(0, KEYS)
            some_j = tl.minimum(j, pixels - 1)
            place_k = tl.load(places_k + some_j[None, :] * 16 + axis[:, None])
            if AHEAD:
                squared = tl.dot(place_q, place_k)
                logits = coming
                key = frame_keys + tl.minimum(j + KEYS, pixels - 1) * CHANNELS
                coming = _products(q_head, q_tail, key, CHANNELS, CHUNK, HEAD, TAIL, PRECISION, QUERIES, KEYS)
            else:
                key = frame_keys + some_j * CHANNELS
                logits = _products(q_head, q_tail, key, CHANNELS, CHUNK, HEAD, TAIL, PRECISION, QUERIES, KEYS)
                squared = tl.dot(place_q, place_k)
            logits = tl.where((j < pixels)[None, :], logits, -float("inf"))
            higher = tl.maximum(peak, tl.max(logits, 1) * scale)
            total = total * tl.exp2(peak - higher) + tl.sum(tl.exp2(logits * scale - higher[:, None]), 1)
            peak = higher
            logits -= squared * narrowness
            higher = tl.maximum(near_peak, tl.max(logits, 1) * scale)
            weights = tl.exp2(logits * scale - (higher - LIFT)[:, None])
            sums *= tl.exp2(near_peak - higher)[:, None]
            near_peak = higher
            y = tl.load(frame_labels + some_label * pixels + some_j[:, None])
            if LIFT:
                sums = tl.dot(weights.to(tl.float16), y.to(tl.float16), sums)
            else:
                sums = tl.dot(weights, y, sums, input_precision=PRECISION)
    out = split * pixels + i
    is_query = i < pixels
    tl.store(peaks_out + out, peak, mask=is_query)
    tl.store(peaks_out + tl.num_programs(1) * pixels + out, near_peak, mask=is_query)
    tl.store(total_out + out, total, mask=is_query)
    sums *= 2.0**-LIFT
    tl.store(
        sums_out + out[:, None] * classes + label[None, :], sums, mask=is_query[:, None] & (label < classes)[None, :]
    )


@triton.jit
@no_type_check
def _products(
    q_head,
    q_tail,
    key,
    CHANNELS: tl.constexpr,
    CHUNK: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    PRECISION: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Products of the queries, held in two parts or with ``CHUNK`` pointed at, with the keys that begin at ``key``."""
    if CHUNK == 0:
        k = tl.trans(_load_part(key[:, None], 0, HEAD, CHANNELS))
        products = tl.dot(q_head, k, input_precision=PRECISION)
        if TAIL > 0:
            k = tl.trans(_load_part(key[:, None], HEAD, TAIL, CHANNELS))
            products = tl.dot(q_tail, k, products, input_precision=PRECISION)
    else:
        products = tl.zeros((QUERIES, KEYS), tl.float32)
        for begin in range(0, CHANNELS, CHUNK):
            q = _load_part(q_head, begin, CHUNK, CHANNELS)
            k = tl.trans(_load_part(key[:, None], begin, CHUNK, CHANNELS))
            products = tl.dot(q, k, products, input_precision=PRECISION)
    return products


@triton.jit
@no_type_check
def _load_part(rows, begin, COUNT: tl.constexpr, CHANNELS: tl.constexpr):
    """So many channels of some rows; 0 where there are no more, for which only channels that do not divide look."""
    channel = begin + tl.arange(0, COUNT)[None, :]
    if CHANNELS % COUNT == 0:
        return tl.load(rows + channel)
    return tl.load(rows + channel, mask=channel < CHANNELS, other=0.0)


@triton.jit(do_not_specialize=["pixels", "classes", "splits"])
@no_type_check
def _merge_splits(
    peaks,
    totals,
    sums,
    scores,
    pixels,
    classes,
    splits,
    CLASSES: tl.constexpr,
    QUERIES: tl.constexpr,
    LEAST: tl.constexpr,
):
    """Put the sums of the splits on common peaks, divide by the normaliser, and write class by class.

    The first split always has keys; one that had none has peaks of -inf and weighs nothing.
    """
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    label = tl.arange(0, CLASSES)
    is_query = i < pixels
    both = is_query[:, None] & (label < classes)[None, :]
    peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    near_peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    merged = tl.zeros((QUERIES, CLASSES), tl.float32)
    for split in range(0, splits):
        place = split * pixels + i
        other = tl.load(peaks + place, mask=is_query, other=0.0)
        higher = tl.maximum(peak, other)
        total *= tl.exp2(peak - higher)
        total += tl.load(totals + place, mask=is_query, other=1.0) * tl.exp2(other - higher)
        peak = higher
        other = tl.load(peaks + splits * pixels + place, mask=is_query, other=0.0)
        higher = tl.maximum(near_peak, other)
        merged *= tl.exp2(near_peak - higher)[:, None]
        part = tl.load(sums + place[:, None] * classes + label[None, :], mask=both, other=0.0)
        merged += part * tl.exp2(other - higher)[:, None]
        near_peak = higher
    factor = tl.exp2(tl.maximum(near_peak - peak, LEAST)) / total
    tl.store(scores + label[None, :] * pixels + i[:, None], merged * factor[:, None], mask=both)
