"""From a mask to the points T compares: its boundary curves simplified, the one with most vertices left upsampled.

Steps 1 to 4 of the DAVIS 2016 measure (Perazzi et al. 2016, sec. 4; fperazzi/davis@aaee12c by its official figures, see
docs/metrics-stability-ap.md).
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array
from harness.metrics.shapes import Float64, UInt8
from harness.metrics.stability.curves import boundary_curves

LOOPS = Loops(__file__)
FIRST_TOLERANCE, TOLERANCE = 0.1, 3.0
"""Of the two simplifications, in half pixels (polygons are simplified in doubled coordinates, so the last is 1.5 px).

The first does more than join straight pieces: float32 rounding can keep a point in the middle of one.
"""
LONGEST_SEGMENT = 3.0
"""Pixels; longer segments are cut into equal parts."""
_TODO_ROWS = 3
"""Whole numbers a point the simplification needs: first and last point of what is to do, whether a point stays."""


def contour_points(mask: UInt8[np.ndarray, "H W"]) -> Float64[np.ndarray, "P 2"] | None:
    """Return the (x, y) points of the polygon with the most vertices, upsampled; None where no polygon is left.

    Any value but 0 is object. The first point comes again as the last, as in the official measure.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    inside = (mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] != 0).astype(np.uint8)
    corners, ends = boundary_curves(inside)
    size = len(corners) + 2
    lines, todo = np.empty((4, size), np.float64), np.empty((_TODO_ROWS, size), np.int64)
    points = np.empty((2 * size, 2), np.float64)  # a part is added a segment, and no segment is longer than its curve
    offset = int(rows[0]), int(columns[0])  # float rounding depends on where the object lies
    written = upsample_richest(
        inside, *inside.shape, *offset, corners, ends, len(ends), lines, todo, size, points, 2 * size
    )
    return points[:written] if written else None


def simplify(line: Float64[np.ndarray, "V 2"], tolerance: float) -> Float64[np.ndarray, "K 2"]:
    """Simplify a polyline as psimpl's Douglas-Peucker does: points too near the last one kept go first.

    Ties go to the later point, and the fraction along a segment is kept in float32, both as in psimpl (v7).
    """
    xs, ys = line.T.copy()
    count = simplify_line(xs, ys, len(line), tolerance, np.empty((_TODO_ROWS, len(line)), np.int64), len(line))
    return np.column_stack((xs[:count], ys[:count]))


@LOOPS.entry("u1*, i8, i8, i8, i8, i4*, i8*, i8, f8*, i8*, i8, f8*, i8 -> i8")
@no_type_check
def upsample_richest(inside, rows, columns, top, left, corners, ends, curves, lines, todo, size, points, most):
    """Simplify each curve and upsample the one with the most vertices, among equals the last; return its points."""
    inside = as_array(inside, (rows, columns))
    corners = as_array(corners, (size - 2, 2))
    ends = as_array(ends, (curves,))
    lines = as_array(lines, (4, size))
    todo = as_array(todo, (_TODO_ROWS, size))
    points = as_array(points, (most, 2))
    xs, ys, best_xs, best_ys = lines[0], lines[1], lines[2], lines[3]
    best = 4  # three vertices, the closing one among them, are no polygon
    is_found = False
    begin = 0
    for curve in range(curves):
        length = ends[curve] - begin
        if length + 1 >= best:
            for k in range(length):
                xs[k], ys[k] = 2.0 * (corners[begin + k, 1] + left), 2.0 * (corners[begin + k, 0] + top)
            xs[length], ys[length] = xs[0], ys[0]
            is_clockwise = _double_area(xs, ys, length + 1) > 0
            is_hole = is_clockwise != _has_object_on_its_right(inside, corners, begin)
            count = _simplify(xs, ys, length + 1, FIRST_TOLERANCE, todo)
            count = _simplify(xs, ys, count, TOLERANCE, todo)
            if count >= best:
                best, is_found = count, True
                is_reversed = (_double_area(xs, ys, count) > 0) == is_hole
                for k in range(count):
                    source = count - 1 - k if is_reversed else k
                    best_xs[k], best_ys[k] = xs[source] / 2.0, ys[source] / 2.0
        begin = ends[curve]
    return _upsample(best_xs, best_ys, best, points) if is_found else 0


@LOOPS.inner
@no_type_check
def _double_area(xs, ys, count):
    """Twice the signed area of a closed line in float32; above 0 where it runs clockwise on the screen."""
    area = np.float32(0.0)
    for k in range(count - 1):
        area = np.float32(area + np.float32(xs[k] * ys[k + 1] - xs[k + 1] * ys[k]))
    return area


@LOOPS.inner
@no_type_check
def _has_object_on_its_right(inside, corners, begin):
    """Whether the pixel on the right of a curve's first step is object; corner (y, x) is the pixel's upper left."""
    y, x = corners[begin, 0], corners[begin, 1]
    dy, dx = corners[begin + 1, 0] - y, corners[begin + 1, 1] - x
    row = y if dy > 0 or dx > 0 else y - 1
    column = x if dx > 0 or dy < 0 else x - 1
    is_in_image = 0 <= row < inside.shape[0] and 0 <= column < inside.shape[1]
    return is_in_image and inside[row, column] != 0


@LOOPS.entry("f8*, f8*, i8, f8, i8*, i8 -> i8")
@no_type_check
def simplify_line(xs, ys, count, tolerance, todo, size):
    """Simplify a line in its place; return how many points it has left."""
    return _simplify(as_array(xs, (size,)), as_array(ys, (size,)), count, tolerance, as_array(todo, (_TODO_ROWS, size)))


@LOOPS.inner
@no_type_check
def _simplify(xs, ys, count, tolerance, todo):
    near = tolerance * tolerance
    count = _thin(xs, ys, count, near)
    firsts, lasts, is_key = todo[0], todo[1], todo[2]
    is_key[:count] = 0
    is_key[0] = is_key[count - 1] = 1
    firsts[0], lasts[0] = 0, count - 1
    waiting = 1
    while waiting:
        waiting -= 1
        first, last = firsts[waiting], lasts[waiting]
        farthest, distance = 0, 0.0
        for k in range(first + 1, last):
            squared = _segment_distance(xs[first], ys[first], xs[last], ys[last], xs[k], ys[k])
            if squared >= distance:
                farthest, distance = k, squared
        if farthest and distance > near:
            is_key[farthest] = 1
            firsts[waiting], lasts[waiting] = farthest, last
            firsts[waiting + 1], lasts[waiting + 1] = first, farthest
            waiting += 2
    kept = 0
    for k in range(count):
        if is_key[k]:
            xs[kept], ys[kept] = xs[k], ys[k]
            kept += 1
    return kept


@LOOPS.inner
@no_type_check
def _thin(xs, ys, count, near):
    """Drop the points nearer to the last one kept than the root of ``near``; both ends stay."""
    kept = 1
    for k in range(1, count - 1):
        dx, dy = xs[k] - xs[kept - 1], ys[k] - ys[kept - 1]
        if dx * dx + dy * dy >= near:
            xs[kept], ys[kept] = xs[k], ys[k]
            kept += 1
    xs[kept], ys[kept] = xs[count - 1], ys[count - 1]
    return kept + 1


@LOOPS.inner
@no_type_check
def _segment_distance(ax, ay, bx, by, x, y):
    """Squared distance of point (x, y) to the segment from a to b."""
    vx, vy = bx - ax, by - ay
    along, whole = vx * (x - ax) + vy * (y - ay), vx * vx + vy * vy
    if along <= 0:
        dx, dy = x - ax, y - ay
    elif whole <= along:
        dx, dy = x - bx, y - by
    else:
        fraction = np.float64(np.float32(along) / np.float32(whole))
        dx, dy = x - (ax + fraction * vx), y - (ay + fraction * vy)
    return dx * dx + dy * dy


@LOOPS.inner
@no_type_check
def _upsample(xs, ys, count, points):
    """Cut long segments into equal parts; their ends are float32 running sums."""
    written = 0
    for k in range(count - 1):
        dx, dy = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
        length = math.sqrt(dx * dx + dy * dy)
        parts = math.ceil(length / LONGEST_SEGMENT) if length > LONGEST_SEGMENT else 1
        x, y = np.float32(xs[k]), np.float32(ys[k])
        step_x, step_y = np.float32(dx / parts), np.float32(dy / parts)
        for _ in range(parts):
            points[written, 0], points[written, 1] = x, y
            written += 1
            x, y = np.float32(x + step_x), np.float32(y + step_y)
    points[written, 0], points[written, 1] = xs[count - 1], ys[count - 1]
    return written + 1
