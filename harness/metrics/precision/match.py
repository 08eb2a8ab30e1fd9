"""The loop behind average precision: which truth each detection gets."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
FALSE, TRUE, IGNORED = range(3)
"""What a detection turns out to be."""


@LOOPS.entry("f8*, i8, i8, f8*, f8*, u1*, f8*, i8, f8*, i8, i8*, u1*, u1*, i8* -> i8")
@no_type_check
def match(
    overlaps,
    found,
    truths,
    areas,
    truth_areas,
    is_crowd,
    ranges,
    sizes,
    thresholds,
    levels,
    order,
    flags,
    outcomes,
    counts,
):
    """Say what each detection turns out to be, for each range of areas and threshold, and how many truths count.

    Truths that are a crowd or out of range are ignored, as are unmatched detections out of range. ``order`` is room
    for a number, ``flags`` for two a truth.
    """
    overlaps, order = as_array(overlaps, (found, truths)), as_array(order, (truths,))
    areas, truth_areas = as_array(areas, (found,)), as_array(truth_areas, (truths,))
    is_crowd, flags = as_array(is_crowd, (truths,)), as_array(flags, (2, truths))
    ranges, thresholds = as_array(ranges, (sizes, 2)), as_array(thresholds, (levels,))
    outcomes, counts = as_array(outcomes, (sizes, levels, found)), as_array(counts, (sizes,))
    is_ignored = flags[0]
    for a in range(sizes):
        low, high = ranges[a, 0], ranges[a, 1]
        placed = 0
        for g in range(truths):
            is_ignored[g] = 1 if is_crowd[g] or truth_areas[g] < low or truth_areas[g] > high else 0
            if not is_ignored[g]:
                order[placed] = g
                placed += 1
        counts[a] = placed
        for g in range(truths):
            if is_ignored[g]:
                order[placed] = g
                placed += 1
        for t in range(levels):
            _match_level(overlaps, order, flags, is_crowd, thresholds[t], outcomes[a, t])
            for d in range(found):
                if outcomes[a, t, d] == FALSE and (areas[d] < low or areas[d] > high):
                    outcomes[a, t, d] = IGNORED
    return 0


@LOOPS.inner
@no_type_check
def _match_level(overlaps, order, flags, is_crowd, threshold, outcomes):
    """Give each detection, best first, the truth it overlaps most that is still free; a crowd is always free.

    Truths come in ``order``, the ignored last; of equal overlaps the later wins, but no ignored one over one that
    counts.
    """
    is_ignored, taken = flags[0], flags[1]
    for g in range(order.size):
        taken[g] = 0
    for d in range(outcomes.size):
        best = np.int64(-1)
        overlap = min(threshold, 1 - 1e-10)
        for place in range(order.size):
            g = order[place]
            if taken[g] and not is_crowd[g]:
                continue
            if best >= 0 and is_ignored[g] and not is_ignored[best]:
                break
            if overlaps[d, g] >= overlap:
                overlap = overlaps[d, g]
                best = g
        outcomes[d] = FALSE
        if best >= 0:
            taken[best] = 1
            outcomes[d] = IGNORED if is_ignored[best] else TRUE
