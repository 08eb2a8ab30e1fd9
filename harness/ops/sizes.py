"""The size that a network works on, of a video's own size."""

from __future__ import annotations

Size = tuple[int, int]
"""Rows and columns."""


def scale_to(size: Size, short_side: int) -> Size:
    """The size whose shorter side has so many pixels; the other is rounded to a whole, and at least 1.

    >>> scale_to((480, 854), 392), scale_to((30, 20), 392)
    ((392, 697), (588, 392))
    """
    height, width = (max(1, round(short_side * side / min(size))) for side in size)
    return height, width
