"""The counts of harness/metrics/pair_counts.py by the compiled kernels; imported only where Numba is there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

from harness.metrics import compiled_kernels as kernels
from harness.metrics.boundary import boundary_radius, disk_half_widths
from harness.metrics.pair_counts import PlainCounter, Slots

_EVERY_ID = np.arange(256, dtype=np.uint8)


class CompiledCounter:
    """The counts by run lengths and bit maps; keeps its arrays from frame to frame."""

    def __init__(self) -> None:
        self._size = (0, 0)
        self._slots = (-1, -1)

    def present_ids(self, masks: UInt8[np.ndarray, "H W"]) -> set[int]:
        """As ``PairCounter``."""
        self._fit_size(*masks.shape)
        starts, values = self._runs[:2]
        runs = kernels.cut_into_runs(*_flat(masks), _EVERY_ID, starts, values)
        return set(values[:runs].tolist()) - {0}

    def count_pairs(
        self,
        prediction: UInt8[np.ndarray, "H W"],
        truth: UInt8[np.ndarray, "H W"],
        slots: Slots,
        *,
        crossed: bool,
    ) -> Int64[np.ndarray, "pairs 6"]:
        """As ``PairCounter``."""
        height, width = truth.shape
        self._fit_size(height, width)
        if self._half_widths.size > kernels.MAX_RADIUS + 1:
            return PlainCounter().count_pairs(prediction, truth, slots, crossed=crossed)
        self._fit_slots(slots.proposals, slots.objects)
        sides = (
            (prediction, slots.prediction, self._runs[:2], slice(0, slots.proposals)),
            (truth, slots.truth, self._runs[2:], slice(slots.proposals, None)),
        )
        for labels, slot_of, (starts, values), own in sides:
            kernels.cut_into_runs(*_flat(labels), slot_of, starts, values)
            kernels.mark_boundaries(starts, values, height, width, self._edges[own], self._boxes[own])
        joint = np.zeros((slots.proposals + 1, slots.objects + 1), np.int64)
        kernels.add_joint(*self._runs, truth.size, joint)
        counts = np.zeros((slots.proposals * slots.objects if crossed else slots.objects, 6), np.int64)
        kernels.fill_counts(
            joint, self._edges, self._boxes, self._grown, self._grown_boxes, self._half_widths, crossed, counts
        )
        return counts

    def _fit_size(self, height: int, width: int) -> None:
        """Make the arrays that depend on the frame's size anew when it is another."""
        if (height, width) != self._size:
            self._size = (height, width)
            self._slots = (-1, -1)
            self._half_widths = disk_half_widths(boundary_radius(height, width))
            self._runs = [np.empty(height * width + 1, np.int64) for _ in range(4)]

    def _fit_slots(self, proposals: int, objects: int) -> None:
        """Make the bit maps anew when there are other slots."""
        if (proposals, objects) != self._slots:
            self._slots = (proposals, objects)
            height, words = self._size[0], (self._size[1] + 63) // 64
            self._edges, self._grown = np.zeros((2, proposals + objects, height, words), np.uint64)
            self._boxes, self._grown_boxes = np.tile([height, -1, words, -1], (2, proposals + objects, 1))


def _flat(labels: UInt8[np.ndarray, "H W"]) -> tuple[UInt8[np.ndarray, " pixels"], UInt64[np.ndarray, " words"]]:
    """The label map as one row of bytes, and as whole words of eight."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if flat.ctypes.data % 8:
        flat = flat.copy()
    return flat, flat[: flat.size // 8 * 8].view(np.uint64)
