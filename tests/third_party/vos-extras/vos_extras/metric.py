"""Precision and recall of each object's pixels over a video: does a method spill over, or miss?"""

from collections.abc import Sequence
from itertools import chain
from statistics import fmean

import numpy as np

from harness import Column, Rule, Sample, VideoScores, hookimpl
from harness.api.contracts import Measurement, Metric

VOID = 255


class PrecisionRecall:
    """Two figures an object: the share of its predicted pixels that are right, and of its true ones that are found."""

    name = "precision_recall"
    columns: tuple[Column, ...] = (
        Column("precision", "share of an object's predicted pixels that are right"),
        Column("recall", "share of an object's true pixels that are found"),
    )

    def start(self, sample: Sample, rule: Rule) -> Measurement:
        """Begin one video."""
        return Pixels(sample, rule)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The mean over all objects, or over videos, as the rule says; None where nothing is defined."""
        return {column.name: self._overall(column.name, videos, rule) for column in self.columns}

    def _overall(self, column: str, videos: Sequence[VideoScores], rule: Rule) -> float | None:
        objects = [[row[column] for row in video.summary.values()] for video in videos]
        defined = [[figure for figure in row if figure is not None] for row in objects]
        rows = [row for row in defined if row]
        figures = [fmean(row) for row in rows] if rule.average == "sequences" else list(chain(*rows))
        return fmean(figures) if figures else None


class Pixels:
    """One video: three counts an id are all that is kept."""

    def __init__(self, sample: Sample, rule: Rule) -> None:
        if (rule.objects, rule.matching) != ("first-frame-max", "ids") or rule.frames == "annotated":
            raise ValueError(
                f"precision_recall cannot follow rule {rule.version!r}; expected objects 'first-frame-max', "
                "matching 'ids' and frames 'inner' or 'all'"
            )
        if sample.read_truth is None or (first := sample.read_truth(0)) is None:
            raise ValueError(f"video {sample.name!r} has no truth on its first frame; expected the ids to measure")
        self._ids = range(1, int(first[first != VOID].max(initial=0)) + 1)
        self._scored = range(1, sample.length - 1) if rule.frames == "inner" else range(sample.length)
        self._ignores_void = rule.void == "ignore"
        self._frames: list[int] = []
        self._predicted, self._true, self._right = np.zeros((3, 256), np.int64)

    def add(self, frame: int, prediction: np.ndarray, truth: np.ndarray | None) -> None:
        """Count the pixels of each id in the next frame, without void where the rule says so."""
        if truth is None or frame not in self._scored:
            return
        if self._ignores_void:
            prediction, truth = prediction[truth != VOID], truth[truth != VOID]
        self._frames.append(frame)
        self._predicted += np.bincount(prediction.ravel(), minlength=256)
        self._true += np.bincount(truth.ravel(), minlength=256)
        self._right += np.bincount(truth[truth == prediction], minlength=256)

    def finish(self) -> VideoScores:
        """The two figures of each object; None where it was never predicted, or is never there."""
        return VideoScores(
            metric="precision_recall",
            frames=self._frames,
            summary={
                str(i): {
                    "precision": share(self._right[i], self._predicted[i]),
                    "recall": share(self._right[i], self._true[i]),
                }
                for i in self._ids
            },
        )


def share(part: int, whole: int) -> float | None:
    """``part`` of ``whole``; None of nothing."""
    return float(part / whole) if whole else None


@hookimpl
def harness_metrics() -> list[Metric]:
    """Offer one metric."""
    return [PrecisionRecall()]
