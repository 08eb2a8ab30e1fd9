"""The counts of pair_counts.py by the compiled loops of compiled_kernels.py."""

from __future__ import annotations

import numpy as np

from harness.api.machine_code import Pinned
from harness.api.mask_runs import MaskRuns
from harness.metrics.j_and_f import compiled_kernels as kernels
from harness.metrics.j_and_f.boundary import boundary_radius, disk_half_widths
from harness.metrics.j_and_f.pair_counts import PlainCounter, Slots
from harness.metrics.shapes import Int64


class CompiledCounter:
    """The counts by runs and bit maps; keeps its arrays from frame to frame."""

    def __init__(self) -> None:
        self._size = (0, 0)
        self._slots = (-1, -1)

    @staticmethod
    def is_usable() -> bool:
        """Whether its loops run as machine code; as plain Python they would be slower than ``PlainCounter``."""
        return kernels.count_frame.is_compiled

    def count_pairs(
        self,
        prediction: MaskRuns,
        truth: MaskRuns,
        slots: Slots,
        *,
        crossed: bool,
    ) -> Int64[np.ndarray, "pairs 6"]:
        """As ``PairCounter``."""
        self._fit_size(*truth.shape)
        if self._radius > kernels.MAX_RADIUS:
            return PlainCounter().count_pairs(prediction, truth, slots, crossed=crossed)
        proposals, objects = slots.proposals, slots.objects
        self._fit_slots(proposals, objects)
        counts = np.empty((proposals * objects if crossed else objects, 6), np.int64)
        kernels.count_frame(
            prediction.starts,
            prediction.values,
            prediction.values.size,
            slots.prediction,
            truth.starts,
            truth.values,
            truth.values.size,
            slots.truth,
            *truth.shape,
            proposals,
            objects,
            crossed,
            self._maps,
            self._boxes,
            self._half_widths,
            self._radius,
            self._joint,
            self._lengths,
            counts,
        )
        return counts

    def _fit_size(self, height: int, width: int) -> None:
        """Make the arrays that depend on the frame's size anew when it is another."""
        if (height, width) != self._size:
            self._size = (height, width)
            self._slots = (-1, -1)
            half_widths = disk_half_widths(boundary_radius(height, width))
            self._radius, self._half_widths = len(half_widths) - 1, Pinned(half_widths)

    def _fit_slots(self, proposals: int, objects: int) -> None:
        """Make the bit maps anew when there are other slots: pixels, boundaries, grown boundaries, and their boxes."""
        if (proposals, objects) != self._slots:
            self._slots = (proposals, objects)
            height, words = self._size[0], (self._size[1] + 63) // 64
            self._maps = Pinned(np.zeros((3, proposals + objects, height, words), np.uint64))
            self._boxes = Pinned(np.tile([height, -1, words, -1], (3, proposals + objects, 1)))
            self._joint = Pinned(np.empty((proposals + 2, objects + 2), np.int64))
            self._lengths = Pinned(np.empty(proposals + objects, np.int64))
