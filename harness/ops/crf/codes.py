"""How vertices of the permutohedral lattice are numbered: the scale of its axes, and the digits of a code."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_CODES = 1 << 61
"""So that neighbours of the last code are numbers of 63 bits too."""


def scales_of(dimensions: int) -> list[float]:
    """The lattice's scale of each axis: blurring with (1/2, 1, 1/2) along d + 1 axes is then a Gaussian of width 1."""
    whole = math.sqrt(2 / 3) * (dimensions + 1)
    return [whole / math.sqrt((axis + 1) * (axis + 2)) for axis in range(dimensions)]


def span_of(size: tuple[int, int], widths: Sequence[int | float], frames: int = 1) -> int:
    """How many quotients each coordinate of a vertex may have; ValueError where codes would not fit into 63 bits."""
    dimensions = len(widths)
    largest = (size[1] - 1, size[0] - 1, 255, 255, 255)[:dimensions]
    reach = [high / width * scale for high, width, scale in zip(largest, widths, scales_of(dimensions), strict=True)]
    furthest = max(sum(reach), max(axis * value for axis, value in enumerate(reach, start=1)))
    span = 2 * (math.ceil(furthest / (dimensions + 1)) + 4)
    if frames * (dimensions + 1) * span**dimensions > MOST_CODES:
        found = f"kernel widths {widths} for a frame of {size}"
        raise ValueError(f"found {found}; expected wider ones: the lattice has more cells than can be numbered")
    return span
