"""The compiled loop behind average precision: which truth each detection gets; imported when one is measured."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.metrics.average_precision import FALSE, IGNORED, TRUE
from harness.metrics.stability_compile import compiled


@compiled
@no_type_check
def match(overlaps, order, is_ignored, is_crowd, is_out, thresholds, outcomes):
    """Give each detection, best first, the truth it overlaps most that is still free; a crowd is always free.

    Truths come in ``order``, the ignored last; of equal overlaps the later wins, but no ignored one over one that
    counts.
    """
    taken = np.empty(len(order), np.bool_)
    for t in range(len(thresholds)):
        taken[:] = False
        for d in range(len(is_out)):
            best = -1
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
                taken[best] = True
                outcomes[t, d] = IGNORED if is_ignored[best] else TRUE
            else:
                outcomes[t, d] = IGNORED if is_out[d] else FALSE
