"""The loops of mean field: a step is one scan of the pixels, which slices, takes the softmax and splats.

Pixels are (N, corners) places and weights on the permutohedral lattice (`lattice_loops`); what is filtered is (M + 1,
groups, 4), a row a vertex, the last one always 0. Two labels need one number a vertex.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)
CORNERS, FLAT_CORNERS = 6, 3
"""Corners of a simplex over position and colour, and over position alone."""
BLOCK = 64
"""Pixels whose exponentials are taken at once."""
_HALF, _ONE = np.float32(0.5), np.float32(1)
_FAR = np.float32(80)
"""e^80 is a number in single precision; 1 / (1 + e^80) is no probability that matters."""
_FURTHEST = np.float32(3e38)
_WHOLE = np.float32(12582912)
"""1.5 * 2^23: added and taken off again, it leaves the nearest whole number."""
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
"""ln 2 in two parts, of which the first has so few bits that its product with n is exact."""
_THIRD, _FOURTH, _FIFTH, _SIXTH = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120), np.float32(1 / 720)
"""1 / 3! to 1 / 6!."""

_STEP = "i8, f4*, f4*, i4*, f4*, f4*, f4*, i8, f8, i4*, f4*, f4*, f4*, i8, f8"
"""What a step of mean field takes: pixels, energies and their share that no label has alone; then of the lattice with
colour and of the one without: corners, weights, blurred vertices, vertices to fill, their number, weight."""


@LOOPS.entry(f"{_STEP}, f4* -> f8")
@no_type_check
def step_two(
    pixels, energies, alone,
    corners, weights, blurred, vertices, count, strength,
    flat_corners, flat_weights, flat_blurred, flat_vertices, flat_count, flat_strength,
    probabilities,
):  # fmt: skip
    """One step for two labels: the first one's probability, splatted as it is found; returns its largest change."""
    energies = as_array(energies, (pixels,))
    alone = as_array(alone, (pixels,))
    corners = as_array(corners, (pixels, CORNERS))
    weights = as_array(weights, (pixels, CORNERS))
    blurred = as_array(blurred, (count + 1,))
    vertices = as_array(vertices, (count + 1,))
    flat_corners = as_array(flat_corners, (pixels, FLAT_CORNERS))
    flat_weights = as_array(flat_weights, (pixels, FLAT_CORNERS))
    flat_blurred = as_array(flat_blurred, (flat_count + 1,))
    flat_vertices = as_array(flat_vertices, (flat_count + 1,))
    probabilities = as_array(probabilities, (pixels,))
    vertices[:] = np.float32(0)
    flat_vertices[:] = np.float32(0)
    double, flat_double = np.float32(2 * strength), np.float32(2 * flat_strength)
    changed = np.float32(0)
    for pixel in range(pixels):
        logit = energies[pixel] - alone[pixel]
        if count:
            total = np.float32(0)
            for corner in range(CORNERS):
                total += weights[pixel, corner] * blurred[np.uint32(corners[pixel, corner])]
            logit += double * total
        if flat_count:
            total = np.float32(0)
            for corner in range(FLAT_CORNERS):
                total += flat_weights[pixel, corner] * flat_blurred[np.uint32(flat_corners[pixel, corner])]
            logit += flat_double * total
        q = _ONE / (_ONE + math.exp(min(-logit, _FAR)))
        changed = max(changed, abs(q - probabilities[pixel]))
        probabilities[pixel] = q
        if count:
            for corner in range(CORNERS):
                vertices[np.uint32(corners[pixel, corner])] += weights[pixel, corner] * q
        if flat_count:
            for corner in range(FLAT_CORNERS):
                flat_vertices[np.uint32(flat_corners[pixel, corner])] += flat_weights[pixel, corner] * q
    return changed


@LOOPS.entry(f"{_STEP}, i8, f4*, f4*, f4* -> f8")
@no_type_check
def step_many(
    pixels, energies, alone,
    corners, weights, blurred, vertices, count, strength,
    flat_corners, flat_weights, flat_blurred, flat_vertices, flat_count, flat_strength,
    groups, last, logits, probabilities,
):  # fmt: skip
    """One step for any number of labels, all but the last in ``groups`` of four; returns the largest change.

    ``last`` has the energies of the last label, whose messages are what is left of ``alone``. ``logits`` is room for
    `BLOCK` pixels. Columns that stand for no label have an energy no other comes near.
    """
    energies = as_array(energies, (pixels, groups, 4))
    last = as_array(last, (pixels,))
    alone = as_array(alone, (pixels,))
    corners = as_array(corners, (pixels, CORNERS))
    weights = as_array(weights, (pixels, CORNERS))
    blurred = as_array(blurred, (count + 1, groups, 4))
    vertices = as_array(vertices, (count + 1, groups, 4))
    flat_corners = as_array(flat_corners, (pixels, FLAT_CORNERS))
    flat_weights = as_array(flat_weights, (pixels, FLAT_CORNERS))
    flat_blurred = as_array(flat_blurred, (flat_count + 1, groups, 4))
    flat_vertices = as_array(flat_vertices, (flat_count + 1, groups, 4))
    numbers = as_array(logits, (BLOCK * (groups + 1) * 4,))
    logits = as_array(logits, (BLOCK, groups + 1, 4))
    probabilities = as_array(probabilities, (pixels, groups, 4))
    vertices[:] = np.float32(0)
    flat_vertices[:] = np.float32(0)
    strength, flat_strength = np.float32(strength), np.float32(flat_strength)
    c0 = c1 = c2 = c3 = np.float32(0)
    for begin in range(0, pixels, BLOCK):
        end = min(begin + BLOCK, pixels)
        for pixel in range(begin, end):
            row = logits[pixel - begin]
            s0 = s1 = s2 = s3 = np.float32(0)
            h0 = h1 = h2 = h3 = -_FURTHEST
            for group in range(groups):
                a0 = a1 = a2 = a3 = np.float32(0)
                if count:
                    for corner in range(CORNERS):
                        weight = strength * weights[pixel, corner]
                        values = blurred[np.uint32(corners[pixel, corner]), group]
                        a0 += weight * values[0]
                        a1 += weight * values[1]
                        a2 += weight * values[2]
                        a3 += weight * values[3]
                if flat_count:
                    for corner in range(FLAT_CORNERS):
                        weight = flat_strength * flat_weights[pixel, corner]
                        values = flat_blurred[np.uint32(flat_corners[pixel, corner]), group]
                        a0 += weight * values[0]
                        a1 += weight * values[1]
                        a2 += weight * values[2]
                        a3 += weight * values[3]
                s0 += a0
                s1 += a1
                s2 += a2
                s3 += a3
                energy = energies[pixel, group]
                a0 += energy[0]
                a1 += energy[1]
                a2 += energy[2]
                a3 += energy[3]
                h0 = a0 if a0 > h0 else h0
                h1 = a1 if a1 > h1 else h1
                h2 = a2 if a2 > h2 else h2
                h3 = a3 if a3 > h3 else h3
                row[group, 0] = a0
                row[group, 1] = a1
                row[group, 2] = a2
                row[group, 3] = a3
            left = last[pixel] + alone[pixel] - ((s0 + s1) + (s2 + s3))
            highest = max(max(h0, h1), max(max(h2, h3), left))
            row[groups] = -_FAR
            row[groups, 0] = left - highest
            for group in range(groups):
                row[group, 0] -= highest
                row[group, 1] -= highest
                row[group, 2] -= highest
                row[group, 3] -= highest
        _exponentiate(numbers, (end - begin) * (groups + 1) * 4)
        for pixel in range(begin, end):
            row = logits[pixel - begin]
            s0, s1, s2, s3 = row[groups, 0], np.float32(0), np.float32(0), np.float32(0)
            for group in range(groups):
                s0 += row[group, 0]
                s1 += row[group, 1]
                s2 += row[group, 2]
                s3 += row[group, 3]
            share = _ONE / ((s0 + s1) + (s2 + s3))
            for group in range(groups):
                q0, q1, q2, q3 = (
                    row[group, 0] * share,
                    row[group, 1] * share,
                    row[group, 2] * share,
                    row[group, 3] * share,
                )
                before = probabilities[pixel, group]
                d0, d1, d2, d3 = abs(q0 - before[0]), abs(q1 - before[1]), abs(q2 - before[2]), abs(q3 - before[3])
                c0 = d0 if d0 > c0 else c0
                c1 = d1 if d1 > c1 else c1
                c2 = d2 if d2 > c2 else c2
                c3 = d3 if d3 > c3 else c3
                before[0] = q0
                before[1] = q1
                before[2] = q2
                before[3] = q3
                if count:
                    for corner in range(CORNERS):
                        weight = weights[pixel, corner]
                        values = vertices[np.uint32(corners[pixel, corner]), group]
                        values[0] += weight * q0
                        values[1] += weight * q1
                        values[2] += weight * q2
                        values[3] += weight * q3
                if flat_count:
                    for corner in range(FLAT_CORNERS):
                        weight = flat_weights[pixel, corner]
                        values = flat_vertices[np.uint32(flat_corners[pixel, corner]), group]
                        values[0] += weight * q0
                        values[1] += weight * q1
                        values[2] += weight * q2
                        values[3] += weight * q3
    return max(max(c0, c1), max(c2, c3))


@LOOPS.inner
@no_type_check
def _exponentiate(numbers, count):
    """e^x of numbers that are 0 or less, to 2 units in the last place; below e^-80 it stays at e^-80.

    x = n ln 2 + r with |r| <= ln 2 / 2; the series of e^r, times 2^n, which is the bits of its exponent.
    """
    for at in range(count):
        x = numbers[at]
        x = x if x > -_FAR else -_FAR
        n = (x * _LOG2E + _WHOLE) - _WHOLE
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        series = ((((_SIXTH * r + _FIFTH) * r + _FOURTH) * r + _THIRD) * r + _HALF) * r * r + r + _ONE
        numbers[at] = series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
