"""The rows of an inflated PNG of one byte a pixel or less, their filters undone (PNG specification, section 9)."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
_NONE, _LEFT, _UP, _AVERAGE, _PAETH = range(5)
_BLOCK = 32
"""Bytes that are looked at together: id maps change seldom, so most differences of a block are 0."""
_LONG, _SHORT = 128, 16
"""The same where the left one alone counts: many together, and where they hold a change, few."""


def undo_filters(table: np.ndarray) -> np.ndarray | None:
    """The bytes of all rows, from a (H, 1 + bytes of a row) uint8 table whose first column names each row's filter.

    None where a row names no filter of the specification; also, where there is no machine code, for rows of differing
    filters or of the last two.
    """
    filters = table[:, 0]
    if not filters.any():
        return table[:, 1:].copy()
    if undo.is_compiled:
        rows = np.empty((table.shape[0], table.shape[1] - 1), np.uint8)
        return rows if undo(table, *table.shape, rows) else None
    if (filters != filters[0]).any() or filters[0] > _UP:
        return None
    return np.cumsum(table[:, 1:], axis=1 if filters[0] == _LEFT else 0, dtype=np.uint8)


@LOOPS.entry("u1*, i8, i8, u1* -> i8")
@no_type_check
def undo(table, height, stride, rows):
    """Write all rows; return 1, or 0 where a row names no filter."""
    table = as_array(table, (height, stride))
    rows = as_array(rows, (height, stride - 1))
    for y in range(height):
        kind, coded, row = table[y, 0], table[y, 1:], rows[y]
        if kind == _NONE or (kind == _UP and y == 0):
            for x in range(row.size):
                row[x] = coded[x]
        elif kind == _LEFT or (kind == _PAETH and y == 0):
            _undo_left(coded, row)
        elif kind == _UP:
            above = rows[y - 1]
            for x in range(row.size):
                row[x] = (np.int64(coded[x]) + np.int64(above[x])) & 255
        elif kind == _AVERAGE:
            left = 0
            for x in range(row.size):
                upper = np.int64(rows[y - 1, x]) if y > 0 else 0
                left = (np.int64(coded[x]) + ((left + upper) >> 1)) & 255
                row[x] = left
        elif kind == _PAETH:
            _undo_paeth(coded, rows[y - 1], row)
        else:
            return 0
    return 1


@LOOPS.inner
@no_type_check
def _undo_left(coded, row):
    """Add each byte to the one on its left; what holds no difference is filled, several blocks at once if it can be."""
    left = np.int64(0)
    x = 0
    while x < row.size:
        size = _LONG
        changed = np.uint8(1)
        if x + size <= row.size:
            changed = np.uint8(0)
            for k in range(_LONG):
                changed |= coded[np.uint64(x) + np.uint64(k)]
        if changed != 0 and x + _SHORT <= row.size:
            size = _SHORT
            changed = np.uint8(0)
            for k in range(_SHORT):
                changed |= coded[np.uint64(x) + np.uint64(k)]
        if changed == 0:
            for k in range(x, x + size):
                row[np.uint64(k)] = left
        else:
            for k in range(x, min(x + size, row.size)):
                left = (left + np.int64(coded[np.uint64(k)])) & 255
                row[np.uint64(k)] = left
        x += size


@LOOPS.inner
@no_type_check
def _undo_paeth(coded, above, row):
    """Add each byte to that neighbour (left, upper, upper left) which the slope points to.

    Where nothing changes above, that is the left one: a block without any difference is filled with it.
    """
    left = corner = np.int64(0)
    x = 0
    while x < row.size:
        changed = np.uint8(1)
        if x + _BLOCK <= row.size:
            changed = np.uint8(corner) ^ above[x]
            for k in range(_BLOCK):
                changed |= coded[x + k] | (above[x + k] ^ above[x])
        if changed == 0:
            for k in range(_BLOCK):
                row[x + k] = left
        else:
            for k in range(x, min(x + _BLOCK, row.size)):
                upper = np.int64(above[k])
                slope = left + upper - corner
                to_left, to_upper, to_corner = abs(slope - left), abs(slope - upper), abs(slope - corner)
                nearest = corner
                if to_left <= to_upper and to_left <= to_corner:
                    nearest = left
                elif to_upper <= to_corner:
                    nearest = upper
                left = (np.int64(coded[k]) + nearest) & 255
                row[k] = left
                corner = upper
        x += _BLOCK
