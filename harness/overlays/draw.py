"""One frame with its masks over it: each object in its colour of the DAVIS palette, with an outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.mask_files import DAVIS_PALETTE

OPACITY = 0.5
"""How much of a pixel is the object's colour."""
_COLOURS = np.array(DAVIS_PALETTE, np.uint8).reshape(256, 3)
_REPEAT = 21
"""Colours before the palette turns grey."""


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of object 1, 2, ...; from 22 on they repeat.

    >>> colour_of(1), colour_of(22) == colour_of(1)
    ((128, 0, 0), True)
    """
    red, green, blue = _COLOURS[(number - 1) % _REPEAT + 1].tolist()
    return red, green, blue


def draw_mask(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A (H, W, 3) uint8 RGB picture of the frame with a (H, W) id map over it; 0 is left clear. Neither is changed."""
    return draw_objects(frame, [(int(number), mask == number) for number in np.unique(mask) if number])


def draw_objects(frame: np.ndarray, objects: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """The same for (H, W) bool masks that may overlap, each with its number; later ones lie on top."""
    picture = frame.copy()
    for number, is_object in objects:
        colour = np.array(colour_of(number))
        # + .5 rounds; int arithmetic would darken by up to one level an object
        blended = picture[is_object] * (1 - OPACITY) + colour * OPACITY + 0.5
        picture[is_object] = blended.astype(np.uint8)
        picture[_outline(is_object)] = colour
    return picture


def _outline(is_object: np.ndarray) -> np.ndarray:
    """The pixels of an object beside which it ends; the border of the image is no end."""
    inner = is_object.copy()
    inner[1:] &= is_object[:-1]
    inner[:-1] &= is_object[1:]
    inner[:, 1:] &= is_object[:, :-1]
    inner[:, :-1] &= is_object[:, 1:]
    outline: np.ndarray = is_object & ~inner
    return outline
