"""The Triton programs of propagation: a tile of queries against a share of all keys, and the shares together."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["pixels", "references", "classes"])
@no_type_check
def fold_references(
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
):
    """One tile of queries against its share of all keys; exponents are to the base 2.

    What lies beyond the last query, key or class is the last one again, which weighs nothing or is not kept: masks in
    the loop would cost as much as the exponentials. The loop is not cut into functions: six running values would go in
    and out of each.
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
        for tile in range(begin, tl.minimum(last - reference * tiles, tiles)):
            j = tile * KEYS + tl.arange(0, KEYS)
            some_j = tl.minimum(j, pixels - 1)
            place_k = tl.load(places_k + some_j[None, :] * 16 + axis[:, None])
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
def merge_splits(
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
    half = tl.exp2(tl.maximum(near_peak - peak, LEAST) * 0.5)  # 2^LEAST itself is no normal number
    merged *= (half / total)[:, None]
    tl.store(scores + label[None, :] * pixels + i[:, None], merged * half[:, None], mask=both)
