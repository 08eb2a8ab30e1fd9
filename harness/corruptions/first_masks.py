"""First masks made worse: objects eroded, dilated, shifted, each by a share of its own size, the root of its area."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

IdMap = np.ndarray
CorruptMask = Callable[[IdMap, float, np.random.Generator], IdMap]
VOID = 255


def erode(ids: IdMap, share: float, draws: np.random.Generator) -> IdMap:
    """Each object without what lies so near its edge; of one that would vanish the innermost pixels stay.

    The picture's edge is none of an object's.
    """
    from scipy.ndimage import distance_transform_edt

    made = np.where(ids == VOID, VOID, 0).astype(ids.dtype)
    for id_, radius in _radii(ids, share):
        inside = ids == id_
        depth = np.full(ids.shape, np.inf) if inside.all() else distance_transform_edt(inside)
        left = inside & (depth > radius)
        made[left if left.any() else inside & (depth >= depth.max())] = id_
    return made


def dilate(ids: IdMap, share: float, draws: np.random.Generator) -> IdMap:
    """Each object with the background so near to it; what two would take goes to the nearer, nobody loses a pixel."""
    from skimage.segmentation import expand_labels

    objects = np.where(ids == VOID, 0, ids)
    made = ids.copy()
    for id_, radius in _radii(ids, share):
        made[(expand_labels(objects, distance=radius) == id_) & (ids == 0)] = id_
    return made


def shift(ids: IdMap, share: float, draws: np.random.Generator) -> IdMap:
    """Each object moved, in a direction drawn for it; beyond the picture it is cut off, the smaller hides the larger.

    One that would leave the picture goes the other way, and stays where it is if that is no better.
    """
    moved: dict[int, IdMap] = {}
    for id_, length in _radii(ids, share):
        angle = draws.uniform(0, 2 * math.pi)
        down, right = round(length * math.sin(angle)), round(length * math.cos(angle))
        ways = ((down, right), (-down, -right), (0, 0))
        moved[id_] = next(there for way in ways if (there := _move(ids == id_, *way)).any())
    made = np.where(ids == VOID, VOID, 0).astype(ids.dtype)
    for id_ in sorted(moved, key=lambda one: -int(moved[one].sum())):
        made[moved[id_]] = id_
    for id_, there in moved.items():  # one that lies wholly under others keeps a pixel, or nobody could follow it
        if not (made == id_).any():
            made[_find_pixel(made, there)] = id_
    return made


def _find_pixel(ids: IdMap, there: np.ndarray) -> tuple[int, int]:
    """The pixel nearest to ``there`` that is not all that another object has."""
    from scipy.ndimage import distance_transform_edt

    found, areas = np.unique(ids, return_counts=True)
    last = found[(areas == 1) & (found != 0) & (found != VOID)]
    away = np.where(np.isin(ids, last), np.inf, distance_transform_edt(~there))
    row, column = np.unravel_index(int(away.argmin()), ids.shape)
    return int(row), int(column)


def _radii(ids: IdMap, share: float) -> list[tuple[int, float]]:
    """Each object with that share of its size in pixels, one at least."""
    found, areas = np.unique(ids[(ids != 0) & (ids != VOID)], return_counts=True)
    return [(int(id_), max(1.0, share * math.sqrt(area))) for id_, area in zip(found, areas, strict=True)]


def _move(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = mask.shape
    there = np.zeros_like(mask)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    kept = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    there[rows[kept], columns[kept]] = True
    return there


MASK_CORRUPTIONS: Mapping[str, CorruptMask] = {"mask-erode": erode, "mask-dilate": dilate, "mask-shift": shift}
