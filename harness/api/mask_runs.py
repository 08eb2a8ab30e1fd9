"""An id map as runs of one id, row after row: what counting needs, found in a PNG before its filters are undone."""

from __future__ import annotations

import functools
from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
_LONG = 128
"""Pixels that are looked at together."""
_NOTHING = np.uint64(0)
_EVERY_BYTE = np.uint64(0x0101010101010101)
_LEFT = 1
"""The row filter of differences to the left (PNG specification, section 9.2); 0 is none."""


class MaskRuns:
    """A (H, W) uint8 id map as runs: pixels ``starts[k]`` to ``starts[k + 1]``, counted row by row, are ``values[k]``.

    ``starts`` is int32 and one longer than ``values``, uint8; ValueError unless they make a map of ``shape``.
    Neighbouring runs may have one value.
    """

    _pixels: np.ndarray | None = None

    def __init__(self, shape: tuple[int, int], starts: np.ndarray, values: np.ndarray) -> None:
        height, width = shape
        if not (height > 0 and width > 0 and height * width < 1 << 31):
            raise ValueError(f"found runs of {shape}, expected two positive numbers of fewer than 2^31 pixels")
        starts, values = starts.copy(), values.copy()
        are_typed = starts.dtype == np.int32 and values.dtype == np.uint8 and starts.shape == (values.size + 1,)
        ends = are_typed and (starts[0], starts[-1]) == (0, height * width)
        if not ends or (starts[1:] <= starts[:-1]).any():
            expected = f"rising int32 from 0 to {height * width}, and a uint8 value for each but the last"
            raise ValueError(f"found runs of {shape} that make no map, expected {expected}")
        self.shape, self.starts, self.values = (int(height), int(width)), starts, values

    @classmethod
    def _trust(cls, shape: tuple[int, int], starts: np.ndarray, values: np.ndarray) -> MaskRuns:
        """Of what a loop has made, which is not looked over again."""
        runs = cls.__new__(cls)
        runs.shape, runs.starts, runs.values = shape, starts, values
        return runs

    @classmethod
    def of(cls, mask: np.ndarray) -> MaskRuns:
        """Of a non-empty (H, W) uint8 id map, which must not change as long as the runs are used.

        >>> MaskRuns.of(np.array([[0, 0, 2], [2, 2, 1]], np.uint8)).values.tolist()
        [0, 2, 1]
        """
        flat = np.ascontiguousarray(mask).reshape(-1)
        if cut_row.is_compiled:
            starts, values = _room(flat.size)
            count = cut_row(flat, flat.size, starts, values)
            runs = cls._trust(mask.shape, starts[: count + 1].copy(), values[:count].copy())
        else:
            first = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
            runs = cls(mask.shape, np.append(first, flat.size).astype(np.int32), flat[first])
        runs._pixels = mask
        return runs

    @functools.cached_property
    def ids(self) -> tuple[int, ...]:
        """The values it holds, 0 and 255 included, in order."""
        return tuple(np.bincount(self.values).nonzero()[0].tolist())

    def decode(self) -> np.ndarray:
        """The (H, W) uint8 id map, not to be written to."""
        if self._pixels is None:
            self._pixels = np.repeat(self.values, np.diff(self.starts)).reshape(self.shape)
            self._pixels.flags.writeable = False
        return self._pixels

    def binarise(self) -> MaskRuns:
        """The same with 1 for every value that is not 0."""
        return MaskRuns._trust(self.shape, self.starts, (self.values != 0).astype(np.uint8))

    @classmethod
    def of_coded(cls, table: np.ndarray) -> MaskRuns | None:
        """Of a PNG's inflated rows, (H, 1 + W) uint8 with each row's filter in front and one byte a pixel.

        None where there is no machine code, or a row has another filter than none and differences to the left.
        """
        if not cut_table.is_compiled:
            return None
        height, stride = table.shape
        starts, values = _room(height * (stride - 1))
        count = cut_table(table, height, stride, starts, values)
        return cls._trust((height, stride - 1), starts[: count + 1].copy(), values[:count].copy()) if count else None


def _room(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """For as many runs as there can be; what is not written to costs nothing."""
    return np.empty(pixels + 1, np.int32), np.empty(pixels, np.uint8)


@LOOPS.entry("u1*, i8, i4*, u1* -> i8")
@no_type_check
def cut_row(row, size, starts, values):
    """Write the runs of one long row; return how many."""
    starts, values = as_array(starts, (size + 1,)), as_array(values, (size,))
    runs = _cut_plain(as_array(row, (size,)), 0, starts, values, 0)
    starts[runs] = size
    return runs


@LOOPS.entry("u1*, i8, i8, i4*, u1* -> i8")
@no_type_check
def cut_table(table, height, stride, starts, values):
    """Write the runs of all rows; return how many, or 0 where a row has a filter that is not known here."""
    width = stride - 1
    table = as_array(table, (height, stride))
    starts, values = as_array(starts, (height * width + 1,)), as_array(values, (height * width,))
    runs = 0
    for y in range(height):
        if table[y, 0] == _LEFT:
            runs = _cut_differences(table[y, 1:], y * width, starts, values, runs)
        elif table[y, 0] == 0:
            runs = _cut_plain(table[y, 1:], y * width, starts, values, runs)
        else:
            return 0
    starts[runs] = height * width
    return runs


@LOOPS.inner
@no_type_check
def _cut_plain(row, begin, starts, values, runs):
    """Write the runs of a row whose first pixel is the one numbered ``begin``; the last run before may go on in it."""
    x = 0
    while x < row.size:
        here = row[np.uint64(x)]
        if runs == 0 or values[runs - 1] != here:
            starts[runs], values[runs] = begin + x, here
            runs += 1
        x = _find_other(row, x + 1, here)
    return runs


@LOOPS.inner
@no_type_check
def _cut_differences(coded, begin, starts, values, runs):
    """As ``_cut_plain``, of a row that holds the difference of each pixel to the one on its left."""
    x = 0
    here = np.uint8(0)
    while x < coded.size:
        here = np.uint8((np.int64(here) + np.int64(coded[np.uint64(x)])) & 255)
        if runs == 0 or values[runs - 1] != here:
            starts[runs], values[runs] = begin + x, here
            runs += 1
        x = _find_other(coded, x + 1, np.uint8(0))
    return runs


@LOOPS.inner
@no_type_check
def _find_other(row, first, value):
    """Where the first byte from ``first`` on lies that is not ``value``; the row's length where there is none."""
    size = row.size
    x = first
    changed = np.uint8(0)
    while x + _LONG <= size:
        for k in range(_LONG):
            changed |= row[np.uint64(x) + np.uint64(k)] ^ value
        if changed != 0:
            break
        x += _LONG
    if changed == 0 and size - _LONG >= first:  # the rest, with some that were looked at
        for k in range(_LONG):
            changed |= row[np.uint64(size - _LONG) + np.uint64(k)] ^ value
        if changed == 0:
            return size
    same = np.uint64(value) * _EVERY_BYTE
    while x + 8 <= size:
        others = _eight(row, np.uint64(x)) ^ same
        if others != _NOTHING:
            return x + _bytes_before(others)
        x += 8
    while x < size and row[np.uint64(x)] == value:
        x += 1
    return x


@LOOPS.inner
@no_type_check
def _eight(row, first):
    """Eight bytes as one word, the first of them lowest; LLVM makes one load of it."""
    word = np.uint64(row[first])
    for k in range(1, 8):
        word |= np.uint64(row[first + np.uint64(k)]) << np.uint64(8 * k)
    return word


@LOOPS.inner
@no_type_check
def _bytes_before(word):
    """How many bytes of a word are 0 below its first that is not."""
    below = (word & (~word + np.uint64(1))) - np.uint64(1)
    return np.int64((((below >> np.uint64(7)) & _EVERY_BYTE) * _EVERY_BYTE) >> np.uint64(56))
