"""The loop behind average precision: which truth each detection gets."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
FALSE, TRUE, IGNORED = range(3)
"""What a detection turns out to be."""


@LOOPS.entry("f8*, i8, i8, i8*, u1*, u1*, u1*, f8*, i8, u1*, u1* -> i8")
@no_type_check
def match(overlaps, found, truths, order, is_ignored, is_crowd, is_out, thresholds, levels, taken, outcomes):
    """Give each detection, best first, the truth it overlaps most that is still free; a crowd is always free.

    Truths come in ``order``, the ignored last; of equal overlaps the later wins, but no ignored one over one that
    counts. ``taken`` is room for one value a truth.
    """
    overlaps, order = as_array(overlaps, (found, truths)), as_array(order, (truths,))
    is_ignored, is_crowd = as_array(is_ignored, (truths,)), as_array(is_crowd, (truths,))
    is_out, taken = as_array(is_out, (found,)), as_array(taken, (truths,))
    thresholds, outcomes = as_array(thresholds, (levels,)), as_array(outcomes, (levels, found))
    for t in range(levels):
        taken[:] = 0
        for d in range(found):
            best = np.int64(-1)
            overlap = min(thresholds[t], 1 - 1e-10)
            for g in order:
                if taken[g] and not is_crowd[g]:
                    continue
                if best >= 0 and is_ignored[g] and not is_ignored[best]:
                    break
                if overlaps[d, g] >= overlap:
                    overlap = overlaps[d, g]
                    best = g
            if best >= 0:
                taken[best] = 1
                outcomes[t, d] = IGNORED if is_ignored[best] else TRUE
            else:
                outcomes[t, d] = IGNORED if is_out[d] else FALSE
    return 0
