"""The boundary of a mask as Jordan curves on the grid of pixel corners, found and ordered as the official T finds them.

Where two object pixels touch at a corner only (a junction), the order of walking decides where a curve begins and how
its pieces are joined, and so which of its points the simplification keeps (fperazzi/davis@aaee12c; the rule in words:
docs/metrics-stability-ap.md).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array
from harness.metrics.shapes import Int32, Int64, UInt8

LOOPS = Loops(__file__)
_DOWN, _UP, _RIGHT, _LEFT = range(4)
"""Directions of a step, in the order in which a walk looks for the next edge; ``direction ^ 1`` is the way back."""
_EVERY_EDGE = 15
_ROW, _COLUMN, _COUNT, _ON_WALK, _FIRST_OF_FOUR, *_ = range(8)
"""Rows of the table, by junction: its corner, how many pieces are left at it, its place on the walk or -1; pieces."""
_BEGIN, _FROM, _TO, _VIA, _PIECE, _IS_BACK = range(8, 14)
"""Rows of the table, by piece: its first step, its two junctions. By place on the walk: junction, piece, direction."""
_TABLE_ROWS = 14


def boundary_curves(
    inside: UInt8[np.ndarray, "H W"],
) -> tuple[Int32[np.ndarray, "corners 2"], Int64[np.ndarray, " curves"]]:
    """The corners (row, column) of all curves of a mask of 0 and 1, and where each curve ends.

    A curve begins at its junction and goes on to its last corner, from which one step leads back.
    """
    framed = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = inside
    rows, columns = framed.shape
    steps = np.count_nonzero(framed[1:] != framed[:-1]) + np.count_nonzero(framed[:, 1:] != framed[:, :-1])
    size = steps + 2
    edges, numbers = np.zeros((rows - 1, columns - 1), np.uint8), np.zeros((rows - 1, columns - 1), np.int32)
    table, walked = np.zeros((_TABLE_ROWS, size), np.int64), np.empty(size, np.uint8)
    corners, ends = np.empty((size, 2), np.int32), np.empty(size, np.int64)
    curves = trace(framed, rows, columns, edges, numbers, table, size, walked, corners, ends)
    return corners[: ends[curves - 1] if curves else 0], ends[:curves]


@LOOPS.entry("u1*, i8, i8, u1*, i4*, i8*, i8, u1*, i4*, i8* -> i8")
@no_type_check
def trace(framed, rows, columns, edges, numbers, table, size, walked, corners, ends):
    """Write the corners of all curves and where each ends; return how many curves there are."""
    framed = as_array(framed, (rows, columns))
    edges = as_array(edges, (rows - 1, columns - 1))
    numbers = as_array(numbers, (rows - 1, columns - 1))
    table = as_array(table, (_TABLE_ROWS, size))
    walked = as_array(walked, (size,))
    corners = as_array(corners, (size, 2))
    ends = as_array(ends, (size,))
    junctions = _mark_edges(framed, edges, numbers, table)
    pieces = 0
    for junction in range(junctions, 0, -1):  # a stack: the last junction first, of its four ways the last first
        for direction in (_UP, _LEFT, _DOWN, _RIGHT):
            y, x = table[_ROW, junction], table[_COLUMN, junction]
            if (edges[y, x] >> direction) & 1:
                pieces = _walk_piece(edges, numbers, table, walked, pieces, junction, direction)
    for y in range(rows - 1):  # what is left has no junction
        for x in range(columns - 1):
            if (edges[y, x] >> _DOWN) & 1:
                junctions += 1
                table[_ROW, junctions], table[_COLUMN, junctions] = y, x
                numbers[y, x] = junctions
                pieces = _walk_piece(edges, numbers, table, walked, pieces, junctions, _DOWN)
    return _join(table, walked, junctions, corners, ends)


@LOOPS.inner
@no_type_check
def _mark_edges(framed, edges, numbers, table):
    """Mark the directions in which edges leave each corner, one bit each; number the junctions, return how many."""
    junctions = 0
    for y in range(edges.shape[0]):
        for x in range(edges.shape[1]):
            nw, ne = framed[y, x], framed[y, x + 1]
            sw, se = framed[y + 1, x], framed[y + 1, x + 1]
            if nw == ne and nw == sw and nw == se:
                continue
            bits = ((sw != se) << _DOWN) | ((nw != ne) << _UP) | ((ne != se) << _RIGHT) | ((nw != sw) << _LEFT)
            edges[y, x] = bits
            if bits == _EVERY_EDGE:
                junctions += 1
                numbers[y, x] = junctions
                table[_ROW, junctions], table[_COLUMN, junctions] = y, x
    return junctions


@LOOPS.inner
@no_type_check
def _walk_piece(edges, numbers, table, walked, piece, junction, direction):
    """Walk from a junction to the next, taking the edges away; note the piece at both; return the next number."""
    y, x = table[_ROW, junction], table[_COLUMN, junction]
    at = table[_BEGIN, piece]
    reached = 0
    while reached == 0:
        walked[at] = direction
        at += 1
        edges[y, x] &= ~(1 << direction) & _EVERY_EDGE
        y += (direction == _DOWN) - (direction == _UP)
        x += (direction == _RIGHT) - (direction == _LEFT)
        edges[y, x] &= ~(1 << (direction ^ 1)) & _EVERY_EDGE
        reached = numbers[y, x]
        if reached == 0:
            direction = 0
            while not (edges[y, x] >> direction) & 1:
                direction += 1
    table[_BEGIN, piece + 1] = at
    table[_FROM, piece], table[_TO, piece] = junction, reached
    _note(table, junction, piece)
    if reached != junction:
        _note(table, reached, piece)
    return piece + 1


@LOOPS.inner
@no_type_check
def _note(table, junction, piece):
    """Add a piece to those of a junction; they stay in rising order."""
    table[_FIRST_OF_FOUR + table[_COUNT, junction], junction] = piece
    table[_COUNT, junction] += 1


@LOOPS.inner
@no_type_check
def _take(table, junction, piece):
    """Remove a piece from those of a junction, where it is one of them."""
    kept = 0
    for place in range(table[_COUNT, junction]):
        other = table[_FIRST_OF_FOUR + place, junction]
        if other != piece:
            table[_FIRST_OF_FOUR + kept, junction] = other
            kept += 1
    table[_COUNT, junction] = kept


@LOOPS.inner
@no_type_check
def _join(table, walked, junctions, corners, ends):
    """Join pieces, from the highest junction on; each return to a junction on the walk cuts off a curve."""
    table[_ON_WALK, :] = -1
    curves = written = 0
    for highest in range(junctions, 0, -1):
        while table[_COUNT, highest] > 0:
            length = 0
            here = highest
            piece = table[_FIRST_OF_FOUR, here]
            while True:
                is_back = np.int64(table[_FROM, piece] != here)
                table[_VIA, length], table[_PIECE, length], table[_IS_BACK, length] = here, piece, is_back
                table[_ON_WALK, here] = length
                length += 1
                _take(table, table[_FROM, piece], piece)
                _take(table, table[_TO, piece], piece)
                here = table[_FROM, piece] if is_back else table[_TO, piece]
                if table[_ON_WALK, here] >= 0:
                    first = table[_ON_WALK, here]
                    written = _cut_off(table, walked, first, length, corners, written)
                    ends[curves] = written
                    curves += 1
                    length = first
                    if length == 0:
                        break
                piece = _next_piece(table, walked, here, length)
    return curves


@LOOPS.inner
@no_type_check
def _next_piece(table, walked, here, length):
    """The lowest piece left at a junction; the one after it where the lowest goes straight on."""
    lowest = table[_FIRST_OF_FOUR, here]
    before = table[_PIECE, length - 1]
    came = walked[table[_BEGIN, before]] ^ 1 if table[_IS_BACK, length - 1] else walked[table[_BEGIN, before + 1] - 1]
    is_from_here = table[_FROM, lowest] == here
    goes = walked[table[_BEGIN, lowest]] if is_from_here else walked[table[_BEGIN, lowest + 1] - 1] ^ 1
    return table[_FIRST_OF_FOUR + 1, here] if came == goes and table[_COUNT, here] > 1 else lowest


@LOOPS.inner
@no_type_check
def _cut_off(table, walked, first, length, corners, written):
    """Copy the corners of the walk from place ``first`` on, and take its junctions off the walk."""
    for place in range(first, length):
        junction, piece = table[_VIA, place], table[_PIECE, place]
        table[_ON_WALK, junction] = -1
        y, x = table[_ROW, junction], table[_COLUMN, junction]
        begin, end = table[_BEGIN, piece], table[_BEGIN, piece + 1]
        for k in range(end - begin):
            corners[written, 0], corners[written, 1] = y, x
            written += 1
            direction = int(walked[end - 1 - k] ^ 1 if table[_IS_BACK, place] else walked[begin + k])
            y += (direction == _DOWN) - (direction == _UP)
            x += (direction == _RIGHT) - (direction == _LEFT)
    return written
