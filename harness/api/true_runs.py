"""The truth of a frame as runs of one id, for metrics that count by them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.api.mask_runs import MaskRuns
from harness.api.video import Sample


class TruthReader:
    """A ``Sample.read_truth`` that gives its masks as runs too.

    Whoever puts another function in its place gives up the runs with it: both are always of one truth.
    """

    def __init__(self, read: Callable[[int], np.ndarray | None], read_runs: Callable[[int], MaskRuns | None]) -> None:
        self.read = read
        self.read_runs = read_runs

    def __call__(self, frame: int) -> np.ndarray | None:
        return self.read(frame)


def read_true_runs(sample: Sample, frame: int) -> MaskRuns | None:
    """The runs of a frame's truth; None where it is not annotated, or the video has none."""
    if isinstance(sample.read_truth, TruthReader):
        return sample.read_truth.read_runs(frame)
    truth = sample.read_truth(frame) if sample.read_truth else None
    return None if truth is None else MaskRuns.of(truth)
