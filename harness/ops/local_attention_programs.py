"""The Triton programs of local attention; ``local_attention_cuda`` launches them. Scores are in base 2."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["references", "height", "width", "classes"])
@no_type_check
def fold_around(
    query,
    keys,
    values,
    slots,
    peak_state,
    total_state,
    sums_state,
    scale,
    references,
    height,
    width,
    classes,
    RADIUS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PADDED: tl.constexpr,
    CLASSES: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
    PRECISION: tl.constexpr,
    HALF: tl.constexpr,
):
    """One tile of queries against every reference whose windows are centred on the pixels."""
    top = tl.program_id(0) * TILE
    left = tl.program_id(1) * TILE
    place = tl.arange(0, TILE * TILE)
    y = top + place // TILE
    x = left + place % TILE
    is_query = (y < height) & (x < width)
    i = y * width + x
    channel = tl.arange(0, PADDED)
    label = tl.arange(0, CLASSES)
    is_channel = channel < CHANNELS
    is_label = label < classes
    q = tl.load(query + i[:, None] * CHANNELS + channel, mask=is_query[:, None] & is_channel, other=0.0)
    peak = tl.load(peak_state + i, mask=is_query, other=0.0)
    total = tl.load(total_state + i, mask=is_query, other=0.0)
    out = i[:, None] * classes + label
    is_out = is_query[:, None] & is_label
    sums = tl.load(sums_state + out, mask=is_out, other=0.0)
    reach: tl.constexpr = TILE + 2 * RADIUS
    for reference in range(references):
        slot = tl.load(slots + reference)
        frame_keys = keys + slot * height * width * CHANNELS
        frame_values = values + slot * classes * height * width
        for start in range(0, reach * reach, KEYS):
            position = start + tl.arange(0, KEYS)
            key_y = top - RADIUS + position // reach
            key_x = left - RADIUS + position % reach
            j = key_y * width + key_x
            is_key = (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < width) & (position < reach * reach)
            k = tl.load(frame_keys + j * CHANNELS + channel[:, None], mask=is_key & is_channel[:, None], other=0.0)
            logits = tl.dot(q, k, input_precision=PRECISION) * scale  # 0 outside the frame
            apart_y = tl.abs(key_y - y[:, None])
            apart_x = tl.abs(key_x - x[:, None])
            is_near = (apart_y <= RADIUS) & (apart_x <= RADIUS) & (position < reach * reach)
            logits = tl.where(is_near, logits, -float("inf"))
            higher = tl.maximum(peak, tl.max(logits, 1))
            shrink = tl.exp2(peak - higher)
            weights = tl.exp2(logits - higher[:, None])
            total = total * shrink + tl.sum(weights, 1)
            v = tl.load(frame_values + label * height * width + j[:, None], mask=is_key[:, None] & is_label, other=0.0)
            sums *= shrink[:, None]
            if HALF:
                sums = tl.dot(weights.to(tl.float16), v.to(tl.float16), sums)
            else:
                sums = tl.dot(weights, v, sums, input_precision=PRECISION)
            peak = higher
    tl.store(peak_state + i, peak, mask=is_query)
    tl.store(total_state + i, total, mask=is_query)
    tl.store(sums_state + out, sums, mask=is_out)


@triton.jit(do_not_specialize=["height", "width"])
@no_type_check
def multiply_elsewhere(
    query,
    key,
    first,
    table,
    scale,
    height,
    width,
    SPAN: tl.constexpr,
    CHANNELS: tl.constexpr,
    PADDED: tl.constexpr,
    QUERIES: tl.constexpr,
):
    """Products of some queries with one row of whole pixels of their windows: (2r + 2)^2 a query in all."""
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    row = tl.program_id(1)
    is_query = i < height * width
    channel = tl.arange(0, PADDED)
    is_channel = channel < CHANNELS
    q = tl.load(query + i[:, None] * CHANNELS + channel, mask=is_query[:, None] & is_channel, other=0.0)
    q = q.to(tl.float32) * scale
    y = tl.load(first + 2 * i, mask=is_query, other=-1) + row
    left = tl.load(first + 2 * i + 1, mask=is_query, other=0)
    for column in range(SPAN):
        x = left + column
        is_key = is_query & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        j = y * width + x
        k = tl.load(key + j[:, None] * CHANNELS + channel, mask=is_key[:, None] & is_channel, other=0.0)
        product = tl.sum(q * k.to(tl.float32), 1)
        tl.store(table + (i.to(tl.int64) * SPAN + row) * SPAN + column, product, mask=is_query)


@triton.jit(do_not_specialize=["height", "width", "classes"], do_not_specialize_on_alignment=["values"])
@no_type_check
def fold_elsewhere(
    table,
    fraction,
    values,
    value_first,
    value_fraction,
    peak_state,
    total_state,
    sums_state,
    height,
    width,
    classes,
    SPAN: tl.constexpr,
    LANES: tl.constexpr,
    CLASSES: tl.constexpr,
    QUERIES: tl.constexpr,
):
    """Some queries against one reference, row by row of their windows, between the whole pixels of ``table``."""
    i = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    is_query = i < height * width
    lane = tl.arange(0, LANES)
    is_lane = lane < SPAN - 1
    both = is_query[:, None] & is_lane
    down = tl.load(fraction + 2 * i, mask=is_query, other=0.0)[:, None]
    right = tl.load(fraction + 2 * i + 1, mask=is_query, other=0.0)[:, None]
    value_top = tl.load(value_first + 2 * i, mask=is_query, other=0)[:, None]
    value_left = tl.load(value_first + 2 * i + 1, mask=is_query, other=0)[:, None]
    value_down = tl.load(value_fraction + 2 * i, mask=is_query, other=0.0)[:, None]
    value_right = tl.load(value_fraction + 2 * i + 1, mask=is_query, other=0.0)[:, None]
    label = tl.arange(0, CLASSES)
    out = i[:, None] * classes + label
    is_out = is_query[:, None] & (label < classes)
    peak = tl.load(peak_state + i, mask=is_query, other=0.0)
    total = tl.load(total_state + i, mask=is_query, other=0.0)
    sums = tl.load(sums_state + out, mask=is_out, other=0.0)
    for row in range(SPAN - 1):
        corner = table + (i.to(tl.int64)[:, None] * SPAN + row) * SPAN + lane
        above = tl.load(corner, mask=both, other=0.0) * (1 - right)
        above += tl.load(corner + 1, mask=both, other=0.0) * right
        below = tl.load(corner + SPAN, mask=both, other=0.0) * (1 - right)
        below += tl.load(corner + SPAN + 1, mask=both, other=0.0) * right
        logits = tl.where(is_lane, above * (1 - down) + below * down, -float("inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        shrink = tl.exp2(peak - higher)
        weights = tl.exp2(logits - higher[:, None])
        total = total * shrink + tl.sum(weights, 1)
        sums = sums * shrink[:, None]
        peak = higher
        for step in range(4):  # the four whole pixels around each position
            y = value_top + row + step // 2
            x = value_left + lane + step % 2
            share = tl.where(step // 2 == 1, value_down, 1 - value_down)
            share = share * tl.where(step % 2 == 1, value_right, 1 - value_right)
            is_value = both & (y >= 0) & (y < height) & (x >= 0) & (x < width)
            shared = weights * share
            for k in range(classes):
                v = tl.load(values + (k * height + y) * width + x, mask=is_value, other=0.0)
                sums += tl.where(label == k, tl.sum(shared * v, 1)[:, None], 0.0)
    tl.store(peak_state + i, peak, mask=is_query)
    tl.store(total_state + i, total, mask=is_query)
    tl.store(sums_state + out, sums, mask=is_out)


@triton.jit(do_not_specialize=["height", "width"])
@no_type_check
def search_around(
    query,
    key,
    offsets,
    scale,
    height,
    width,
    DILATION: tl.constexpr,
    RADIUS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PADDED: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of one phase of the grid: queries ``DILATION`` pixels apart, and keys at the same distances."""
    phase_y = tl.program_id(2) // DILATION
    phase_x = tl.program_id(2) % DILATION
    top = tl.program_id(0) * TILE
    left = tl.program_id(1) * TILE
    place = tl.arange(0, TILE * TILE)
    coarse_y = top + place // TILE
    coarse_x = left + place % TILE
    y = phase_y + coarse_y * DILATION
    x = phase_x + coarse_x * DILATION
    is_query = (y < height) & (x < width)
    i = y * width + x
    channel = tl.arange(0, PADDED)
    is_channel = channel < CHANNELS
    q = tl.load(query + i[:, None] * CHANNELS + channel, mask=is_query[:, None] & is_channel, other=0.0)
    peak = tl.full((TILE * TILE,), -1e30, tl.float32)
    total = tl.zeros((TILE * TILE,), tl.float32)
    down = tl.zeros((TILE * TILE,), tl.float32)
    right = tl.zeros((TILE * TILE,), tl.float32)
    reach: tl.constexpr = TILE + 2 * RADIUS
    for start in range(0, reach * reach, KEYS):
        position = start + tl.arange(0, KEYS)
        coarse_key_y = top - RADIUS + position // reach
        coarse_key_x = left - RADIUS + position % reach
        key_y = phase_y + coarse_key_y * DILATION
        key_x = phase_x + coarse_key_x * DILATION
        j = key_y * width + key_x
        is_key = (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < width) & (position < reach * reach)
        k = tl.load(key + j * CHANNELS + channel[:, None], mask=is_key & is_channel[:, None], other=0.0)
        logits = tl.dot(q, k, input_precision=PRECISION) * scale
        apart_y = coarse_key_y - coarse_y[:, None]
        apart_x = coarse_key_x - coarse_x[:, None]
        is_near = (tl.abs(apart_y) <= RADIUS) & (tl.abs(apart_x) <= RADIUS) & (position < reach * reach)
        logits = tl.where(is_near, logits, -float("inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        shrink = tl.exp2(peak - higher)
        weights = tl.exp2(logits - higher[:, None])
        total = total * shrink + tl.sum(weights, 1)
        down = down * shrink + tl.sum(weights * apart_y, 1)
        right = right * shrink + tl.sum(weights * apart_x, 1)
        peak = higher
    tl.store(offsets + 2 * i, down / total * DILATION, mask=is_query)
    tl.store(offsets + 2 * i + 1, right / total * DILATION, mask=is_query)
