"""The loops of the permutohedral lattice: pixels into simplices, neighbours of vertices, sums over both.

A vertex of the lattice has d + 1 whole coordinates that sum to 0 and all leave the same remainder when divided by
d + 1 (Adams, Baek and Davis 2010, section 3). The first d quotients and that remainder are written into one number, its
code, so that the next vertex of a simplex, and the neighbour along an axis, is a sum away; a table with open addresses
finds the place of a code. Vertices are numbered as the scan of the frame meets them: neighbours lie near each other in
memory. Where a vertex has no neighbour, a row of zeros behind the last one stands for it.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_WHOLE = np.float32(12582912)
"""1.5 * 2^23: added and taken off again, it leaves the nearest whole number."""
_LOW_BITS, _MIX_LOW, _MIX_HIGH = 0x7FFFFFFF, 0x4F1BBCDD, 0x3C6EF35F
"""They spread codes over the table; no product is beyond 63 bits."""


@LOOPS.entry("u1*, i8, i8, f4*, i8, i8, i8, i8*, i4*, i8, i8*, i8, f4*, i8*, i4*, f4* -> i8")
@no_type_check
def place_pixels(
    frame,
    width,
    pixels,
    scales,
    dimensions,
    span,
    start,
    table,
    places,
    slots,
    codes,
    room,
    floats,
    ranks,
    corners,
    weights,
):
    """Give pixels from ``start`` on the places and weights of their simplex's corners; return how many are done.

    Stops early where ``room`` vertices may not hold the next pixel's. ``codes[room]`` counts the vertices. Features are
    position over its width, then colour, times the lattice's scale of each axis: ``scales`` holds widths, then scales.
    """
    across = dimensions + 1
    frame = as_array(frame, (pixels, 3))
    scales = as_array(scales, (2, dimensions))
    table = as_array(table, (slots,))
    places = as_array(places, (slots,))
    codes = as_array(codes, (room + 1,))
    floats = as_array(floats, (3, across + 2))
    ranks = as_array(ranks, (3, across + 1))
    corners = as_array(corners, (pixels, across))
    weights = as_array(weights, (pixels, across))
    elevated, apart, barycentric = floats[0], floats[1], floats[2]
    rank, quotient, at_rank = ranks[0], ranks[1], ranks[2]
    down = _ONE / np.float32(across)
    found = codes[room]
    last_code = np.int64(-1)
    last_order = np.int64(-1)
    for pixel in range(start, pixels):
        if found + across > room:
            codes[room] = found
            return pixel
        total = np.float32(0)
        for axis in range(dimensions - 1, -1, -1):
            if axis == 0:
                feature = np.float32(pixel % width)
            elif axis == 1:
                feature = np.float32(pixel // width)
            else:
                feature = np.float32(frame[pixel, axis - 2])
            scaled = feature / scales[0, axis] * scales[1, axis]
            elevated[axis + 1] = total - np.float32(axis + 1) * scaled
            total += scaled
        elevated[0] = total

        off = np.int64(0)
        for axis in range(across):
            whole = (down * elevated[axis] + _WHOLE) - _WHOLE
            quotient[axis] = np.int64(whole)
            off += np.int64(whole)
            apart[axis] = elevated[axis] - whole * np.float32(across)
            rank[axis] = 0
        for axis in range(dimensions):
            for other in range(axis + 1, across):
                is_less = np.int64(apart[axis] < apart[other])
                rank[axis] += is_less
                rank[other] += 1 - is_less
        code = np.int64(0)
        order = np.int64(0)
        for axis in range(across):
            moved = rank[axis] + off
            if moved < 0:
                moved += across
                quotient[axis] += 1
                apart[axis] -= np.float32(across)
            elif moved > dimensions:
                moved -= across
                quotient[axis] -= 1
                apart[axis] += np.float32(across)
            rank[axis] = moved
            at_rank[moved] = axis
            order = order * 8 + moved
            if axis < dimensions:
                code = code * span + quotient[axis] + span // 2
        code *= across
        for corner in range(across + 1):
            barycentric[corner] = np.float32(0)
        for axis in range(across):
            share = apart[axis] * down
            barycentric[dimensions - rank[axis]] += share
            barycentric[across - rank[axis]] -= share
        barycentric[0] += _ONE + barycentric[across]
        for corner in range(across):
            weights[pixel, corner] = barycentric[corner]

        if code == last_code and order == last_order:
            for corner in range(across):
                corners[pixel, corner] = corners[pixel - 1, corner]
            continue
        last_code = code
        last_order = order
        for corner in range(across):
            if corner:
                code += 1 - _stride(at_rank[across - corner], dimensions, span)
            slot = _find(table, slots, code)
            if table[slot] < 0:
                table[slot] = code
                places[slot] = found
                codes[found] = code
                found += 1
            corners[pixel, corner] = places[slot]
    codes[room] = found
    return pixels


@LOOPS.inner
@no_type_check
def _stride(axis, dimensions, span):
    """What one more of a quotient adds to a code; the last coordinate follows from the others and is not in it."""
    if axis == dimensions:
        return np.int64(0)
    stride = np.int64(dimensions + 1)
    for _ in range(dimensions - 1 - axis):
        stride *= span
    return stride


@LOOPS.inner
@no_type_check
def _find(table, slots, code):
    """The slot that holds the code, or the free one where it belongs."""
    mixed = (code & _LOW_BITS) * _MIX_LOW + (code >> 31) * _MIX_HIGH
    slot = (mixed >> 24) & (slots - 1)
    while table[slot] != code and table[slot] >= 0:
        slot = (slot + 1) & (slots - 1)
    return slot


@LOOPS.entry("i8*, i8, i8*, i4*, i8 -> i8")
@no_type_check
def fill_table(codes, count, table, places, slots):
    """Put the codes into an empty table."""
    codes = as_array(codes, (count,))
    table = as_array(table, (slots,))
    places = as_array(places, (slots,))
    for place in range(count):
        slot = _find(table, slots, codes[place])
        table[slot] = codes[place]
        places[slot] = place
    return 0


@LOOPS.entry("i8*, i8, i8*, i4*, i8, i8, i8, i4* -> i8")
@no_type_check
def find_neighbours(codes, count, table, places, slots, dimensions, span, neighbours):
    """The two neighbours of each vertex along each axis (axis, vertex, 2); ``count`` where there is none."""
    across = dimensions + 1
    codes = as_array(codes, (count,))
    table = as_array(table, (slots,))
    places = as_array(places, (slots,))
    neighbours = as_array(neighbours, (across, count, 2))
    every = np.int64(0)
    for axis in range(dimensions):
        every += _stride(axis, dimensions, span)
    for axis in range(across):
        neighbours[axis] = count
        down = _stride(axis, dimensions, span)
        for place in range(count):
            # One more of every coordinate, d + 1 less of this one.
            code = codes[place] + 1 - down
            if codes[place] % across == dimensions:
                code += every - across
            slot = _find(table, slots, code)
            if table[slot] == code:
                neighbours[axis, place, 1] = places[slot]
                neighbours[axis, places[slot], 0] = place
    return 0


@LOOPS.entry("i4*, f4*, i8, i8, f4*, i8 -> i8")
@no_type_check
def splat_ones(corners, weights, pixels, across, vertices, count):
    """Each vertex's sum of the weights of its pixels."""
    corners = as_array(corners, (pixels, across))
    weights = as_array(weights, (pixels, across))
    vertices = as_array(vertices, (count,))
    vertices[:] = np.float32(0)
    for pixel in range(pixels):
        for corner in range(across):
            vertices[np.uint32(corners[pixel, corner])] += weights[pixel, corner]
    return 0


@LOOPS.entry("i4*, f4*, i8, i8, f4*, i8, f4* -> i8")
@no_type_check
def slice_ones(corners, weights, pixels, across, vertices, count, sums):
    """Each pixel's weighted sum of its corners."""
    corners = as_array(corners, (pixels, across))
    weights = as_array(weights, (pixels, across))
    vertices = as_array(vertices, (count,))
    sums = as_array(sums, (pixels,))
    for pixel in range(pixels):
        total = np.float32(0)
        for corner in range(across):
            total += weights[pixel, corner] * vertices[np.uint32(corners[pixel, corner])]
        sums[pixel] = total
    return 0


@LOOPS.entry("f4*, f4*, i4*, i8, i8 -> i8")
@no_type_check
def blur_one(vertices, spare, neighbours, count, across):
    """Filter along each axis in turn; the answer is in ``vertices`` where ``across`` is even, else in ``spare``."""
    neighbours = as_array(neighbours, (across, count, 2))
    source = as_array(vertices, (count + 1,))
    target = as_array(spare, (count + 1,))
    for axis in range(across):
        along = neighbours[axis]
        for place in range(count):
            beside = source[np.uint32(along[place, 0])] + source[np.uint32(along[place, 1])]
            target[place] = source[place] + _HALF * beside
        target[count] = np.float32(0)
        source, target = target, source
    return 0


@LOOPS.entry("f4*, f4*, i4*, i8, i8, i8 -> i8")
@no_type_check
def blur_many(vertices, spare, neighbours, count, across, groups):
    """The same for groups of four columns."""
    neighbours = as_array(neighbours, (across, count, 2))
    source = as_array(vertices, (count + 1, groups, 4))
    target = as_array(spare, (count + 1, groups, 4))
    for axis in range(across):
        along = neighbours[axis]
        for place in range(count):
            one, other = np.uint32(along[place, 0]), np.uint32(along[place, 1])
            for group in range(groups):
                left, right, middle = source[one, group], source[other, group], source[place, group]
                b0 = middle[0] + _HALF * (left[0] + right[0])
                b1 = middle[1] + _HALF * (left[1] + right[1])
                b2 = middle[2] + _HALF * (left[2] + right[2])
                b3 = middle[3] + _HALF * (left[3] + right[3])
                blurred = target[place, group]
                blurred[0] = b0
                blurred[1] = b1
                blurred[2] = b2
                blurred[3] = b3
        target[count] = np.float32(0)
        source, target = target, source
    return 0
