"""Which frames the released test compares all others with, as its code has it and the paper has not.

Read in carrierlxk/MuG at 2911755 (`_sample_indices`), written here anew.
"""

from __future__ import annotations

import torch


def draw_as_released(length: int, count: int, seed: int) -> list[int]:
    """Any frame of each of ``count`` parts of as many whole frames; never the first, and none after the last part.

    A video whose later frames are fewer than ``count`` has its second frame alone, which the code takes so many times.
    Of a single frame, where the code fails, it is that one.

    >>> draw_as_released(9, 8, seed=0), draw_as_released(8, 8, seed=0), draw_as_released(1, 8, seed=0)
    ([1, 2, 3, 4, 5, 6, 7, 8], [1], [0])
    """
    part = (length - 1) // count
    if not part:
        return [min(1, length - 1)]
    drawn = torch.randint(part, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    return [1 + place * part + within for place, within in enumerate(drawn)]
