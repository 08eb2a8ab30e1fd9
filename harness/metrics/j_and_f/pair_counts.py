"""Pixel counts of every pair of predicted and true object in one frame, from which J and F follow: plain form.

Everything is an integer, so the compiled form (harness/metrics/j_and_f/compiled_counter.py) gives the very same
numbers; it is used where Numba is there, and this form, in NumPy and OpenCV, where it is not.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.mask_runs import MaskRuns
from harness.metrics.j_and_f.boundary import boundary_radius, differing_blocks, disk
from harness.metrics.shapes import Int64, UInt8

INTERSECTION, UNION, PREDICTED, TRUE, PREDICTED_NEAR_TRUE, TRUE_NEAR_PREDICTED = range(6)
"""Columns of the counts: pixels of the masks, pixels of the boundaries, and those within the radius of the other's."""


@runtime_checkable
class PairCounter(Protocol):
    """Counts for the frames of one video; it may keep arrays from frame to frame, so it serves one thread."""

    def count_pairs(
        self,
        prediction: MaskRuns,
        truth: MaskRuns,
        slots: Slots,
        *,
        crossed: bool,
    ) -> Int64[np.ndarray, "pairs 6"]:
        """Count what J and F need for pairs of one frame.

        ``crossed``: every proposal with every object, proposal-major. Otherwise slot k with slot k; there are as many
        proposals as objects then.
        """
        ...


@dataclass(frozen=True)
class Slots:
    """For each stored value 0..255 the number 1.. of the proposal or object it stands for, 0 for background."""

    prediction: UInt8[np.ndarray, "256"]
    truth: UInt8[np.ndarray, "256"]
    proposals: int
    objects: int


class PlainCounter:
    """The counts in NumPy and OpenCV."""

    def count_pairs(
        self,
        prediction: MaskRuns,
        truth: MaskRuns,
        slots: Slots,
        *,
        crossed: bool,
    ) -> Int64[np.ndarray, "pairs 6"]:
        """As ``PairCounter``."""
        proposals, objects = slots.proposals, slots.objects
        predicted, true = slots.prediction[prediction.decode()], slots.truth[truth.decode()]
        occupied = np.flatnonzero(predicted | true)  # pixels that are background twice enter no count
        codes = predicted.ravel()[occupied].astype(np.int64) * (objects + 1) + true.ravel()[occupied]
        joint = np.bincount(codes, minlength=(proposals + 1) * (objects + 1)).reshape(proposals + 1, objects + 1)
        areas = joint.sum(axis=1)[1:, None] + joint.sum(axis=0)[None, 1:]

        counts = np.zeros((proposals, objects, 6), np.int64)
        counts[..., INTERSECTION] = joint[1:, 1:]
        counts[..., UNION] = areas - joint[1:, 1:]
        predicted_edges, true_edges = _Edges(predicted, proposals), _Edges(true, objects)
        counts[..., PREDICTED] = np.array([len(points) for points in predicted_edges.points], np.int64)[:, None]
        counts[..., TRUE] = [len(points) for points in true_edges.points]
        pairs = np.ndindex(proposals, objects) if crossed else zip(range(proposals), range(objects), strict=True)
        for p, n in pairs:
            counts[p, n, PREDICTED_NEAR_TRUE] = true_edges.count_near(n, predicted_edges.points[p])
            counts[p, n, TRUE_NEAR_PREDICTED] = predicted_edges.count_near(p, true_edges.points[n])
        return counts.reshape(-1, 6) if crossed else counts[range(objects), range(objects)]


class _Edges:
    """The boundary pixels of each slot of one label map, and how many given pixels lie near one of them."""

    def __init__(self, labels: np.ndarray, slots: int) -> None:
        self.radius = boundary_radius(*labels.shape)
        ys, xs = np.nonzero(differing_blocks(labels))
        below, right = np.minimum(ys + 1, labels.shape[0] - 1), np.minimum(xs + 1, labels.shape[1] - 1)
        corners = np.stack((labels[ys, xs], labels[ys, right], labels[below, xs], labels[below, right]))
        where = np.column_stack((ys, xs))
        self.points = [where[(corners == slot).any(axis=0)] for slot in range(1, slots + 1)]
        self._grown: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _grow(self, slot: int) -> tuple[np.ndarray, np.ndarray]:
        """The corner and the pixels of the smallest box that holds the dilated boundary."""
        import cv2

        points = self.points[slot]
        corner = points.min(axis=0) - self.radius
        box = np.zeros(points.max(axis=0) - corner + self.radius + 1, np.uint8)
        box[tuple((points - corner).T)] = 1
        return corner, cv2.dilate(box, disk(self.radius))

    def count_near(self, slot: int, points: np.ndarray) -> int:
        """How many of ``points`` lie within the radius of the slot's boundary."""
        if not len(points) or not len(self.points[slot]):
            return 0
        if slot not in self._grown:
            self._grown[slot] = self._grow(slot)
        corner, box = self._grown[slot]
        inside = points - corner
        inside = inside[((inside >= 0) & (inside < box.shape)).all(axis=1)]
        return int(box[tuple(inside.T)].sum())
