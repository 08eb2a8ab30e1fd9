"""F, boundary accuracy: how much of each mask's boundary lies within a small radius of the other's."""

from __future__ import annotations

import math

import numpy as np

from harness.metrics.shapes import Bool, Float64, Int, Int64, UInt8

BOUND = 0.008
"""The radius as a part of the image diagonal (Perazzi et al. 2016, section 3; davis2017-evaluation@ac7c43f)."""


def boundary_radius(height: int, width: int) -> int:
    """How many pixels two boundaries may lie apart: 8 at 480 x 854, never below 1."""
    return math.ceil(BOUND * float(np.linalg.norm((height, width))))


def disk_half_widths(radius: int) -> Int64[np.ndarray, " rows"]:
    """For each row distance 0..radius the largest column distance that is inside the disk dx^2 + dy^2 <= radius^2."""
    return np.array([math.isqrt(radius * radius - dy * dy) for dy in range(radius + 1)], np.int64)


def disk(radius: int) -> UInt8[np.ndarray, "side side"]:
    """The disk as a (2 radius + 1) square of 0 and 1, the structuring element of a dilation."""
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius * radius).astype(np.uint8)


def differing_blocks(masks: Int[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Mark pixels whose 2 x 2 block (itself, right, below, below right; last row and column repeated) is not constant.

    Every non-zero id in such a block has a boundary pixel there. So the boundary lies half a pixel up-left of the
    true edge, the image frame itself is no boundary, and the last corner pixel never is (davis2017-evaluation and
    fperazzi/davis, ``seg2bmap``).
    """
    blocks = np.zeros(masks.shape, np.bool_)
    beside = masks[:, :-1] != masks[:, 1:]
    below = masks[:-1] != masks[1:]
    blocks[:, :-1] = beside
    blocks[:-1] |= below
    blocks[:-1, :-1] |= beside[1:]
    return blocks


def boundary_accuracy(
    predicted: Int64[np.ndarray, "*shape"],
    true: Int64[np.ndarray, "*shape"],
    predicted_near_true: Int64[np.ndarray, "*shape"],
    true_near_predicted: Int64[np.ndarray, "*shape"],
) -> Float64[np.ndarray, "*shape"]:
    """F of each pair from counts of boundary pixels: harmonic mean of precision and recall.

    A side without any boundary makes its own ratio 1 and, where the other side has some, the other ratio 0; so two
    empty boundaries score 1, and one empty boundary scores 0.
    """
    precision = np.where(predicted == 0, 1.0, 0.0)
    recall = np.where(true == 0, 1.0, 0.0)
    both = (predicted > 0) & (true > 0)
    np.divide(predicted_near_true, predicted, out=precision, where=both)
    np.divide(true_near_predicted, true, out=recall, where=both)
    total = precision + recall
    accuracy = np.zeros(total.shape)
    np.divide(2 * precision * recall, total, out=accuracy, where=total > 0)
    return accuracy
