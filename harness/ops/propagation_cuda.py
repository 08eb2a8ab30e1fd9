"""Label propagation as one Triton kernel: products, running maximum, normaliser, prior and label sums in one pass.

References are addressed by their slots in the rings, so nothing is gathered or concatenated. Keys are shared out over
``splits`` programs a query tile (6,420 queries alone do not fill a large GPU); their partial sums are merged at the
end. Importing this module needs Triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import math
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from harness.ops.propagation import Sigmas, Slots, offsets, on_device

# The autotuner measures these on the GPU at hand, once for each size; those that do not fit it are passed over. On
# Hopper with 256 channels the first four fit for 16-bit features (at most 208 KiB shared), the last four for fp32.
TILES = [
    triton.Config({"QUERIES": queries, "KEYS": keys}, num_warps=warps, num_stages=stages)
    for queries, keys, warps, stages in (
        (128, 64, 8, 2),
        (64, 64, 4, 3),
        (64, 64, 4, 2),
        (64, 32, 4, 2),
        (64, 32, 4, 1),
        (64, 16, 4, 2),
        (64, 16, 4, 1),
        (32, 32, 4, 2),
    )
]


MERGED = 64  # queries of one program that puts the splits together


def propagate_fused(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Slots,
    sigmas: Sigmas,
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
    splits: int | None = None,
) -> Float[Tensor, "K N"]:
    """Propagate in one pass on the GPU and a small one after it; features fp32, fp16 or bf16, labels and sums fp32.

    Products of fp32 features take three TF32 products each, or one where PyTorch is told that TF32 is allowed.
    """
    pixels, channels = query.shape
    classes = labels.shape[1]
    tables = torch.exp(-offsets(sigmas, max(size), like=labels))
    splits = splits or min(len(slots), _splits_that_fill(query.device, pixels))
    peak = labels.new_empty(splits, pixels)
    total = labels.new_empty(splits, pixels)
    sums = labels.new_empty(splits, pixels, classes)

    def grid(chosen: dict[str, Any]) -> tuple[int, int]:
        return triton.cdiv(pixels, chosen["QUERIES"]), splits

    on_gpu = query.device.type == "cuda"
    fold = _fold_references_tuned if on_gpu else _fold_references  # the interpreter has nothing to tune
    fold[grid](
        query.contiguous(),
        keys,
        labels,
        on_device(slots, torch.int64, query.device),
        tables,
        peak,
        total,
        sums,
        temperature * math.log2(math.e),
        pixels,
        size[1],
        tables.shape[1],
        len(slots),
        channels,
        classes,
        CHANNELS=triton.next_power_of_2(channels),
        CLASSES=max(16, triton.next_power_of_2(classes)),
        PRECISION="tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3",
        **({} if on_gpu else {"QUERIES": 32, "KEYS": 32}),
    )
    scores = labels.new_empty(classes, pixels)
    _merge_splits[(triton.cdiv(pixels, MERGED),)](
        peak,
        total,
        sums,
        scores,
        pixels,
        classes,
        splits,
        CLASSES=max(16, triton.next_power_of_2(classes)),
        QUERIES=MERGED,
    )
    return scores


def _splits_that_fill(device: torch.device, pixels: int) -> int:
    """So many that every multiprocessor has about two programs of 64 queries."""
    if device.type != "cuda":
        return 2  # Triton's interpreter, on tensors in host memory
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, round(2 * processors / math.ceil(pixels / 64)))


@triton.jit
@no_type_check
def _fold_references(
    query,
    keys,
    labels,
    slots,
    tables,
    peak_out,
    total_out,
    sums_out,
    scale,
    pixels,
    width,
    table_length,
    references,
    channels,
    classes,
    CHANNELS: tl.constexpr,
    CLASSES: tl.constexpr,
    PRECISION: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One tile of queries against every ``splits``-th reference."""
    split = tl.program_id(1)
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    channel = tl.arange(0, CHANNELS)
    label = tl.arange(0, CLASSES)
    is_query = i < pixels
    is_channel = channel < channels
    is_label = label < classes
    q = tl.load(query + i[:, None] * channels + channel, mask=is_query[:, None] & is_channel, other=0.0)
    peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    sums = tl.zeros((QUERIES, CLASSES), tl.float32)
    for reference in range(split, references, tl.num_programs(1)):
        slot = tl.load(slots + reference)
        table = tables + reference * table_length
        frame_keys = keys + slot * pixels * channels
        frame_labels = labels + slot * classes * pixels
        for start in range(0, pixels, KEYS):
            j = start + tl.arange(0, KEYS)
            is_key = j < pixels
            k = tl.load(frame_keys + j * channels + channel[:, None], mask=is_key & is_channel[:, None], other=0.0)
            logits = tl.dot(q, k, input_precision=PRECISION) * scale  # base 2
            logits = tl.where(is_key, logits, -float("inf"))
            higher = tl.maximum(peak, tl.max(logits, 1))
            shrink = tl.exp2(peak - higher)
            weights = tl.exp2(logits - higher[:, None])
            total = total * shrink + tl.sum(weights, 1)  # the prior is not in it
            both = is_query[:, None] & is_key
            rows_apart = tl.abs(i[:, None] // width - j // width)
            columns_apart = tl.abs(i[:, None] % width - j % width)
            weights *= tl.load(table + rows_apart, mask=both, other=0.0)
            weights *= tl.load(table + columns_apart, mask=both, other=0.0)
            y = tl.load(frame_labels + label * pixels + j[:, None], mask=is_key[:, None] & is_label, other=0.0)
            sums = sums * shrink[:, None] + tl.dot(weights, y, input_precision=PRECISION)
            peak = higher
    out = split * pixels + i
    tl.store(peak_out + out, peak, mask=is_query)
    tl.store(total_out + out, total, mask=is_query)
    tl.store(sums_out + out[:, None] * classes + label, sums, mask=is_query[:, None] & is_label)


_fold_references_tuned = triton.autotune(TILES, key=["pixels", "channels", "CLASSES", "PRECISION"])(_fold_references)


@triton.jit
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
):
    """Put the partial sums of the splits on one peak, divide by the normaliser, and write class by class."""
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    label = tl.arange(0, CLASSES)
    is_query = i < pixels
    both = is_query[:, None] & (label < classes)
    peak = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    merged = tl.zeros((QUERIES, CLASSES), tl.float32)
    for split in range(0, splits):
        place = split * pixels + i
        other = tl.load(peaks + place, mask=is_query, other=0.0)
        higher = tl.maximum(peak, other)
        shrink = tl.exp2(peak - higher)
        share = tl.exp2(other - higher)
        total = total * shrink + tl.load(totals + place, mask=is_query, other=1.0) * share
        part = tl.load(sums + place[:, None] * classes + label, mask=both, other=0.0)
        merged = merged * shrink[:, None] + part * share[:, None]
        peak = higher
    tl.store(scores + label * pixels + i[:, None], merged / total[:, None], mask=both)
