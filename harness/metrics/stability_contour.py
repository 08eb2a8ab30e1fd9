"""From a mask to the points T compares: boundary polygons on the pixel-corner grid, simplified, the richest upsampled.

Steps 1 to 4 of the DAVIS 2016 measure (Perazzi et al. 2016, sec. 4; fperazzi/davis@aaee12c by its golden figures, see
docs/metrics-stability-ap.md). A boundary polygon is a Jordan curve: it passes no corner twice, and where two pixels
touch at a corner only, each keeps its own.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, UInt8

from harness.metrics.stability_compile import compiled

FIRST_TOLERANCE, TOLERANCE = 0.1, 3.0
"""Of the two simplifications, in half pixels (polygons are simplified in doubled coordinates, so the last is 1.5 px).

The first does more than join straight pieces: float32 rounding can keep a point in the middle of one.
"""
LONGEST_SEGMENT = 3.0
"""Pixels; longer segments are cut into equal parts."""
_UP, _LEFT, _DOWN, _RIGHT = range(4)
_JUNCTION = 16
"""Added to the directions that leave a corner where two pixels touch diagonally."""


def contour_points(mask: UInt8[np.ndarray, "H W"]) -> Float64[np.ndarray, "P 2"] | None:
    """Return the (x, y) points of the polygon with the most vertices, upsampled; None where no polygon is left.

    Any value but 0 is object. The first point comes again as the last, as in the official measure.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] != 0
    framed = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = inside
    edges = np.count_nonzero(framed[1:] != framed[:-1]) + np.count_nonzero(framed[:, 1:] != framed[:, :-1])
    corners, ends = _trace(framed, edges)
    corners += np.array([rows[0], columns[0], 0], np.int32)  # float rounding below depends on where the object lies
    polygon = _richest_polygon(corners[: ends[-1]], ends)
    return _upsample(polygon) if len(polygon) else None


def simplify(line: Float64[np.ndarray, "V 2"], tolerance: float) -> Float64[np.ndarray, "K 2"]:
    """Simplify a polyline as psimpl's Douglas-Peucker does: points too near the last one kept go first.

    Ties go to the later point, and the fraction along a segment is kept in float32, both as in psimpl (v7).
    """
    return _simplify(line, tolerance)


@compiled
@no_type_check
def _leaving(framed):
    """For each corner, the boundary edges that leave it with object on their right, one bit a direction."""
    rows, columns = framed.shape
    leaving = np.zeros((rows - 1, columns - 1), np.uint8)
    for y in range(rows - 1):
        for x in range(columns - 1):
            nw, ne = framed[y, x], framed[y, x + 1]
            sw, se = framed[y + 1, x], framed[y + 1, x + 1]
            if nw == ne and nw == sw and nw == se:
                continue
            bits = 0
            if ne > nw:
                bits |= 1 << _UP
            if nw > sw:
                bits |= 1 << _LEFT
            if sw > se:
                bits |= 1 << _DOWN
            if se > ne:
                bits |= 1 << _RIGHT
            if nw == se and ne == sw:
                bits |= _JUNCTION
            leaving[y, x] = bits
    return leaving


@compiled
@no_type_check
def _trace(framed, edges):
    """Follow all boundaries with object on the right; return corners (y, x, is junction) and where each curve ends."""
    leaving = _leaving(framed)
    place = np.full(leaving.shape, -1, np.int32)  # of a junction on the walk so far
    walk = np.empty((edges, 3), np.int32)
    corners = np.empty((edges, 3), np.int32)
    ends = np.empty(edges // 4 + 1, np.int32)
    curves = written = np.int64(0)  # a plain 0 would be a type of its own to Numba
    for y in range(leaving.shape[0]):
        for x in range(leaving.shape[1]):
            while leaving[y, x] & 15:
                curves, written = _follow(y, x, leaving, place, walk, corners, written, ends, curves)
    return corners, ends[:curves]


@compiled
@no_type_check
def _follow(y, x, leaving, place, walk, corners, written, ends, curves):
    """Walk from one corner until it is left again the same way; each return to a junction cuts off a curve."""
    direction = _only_direction(leaving[y, x], np.int64(0))
    length = 0
    while (leaving[y, x] >> direction) & 1:
        is_junction = leaving[y, x] & _JUNCTION
        if is_junction and place[y, x] >= 0:
            first = np.int64(place[y, x])
            written = _cut_off(walk, first, length, place, corners, written)
            ends[curves] = written
            curves += 1
            length = first
        if is_junction:
            place[y, x] = length
        walk[length, 0], walk[length, 1], walk[length, 2] = y, x, is_junction != 0
        length += 1
        leaving[y, x] ^= 1 << direction
        y += (direction == _DOWN) - (direction == _UP)
        x += (direction == _RIGHT) - (direction == _LEFT)
        is_junction = leaving[y, x] & _JUNCTION  # turn right: keep to the same object pixel
        direction = (direction - 1) % 4 if is_junction else _only_direction(leaving[y, x], direction)
    written = _cut_off(walk, np.int64(0), length, place, corners, written)
    ends[curves] = written
    return curves + 1, written


@compiled
@no_type_check
def _only_direction(bits, otherwise):
    """The first direction whose bit is set, or ``otherwise``."""
    for direction in range(4):
        if (bits >> direction) & 1:
            return direction
    return otherwise


@compiled
@no_type_check
def _cut_off(walk, first, length, place, corners, written):
    """Copy the curve ``walk[first:length]`` to ``corners``, forget its junctions; return how many are written."""
    for k in range(first, length):
        for value in range(3):
            corners[written, value] = walk[k, value]
        written += 1
        if walk[k, 2]:
            place[walk[k, 0], walk[k, 1]] = -1
    return written


@compiled
@no_type_check
def _richest_polygon(corners, ends):
    """Simplify each curve and return the one with the most vertices, in pixels; among equals the later.

    Curves through junctions come after those without; within both, what starts higher up (then more to the left)
    comes later, and at one junction what leaves it in the later direction.
    """
    best = np.empty((0, 2), np.float64)
    best_rank = (3, 0, 0, 0)  # three vertices, the closing one among them, are no polygon
    begin = 0
    for end in ends:
        curve = corners[begin:end]
        begin = end
        if len(curve) + 1 < best_rank[0]:
            continue
        start, through_junction = _start(curve)
        direction, is_reversed = _first_step(curve, start)
        polygon = _simplify(_simplify(_open(curve, start, is_reversed), FIRST_TOLERANCE), TOLERANCE)
        position = np.int64(curve[start, 0]) * (1 << 31) + curve[start, 1]
        rank = (len(polygon), int(through_junction), -position, direction)
        if len(polygon) > 3 and rank > best_rank:
            best_rank = rank
            best = polygon[::-1] / 2.0 if is_reversed else polygon / 2.0
    return best


@compiled
@no_type_check
def _start(curve):
    """Where the simplification starts: the lowest, rightmost junction, or without one the topmost, leftmost corner."""
    start, through_junction = 0, False
    for k in range(len(curve)):
        is_later = (curve[k, 0], curve[k, 1]) >= (curve[start, 0], curve[start, 1])
        if curve[k, 2] and (is_later or not through_junction):
            start, through_junction = k, True
        elif not through_junction and not is_later:
            start = k
    return start, through_junction


@compiled
@no_type_check
def _first_step(curve, start):
    """The first of up, left, down, right that leaves the start along the curve; whether that is against its order."""
    ahead = _direction(curve[start], curve[(start + 1) % len(curve)])
    back = _direction(curve[start], curve[start - 1])
    return min(ahead, back), back < ahead


@compiled
@no_type_check
def _direction(here, there):
    if here[1] == there[1]:
        return _UP if there[0] < here[0] else _DOWN
    return _LEFT if there[1] < here[1] else _RIGHT


@compiled
@no_type_check
def _open(curve, start, is_reversed):
    """All corners as a line of doubled (x, y) from the start and back to it."""
    count = len(curve)
    step = -1 if is_reversed else 1
    line = np.empty((count + 1, 2), np.float64)
    for k in range(count + 1):
        here = (start + step * k) % count
        line[k, 0], line[k, 1] = 2.0 * curve[here, 1], 2.0 * curve[here, 0]
    return line


@compiled
@no_type_check
def _simplify(line, tolerance):
    near = tolerance * tolerance
    kept = _thin(line, near)
    xs, ys = np.ascontiguousarray(kept[:, 0]), np.ascontiguousarray(kept[:, 1])
    count = len(kept)
    is_key = np.zeros(count, np.bool_)
    is_key[0] = is_key[-1] = True
    todo = [(0, count - 1)]
    while len(todo):
        first, last = todo.pop()
        farthest, distance = 0, 0.0
        for k in range(first + 1, last):
            squared = _segment_distance(xs[first], ys[first], xs[last], ys[last], xs[k], ys[k])
            if squared >= distance:
                farthest, distance = k, squared
        if farthest and distance > near:
            is_key[farthest] = True
            todo.append((farthest, last))
            todo.append((first, farthest))
    return kept[is_key]


@compiled
@no_type_check
def _thin(line, near):
    """Drop the points nearer to the last one kept than the root of ``near``; both ends stay."""
    kept = np.empty_like(line)
    kept[0, 0], kept[0, 1] = line[0, 0], line[0, 1]
    count = 1
    for k in range(1, len(line) - 1):
        dx, dy = line[k, 0] - kept[count - 1, 0], line[k, 1] - kept[count - 1, 1]
        if dx * dx + dy * dy >= near:
            kept[count, 0], kept[count, 1] = line[k, 0], line[k, 1]
            count += 1
    kept[count, 0], kept[count, 1] = line[-1, 0], line[-1, 1]
    return kept[: count + 1]


@compiled
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


@compiled
@no_type_check
def _upsample(polygon):
    """Cut long segments into equal parts; their ends are float32 running sums."""
    parts = np.ones(len(polygon) - 1, np.int64)
    for k in range(len(parts)):
        dx, dy = polygon[k + 1, 0] - polygon[k, 0], polygon[k + 1, 1] - polygon[k, 1]
        length = math.sqrt(dx * dx + dy * dy)
        if length > LONGEST_SEGMENT:
            parts[k] = math.ceil(length / LONGEST_SEGMENT)
    points = np.empty((parts.sum() + 1, 2), np.float64)
    written = 0
    for k in range(len(parts)):
        for axis in range(2):
            value = np.float32(polygon[k, axis])
            step = np.float32((polygon[k + 1, axis] - polygon[k, axis]) / parts[k])
            for part in range(parts[k]):
                points[written + part, axis] = value
                value = np.float32(value + step)
        written += parts[k]
    points[written, 0], points[written, 1] = polygon[-1, 0], polygon[-1, 1]
    return points
