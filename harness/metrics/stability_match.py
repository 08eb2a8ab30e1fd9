"""How far two contours differ: shape contexts, their chi-squared costs, and the cheapest one-to-one matching in order.

Steps 5 to 8 of the DAVIS 2016 measure (Perazzi et al. 2016, sec. 4, after Belongie et al. 2002; fperazzi/davis@aaee12c
by its golden figures, see docs/metrics-stability-ap.md).
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, Int64

from harness.metrics.stability_compile import IS_COMPILED, compiled
from harness.metrics.stability_path import cheapest_path

ANGLES, RADII = 12, 5
_BINS = ANGLES * RADII
_IN_EIGHTS = _BINS - _BINS % 8
_RADIUS_EDGES = np.logspace(np.log10(1 / 8), np.log10(2.0), RADII)
"""In units of the mean distance."""
_EPSILON = 2.2204e-16
_TAN_30, _TAN_60 = math.tan(math.pi / 6), math.tan(math.pi / 3)


def shape_contexts(points: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P 60"]:
    """For each point, which part of the near points lies in each of 12 directions x 5 distances.

    Directions are absolute. The point itself counts (distance 0), and so do the zeros of the diagonal in the mean
    distance that is the unit. What lies beyond 2 such units does not count.
    """
    distances = (_distances if IS_COMPILED else distances_plain)(points)
    counts = (_count if IS_COMPILED else count_plain)(points, distances, distances.mean(), _RADIUS_EDGES)
    return counts / counts.sum(axis=1, keepdims=True)


def contour_distance(contexts: Float64[np.ndarray, "P 60"], next_contexts: Float64[np.ndarray, "Q 60"]) -> float:
    """Return the mean cost of the matched points of two contours, in [0, 1]."""
    costs = (_costs if IS_COMPILED else costs_plain)(contexts, next_contexts)
    return float(np.mean(costs[match_points(costs)]))


def match_points(costs: Float64[np.ndarray, "P Q"]) -> tuple[Int64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
    """Match the points of two closed contours in order, one to one; return rows and columns.

    A first path from corner to corner finds the cheapest pair; both contours are turned so that it comes last, and
    the second path gives the pairs. Of each row, then of each column, the cheapest pair is kept.
    """
    rows, columns = cheapest_path(costs)
    met = costs[rows[:-1], columns[:-1]].argmin()  # from the end; the origin does not take part
    turn_rows, turn_columns = rows[met] + 1, columns[met] + 1
    turned = np.roll(costs, (-turn_rows, -turn_columns), axis=(0, 1))
    rows, columns = cheapest_path(turned)
    rows, columns = (rows + turn_rows) % costs.shape[0], (columns + turn_columns) % costs.shape[1]
    kept = _cheapest_of_each(rows, costs[rows, columns])
    rows, columns = rows[kept], columns[kept]
    kept = _cheapest_of_each(columns, costs[rows, columns])
    return rows[kept], columns[kept]


def _cheapest_of_each(line: Int64[np.ndarray, " M"], costs: Float64[np.ndarray, " M"]) -> Int64[np.ndarray, " lines"]:
    """For each number in ``line``, ascending, where its lowest cost stands first."""
    order = np.lexsort((costs, line))  # stable: the first of equals comes first
    return order[np.unique(line[order], return_index=True)[1]]


@compiled
@no_type_check
def _distances(points):
    count = len(points)
    xs, ys = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
    distances = np.empty((count, count), np.float64)
    for i in range(count):
        row = distances[i]
        for j in range(count):
            dx, dy = xs[j] - xs[i], ys[j] - ys[i]
            row[j] = math.sqrt(dx * dx + dy * dy)
    return distances


@compiled
@no_type_check
def _count(points, distances, unit, edges):
    """Histogram the other points around each point."""
    count = len(points)
    counts = np.zeros((count, _BINS), np.float64)
    for i in range(count):
        counts[i, RADII - 1] += 1
        for j in range(i + 1, count):
            distance = distances[i, j] / unit
            inside = 0
            for edge in edges:
                inside += distance < edge
            if inside:
                angle = _sector(points[j, 0] - points[i, 0], points[j, 1] - points[i, 1])
                counts[i, angle * RADII + inside - 1] += 1
                if distance > 0:
                    angle = (angle + ANGLES // 2) % ANGLES
                counts[j, angle * RADII + inside - 1] += 1
    return counts


@compiled
@no_type_check
def _sector(dx, dy):
    """Which twelfth of the full circle a direction lies in: floor of its angle by 30 degrees; (0, 0) counts as 0."""
    if dx > 0 and dy >= 0:
        quarter, along, up = 0, dx, dy
    elif dx <= 0 and dy > 0:
        quarter, along, up = 3, dy, -dx
    elif dx < 0 and dy <= 0:
        quarter, along, up = 6, -dx, -dy
    elif dy < 0:
        quarter, along, up = 9, -dy, dx
    else:
        return 0
    return quarter + (up >= along * _TAN_30) + (up >= along * _TAN_60)


def distances_plain(points: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P P"]:
    """The distances between all points in NumPy."""
    return np.sqrt(((points[None, :, :] - points[:, None, :]) ** 2).sum(axis=2))


def count_plain(
    points: Float64[np.ndarray, "P 2"],
    distances: Float64[np.ndarray, "P P"],
    unit: float,
    edges: Float64[np.ndarray, " R"],
) -> Float64[np.ndarray, "P 60"]:
    """The histograms in NumPy, by the angles themselves."""
    inside = (distances[..., None] / unit < edges).sum(axis=2)
    across = points[None, :, :] - points[:, None, :]
    angles = np.arctan2(across[..., 1], across[..., 0])
    angles = np.fmod(np.fmod(angles, 2 * np.pi) + 2 * np.pi, 2 * np.pi)
    sectors = np.floor(angles / (2 * np.pi / ANGLES)).astype(np.int64)
    row, column = np.nonzero(inside)
    bins = row * _BINS + sectors[row, column] * RADII + inside[row, column] - 1
    return np.bincount(bins, minlength=len(points) * _BINS).reshape(-1, _BINS).astype(np.float64)


def costs_plain(a: Float64[np.ndarray, "P 60"], b: Float64[np.ndarray, "Q 60"]) -> Float64[np.ndarray, "P Q"]:
    """The chi-squared costs in NumPy, a row at a time: half the sum of (a - b)^2 / (a + b + eps)."""
    return np.stack([0.5 * np.sum((row - b) ** 2 / (row + b + _EPSILON), axis=1) for row in a])


@compiled
@no_type_check
def _costs(a, b):
    """The chi-squared costs, summed in NumPy's order (eight running sums, then the rest): equal costs stay equal."""
    across = np.ascontiguousarray(b.T)
    alone = across * across / (across + _EPSILON)  # the terms where a is 0
    costs = np.empty((len(a), len(b)), np.float64)
    sums = np.empty((9, len(b)), np.float64)
    for i in range(len(a)):
        sums[:] = 0.0
        for k in range(_BINS):
            if k == _IN_EIGHTS:
                sums[8] = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
            running = k % 8 if k < _IN_EIGHTS else 8
            value = a[i, k]
            if value == 0.0:
                for j in range(len(b)):
                    sums[running, j] += alone[k, j]
            else:
                for j in range(len(b)):
                    difference = value - across[k, j]
                    sums[running, j] += difference * difference / (value + across[k, j] + _EPSILON)
        for j in range(len(b)):
            costs[i, j] = 0.5 * sums[8, j]
    return costs
