"""How far two contours differ: shape contexts, their chi-squared costs, and the cheapest one-to-one matching in order.

Steps 5 to 8 of the DAVIS 2016 measure (Perazzi et al. 2016, sec. 4, after Belongie et al. 2002; fperazzi/davis@aaee12c
by its golden figures, see docs/metrics-stability-ap.md).
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array
from harness.metrics.shapes import Float64, Int64
from harness.metrics.stability.path import cheapest_path

LOOPS = Loops(__file__)
ANGLES, RADII = 12, 5
HALF_TURN = ANGLES // 2
_BINS = ANGLES * RADII
_BLOCK = 64
"""Columns whose terms lie in the cache together."""
_RADIUS_EDGES = np.logspace(np.log10(1 / 8), np.log10(2.0), RADII)
"""In units of the mean distance."""
_EPSILON = 2.2204e-16
_TAN_30, _TAN_60 = math.tan(math.pi / 6), math.tan(math.pi / 3)


def shape_contexts(points: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P 60"]:
    """For each point, which part of the near points lies in each of 5 distances x 12 directions.

    Directions are absolute. The point itself counts (distance 0), and so do the zeros of the diagonal in the mean
    distance that is the unit. What lies beyond 2 such units does not count.
    """
    distances = distances_between(points)
    counts = count_neighbours(points, distances, float(distances.mean()), _RADIUS_EDGES)
    return counts / counts.sum(axis=1, keepdims=True)


def contour_distance(contexts: Float64[np.ndarray, "P 60"], next_contexts: Float64[np.ndarray, "Q 60"]) -> float:
    """Return the mean cost of the matched points of two contours, in [0, 1]."""
    costs = costs_between(contexts, next_contexts)
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


def distances_between(points: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P P"]:
    """The distances between all points."""
    if not fill_distances.is_compiled:
        return distances_plain(points)
    xs, ys = points.T.copy()
    distances = np.empty((len(points), len(points)), np.float64)
    fill_distances(xs, ys, len(points), distances)
    return distances


def count_neighbours(
    points: Float64[np.ndarray, "P 2"],
    distances: Float64[np.ndarray, "P P"],
    unit: float,
    edges: Float64[np.ndarray, " R"],
) -> Float64[np.ndarray, "P 60"]:
    """For each point, how many points lie in each distance and direction.

    Bins stand by distance, the farthest first, then by direction: their order decides the last bit of a cost, and
    equal costs decide paths.
    """
    if not fill_counts.is_compiled:
        return count_plain(points, distances, unit, edges)
    xs, ys = points.T.copy()
    counts = np.zeros((len(points), _BINS), np.int64)
    fill_counts(xs, ys, len(points), distances, unit, edges, np.empty((2, len(points)), np.int64), counts)
    return counts.astype(np.float64)


def costs_between(a: Float64[np.ndarray, "P 60"], b: Float64[np.ndarray, "Q 60"]) -> Float64[np.ndarray, "P Q"]:
    """The chi-squared cost of each pair of histograms."""
    if not fill_costs.is_compiled:
        return costs_plain(a, b)
    across = np.ascontiguousarray(b.T)
    costs = np.empty((len(a), len(b)), np.float64)
    numbers, values = np.empty((_BINS, len(a)), np.int64), np.empty((_BINS * len(a), 2), np.float64)
    terms = np.empty((_BINS * len(a), _BLOCK), np.float64)  # as much as there are different heights in a is touched
    fill_costs(np.ascontiguousarray(a), across, len(a), len(b), numbers, values, terms, np.empty((8, _BLOCK)), costs)
    return costs


@LOOPS.entry("f8*, f8*, i8, f8* -> i8")
@no_type_check
def fill_distances(xs, ys, count, distances):
    """Write the distances between all points."""
    xs, ys = as_array(xs, (count,)), as_array(ys, (count,))
    distances = as_array(distances, (count, count))
    for i in range(count):
        row = distances[i]
        for j in range(count):
            dx, dy = xs[j] - xs[i], ys[j] - ys[i]
            row[j] = math.sqrt(dx * dx + dy * dy)
    return 0


@LOOPS.entry("f8*, f8*, i8, f8*, f8, f8*, i8*, i8* -> i8")
@no_type_check
def fill_counts(xs, ys, count, distances, unit, edges, bins, counts):
    """Histogram the points around each point; each pair of points is looked at once, for both."""
    xs, ys = as_array(xs, (count,)), as_array(ys, (count,))
    distances = as_array(distances, (count, count))
    edges = as_array(edges, (RADII,))
    bins = as_array(bins, (2, count))
    counts = as_array(counts, (count, _BINS))
    bins_here, bins_there = bins[0], bins[1]
    for i in range(count):
        row = distances[i]
        for j in range(i + 1, count):
            distance = row[j] / unit
            ring = -1  # 0 is the outermost
            for edge in range(RADII):
                ring += distance < edges[edge]
            dx, dy = xs[j] - xs[i], ys[j] - ys[i]
            sector = _sector(dx, dy)
            opposite = sector + HALF_TURN if sector < HALF_TURN else sector - HALF_TURN
            bins_here[j] = ring * ANGLES + sector if ring >= 0 else -1
            bins_there[j] = ring * ANGLES + (opposite if distance > 0 else sector)
        counts[i, (RADII - 1) * ANGLES] += 1
        for j in range(i + 1, count):
            if bins_here[j] >= 0:
                counts[i, bins_here[j]] += 1
                counts[j, bins_there[j]] += 1
    return 0


@LOOPS.inner
@no_type_check
def _sector(dx, dy):
    """Which twelfth of the full circle a direction lies in: floor of its angle by 30 degrees; (0, 0) counts as 0."""
    is_first, is_second = (dx > 0) & (dy >= 0), (dx <= 0) & (dy > 0)
    is_third, is_fourth = (dx < 0) & (dy <= 0), (dx >= 0) & (dy < 0)
    along = max(abs(dx), 0.0) if is_first | is_third else abs(dy)
    up = abs(dy) if is_first | is_third else abs(dx)
    quarter = 3 * is_second + 6 * is_third + 9 * is_fourth
    is_any = is_first | is_second | is_third | is_fourth
    return quarter + ((up >= along * _TAN_30) & is_any) + ((up >= along * _TAN_60) & is_any)


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
    bins = row * _BINS + (inside[row, column] - 1) * ANGLES + sectors[row, column]
    return np.bincount(bins, minlength=len(points) * _BINS).reshape(-1, _BINS).astype(np.float64)


def costs_plain(a: Float64[np.ndarray, "P 60"], b: Float64[np.ndarray, "Q 60"]) -> Float64[np.ndarray, "P Q"]:
    """The chi-squared costs in NumPy, a row at a time: half the sum of (a - b)^2 / (a + b + eps)."""
    return np.stack([0.5 * np.sum((row - b) ** 2 / (row + b + _EPSILON), axis=1) for row in a])


@LOOPS.entry("f8*, f8*, i8, i8, i8*, f8*, f8*, f8*, f8* -> i8")
@no_type_check
def fill_costs(a, across, rows, columns, numbers, values, terms, sums, costs):
    """The chi-squared costs, summed in NumPy's order (eight running sums, then the rest): equal costs stay equal.

    A bin of ``a`` has few different heights, since histograms hold whole numbers: the terms of each are divided once a
    block of columns, not once a row.
    """
    a, across = as_array(a, (rows, _BINS)), as_array(across, (_BINS, columns))
    numbers, values = as_array(numbers, (_BINS, rows)), as_array(values, (_BINS * rows, 2))
    terms, costs = as_array(terms, (_BINS * rows, _BLOCK)), as_array(costs, (rows, columns))
    sums = as_array(sums, (8, _BLOCK))
    heights = _number_heights(a, numbers, values)
    for begin in range(0, columns, _BLOCK):
        width = min(_BLOCK, columns - begin)
        for n in range(heights):
            value, row, term = values[n, 0], across[np.int64(values[n, 1]), begin : begin + width], terms[n]
            for j in range(width):
                difference = value - row[j]
                term[j] = difference * difference / (value + row[j] + _EPSILON)
        for i in range(rows):
            _add_terms(numbers, terms, i, sums, costs[i, begin : begin + width])
    return 0


@LOOPS.inner
@no_type_check
def _number_heights(a, numbers, values):
    """Number the different (height, bin) of all histograms; return how many there are."""
    heights = 0
    for k in range(_BINS):
        first = heights
        for i in range(a.shape[0]):
            n = first
            while n < heights and values[n, 0] != a[i, k]:
                n += 1
            if n == heights:
                values[n, 0], values[n, 1] = a[i, k], k
                heights += 1
            numbers[k, i] = n
    return heights


@LOOPS.inner
@no_type_check
def _add_terms(numbers, terms, i, sums, costs):
    """Half the sum of the terms of one histogram, for one block of columns: 8 sums of every eighth term, then 4."""
    for first in range(8):
        total = sums[first]
        a, b, c, d = (
            terms[numbers[first, i]],
            terms[numbers[first + 8, i]],
            terms[numbers[first + 16, i]],
            terms[numbers[first + 24, i]],
        )
        e, f, g = terms[numbers[first + 32, i]], terms[numbers[first + 40, i]], terms[numbers[first + 48, i]]
        for j in range(costs.size):
            total[j] = (((((a[j] + b[j]) + c[j]) + d[j]) + e[j]) + f[j]) + g[j]
    a, b = terms[numbers[56, i]], terms[numbers[57, i]]
    c, d = terms[numbers[58, i]], terms[numbers[59, i]]
    for j in range(costs.size):
        total = ((sums[0, j] + sums[1, j]) + (sums[2, j] + sums[3, j])) + (
            (sums[4, j] + sums[5, j]) + (sums[6, j] + sums[7, j])
        )
        costs[j] = 0.5 * ((((total + a[j]) + b[j]) + c[j]) + d[j])
