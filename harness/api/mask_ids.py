"""Which ids a mask holds, in one pass that skips what repeats."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
_BLOCK = 64
"""Pixels that are looked at together: id maps change seldom."""


def find_ids(mask: np.ndarray) -> np.ndarray:
    """The values a uint8 array holds, in order."""
    flat = np.ascontiguousarray(mask).reshape(-1)
    if mark_ids.is_compiled:
        seen = np.zeros(256, np.uint8)
        mark_ids(flat, flat.size, seen)
        return np.flatnonzero(seen)
    begins = np.flatnonzero(flat[1:] != flat[:-1])  # of runs of one id, which are few
    counts = np.bincount(flat[begins], minlength=256)
    counts[flat[-1:]] += 1
    return np.flatnonzero(counts)


@LOOPS.entry("u1*, i8, u1* -> i8")
@no_type_check
def mark_ids(values, size, seen):
    """Set ``seen`` at every value."""
    values = as_array(values, (size,))
    seen = as_array(seen, (256,))
    at = 0
    while at < size:
        value = values[at]
        seen[value] = 1
        changed = np.uint8(0)
        first = np.uint64(at)
        if at + _BLOCK <= size:
            for k in range(_BLOCK):
                changed |= values[first + np.uint64(k)] ^ value
        else:
            changed = np.uint8(1)
        if changed != 0:
            for k in range(at, min(at + _BLOCK, size)):
                seen[values[np.uint64(k)]] = 1
        at += _BLOCK
    return 0
