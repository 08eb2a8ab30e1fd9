"""The compiled loops of local attention: products of a window, weights as powers of 2, sums of values.

Numba compiles them at the first call with each dtype, or loads what it compiled before. Scores are in base 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check

import numba
import numpy as np
from numba.extending import overload

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("Numba is switched off (NUMBA_DISABLE_JIT); the tiled form is faster than this one uncompiled")

# Sums may be taken in any order; what is not a number stays so.
_FREEDOM = {"contract", "reassoc", "nsz", "arcp"}
_LOWEST = np.float32(-126.0)
# 2^f for -1/2 <= f <= 1/2 to 6e-8; the coefficients of 2^f's own series, the last ones adjusted to the interval.
_C6, _C5, _C4 = np.float32(1.535336188319500e-4), np.float32(1.339887440266574e-3), np.float32(9.618437357674640e-3)
_C3, _C2, _C1 = np.float32(5.550332471162809e-2), np.float32(2.402264791363012e-1), np.float32(6.931472028550421e-1)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without the GIL; keep the machine code on disk where there is a place to write."""
    try:
        return numba.njit(nogil=True, error_model="numpy", fastmath=_FREEDOM, cache=True)(function)
    except RuntimeError:  # Numba found no folder it may write its cache to
        return numba.njit(nogil=True, error_model="numpy", fastmath=_FREEDOM)(function)


@no_type_check
def power_of_2(x):
    """2^x for x <= 0."""
    return np.exp2(x)


@no_type_check
def _power_of_2_single(x):
    """By exponent bits and a polynomial, which becomes vector code; at least 2^-126, so never subnormal."""
    x = _LOWEST if x < _LOWEST else x
    whole = np.floor(x + np.float32(0.5))
    f = x - whole
    p = (((((_C6 * f + _C5) * f + _C4) * f + _C3) * f + _C2) * f + _C1) * f + np.float32(1.0)
    return p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@overload(power_of_2, inline="always")
@no_type_check
def _power_of_2_in(x):
    return _power_of_2_single if x == numba.float32 else power_of_2


@_compile
@no_type_check
def _products(query, key, top, left, step, count, scores):
    """<query, key> at count x count positions from (top, left) on, row by row; 0 outside the frame."""
    height, width, channels = key.shape
    first = min(max(-(left // step), 0), count)  # those inside the frame, rounded up
    last = max(min(-((left - width) // step), count), first)
    for i in range(count):
        y = top + i * step
        row = scores[i * count :]
        for j in range(count):
            row[j] = 0
        if 0 <= y < height:
            for j in range(first, last):  # a condition in here would cost a factor of 3
                there = key[y, left + j * step]
                product = scores.dtype.type(0)
                for c in range(channels):
                    product += query[c] * there[c]
                row[j] = product


@_compile
@no_type_check
def _interpolate(whole, fraction, count, scores):
    """Scores of count x count positions between those of (count + 1)^2 whole pixels."""
    down, right = fraction[0], fraction[1]
    for i in range(count):
        upper, lower = whole[i * (count + 1) :], whole[(i + 1) * (count + 1) :]
        row = scores[i * count :]
        for j in range(count):
            above = upper[j] + (upper[j + 1] - upper[j]) * right
            below = lower[j] + (lower[j + 1] - lower[j]) * right
            row[j] = above + (below - above) * down


@_compile
@no_type_check
def _give_back(weights, fraction, count, whole):
    """The adjoint of ``_interpolate``: weights of (count + 1)^2 whole pixels."""
    down, right = fraction[0], fraction[1]
    one = whole.dtype.type(1)
    for i in range((count + 1) * (count + 1)):
        whole[i] = 0
    for i in range(count):
        upper, lower = whole[i * (count + 1) :], whole[(i + 1) * (count + 1) :]
        row = weights[i * count :]
        for j in range(count):
            upper[j] += row[j] * (one - down) * (one - right)
            lower[j] += row[j] * down * (one - right)
        for j in range(count):
            upper[j + 1] += row[j] * (one - down) * right
            lower[j + 1] += row[j] * down * right


@_compile
@no_type_check
def _weigh(scores, size, peak):
    """Turn scores into powers of 2 relative to ``peak``; return their sum."""
    total = scores.dtype.type(0)
    for i in range(size):
        weight = power_of_2(scores[i] - peak)
        scores[i] = weight
        total += weight
    return total


@_compile
@no_type_check
def _highest(scores, size):
    """The highest score. Four at a time: each comparison waits for the one before it."""
    one = other = third = fourth = scores[0]
    for i in range(0, size - 3, 4):
        one = max(one, scores[i])
        other = max(other, scores[i + 1])
        third = max(third, scores[i + 2])
        fourth = max(fourth, scores[i + 3])
    for i in range(size - size % 4, size):
        one = max(one, scores[i])
    return max(max(one, other), max(third, fourth))


@_compile
@no_type_check
def _box(values):
    """First and last row and column (exclusive) that hold something else than 0."""
    height, width = values.shape
    top, bottom, left, right = height, 0, width, 0
    for y in range(height):
        for x in range(width):
            if values[y, x] != 0:
                top, bottom = min(top, y), y + 1
                left, right = min(left, x), max(right, x + 1)
    return top, bottom, left, right


@_compile
@no_type_check
def _add_values(values, boxes, weights, top, left, count, sums):
    """Add to each class the weighted values of count x count pixels from (top, left) on."""
    for k in range(values.shape[0]):
        first = max(left, boxes[k, 2])
        last = min(left + count, boxes[k, 3])
        found = sums.dtype.type(0)
        for y in range(max(top, boxes[k, 0]), min(top + count, boxes[k, 1])):
            row = values[k, y, first:]
            weight = weights[(y - top) * count + first - left :]
            for j in range(last - first):
                found += weight[j] * row[j]
        sums[k] += found


@_compile
@no_type_check
def _boxes(values):
    boxes = np.empty((values.shape[0], 4), np.int64)
    for k in range(values.shape[0]):
        boxes[k] = _box(values[k])
    return boxes


@_compile
@no_type_check
def attend_rows(
    rows,
    query,
    keys,
    values,
    slots,
    places,
    first,
    fraction,
    value_places,
    value_first,
    value_fraction,
    radius,
    attended,
):
    """Write the values of some rows of query pixels."""
    width, classes, count = query.shape[1], values.shape[1], 2 * radius + 1
    scores = np.empty(count * count, query.dtype)
    whole = np.empty((count + 1) * (count + 1), query.dtype)
    peak = np.empty(width, query.dtype)
    total = np.empty(width, query.dtype)
    sums = np.empty((width, classes), query.dtype)
    for y in rows:
        peak[:] = -np.inf
        total[:] = 0
        sums[:] = 0
        for r in range(len(slots)):
            key, value, place, value_place = keys[slots[r]], values[slots[r]], places[r], value_places[r]
            boxes = _boxes(value)
            for x in range(width):
                if place < 0:
                    _products(query[y, x], key, y - radius, x - radius, 1, count, scores)
                else:
                    top, left = first[place, y, x]
                    _products(query[y, x], key, top, left, 1, count + 1, whole)
                    _interpolate(whole, fraction[place, y, x], count, scores)
                higher = max(peak[x], _highest(scores, count * count))
                shrink = power_of_2(peak[x] - higher)
                peak[x] = higher
                total[x] = total[x] * shrink + _weigh(scores, count * count, higher)
                for k in range(classes):
                    sums[x, k] *= shrink
                if value_place < 0:
                    _add_values(value, boxes, scores, y - radius, x - radius, count, sums[x])
                else:
                    top, left = value_first[value_place, y, x]
                    _give_back(scores, value_fraction[value_place, y, x], count, whole)
                    _add_values(value, boxes, whole, top, left, count + 1, sums[x])
        for x in range(width):
            for k in range(classes):
                attended[k, y, x] = sums[x, k] / total[x]


@_compile
@no_type_check
def search_rows(rows, query, key, dilation, radius, offsets):
    """Write the expected (dy, dx) of some rows of query pixels."""
    count = 2 * radius + 1
    scores = np.empty(count * count, query.dtype)
    for y in rows:
        for x in range(query.shape[1]):
            _products(query[y, x], key, y - radius * dilation, x - radius * dilation, dilation, count, scores)
            total = _weigh(scores, count * count, _highest(scores, count * count))
            down = across = scores.dtype.type(0)
            for i in range(count):
                for j in range(count):
                    down += scores[i * count + j] * (i - radius)
                    across += scores[i * count + j] * (j - radius)
            offsets[y, x, 0] = down / total * dilation
            offsets[y, x, 1] = across / total * dilation
