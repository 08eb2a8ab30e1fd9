"""The metric "stability": T of DAVIS 2016, how much the predicted contour changes its shape from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.contracts import Column, Metric, Rule
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.shapes import Float64, UInt8

SCALE = 5.0
"""What the mean matching cost is multiplied with (fperazzi/davis@aaee12c)."""


class StabilityMeasurement:
    """Measures one video; keeps the shape contexts of one frame.

    The object is all that is not 0. First and last frame do not count; of the others each is compared with the one
    before. A pair where a frame has no contour has no value. The truth is not looked at.
    """

    def __init__(self, metric: str, sample: Sample) -> None:
        self._metric = metric
        self._sample = sample
        self._is_scored = sample.extra.get("eval_t", True)
        self._last_added = -1
        self._contexts: Float64[np.ndarray, "P 60"] | None = None
        self._frames: list[int] = []
        self._values: list[float | None] = []

    def add(self, frame: int, prediction: np.ndarray, truth: np.ndarray | None) -> None:
        """Take the next frame's id map; it is read, not kept."""
        if not self._last_added < frame < self._sample.length:
            raise ValueError(f"frame {frame} after {self._last_added} of {self._sample.length} frames; add in order")
        is_next = frame == self._last_added + 1
        self._last_added = frame
        if not self._is_scored or not 0 < frame < self._sample.length - 1:
            return
        contexts = contour_contexts(prediction)
        if is_next and frame > 1:
            self._frames.append(frame)
            self._values.append(pair_instability(self._contexts, contexts))
        self._contexts = contexts

    def finish(self) -> VideoScores:
        """T of every pair, at its later frame, and their mean; None where the dataset says that T is not evaluated."""
        return VideoScores(
            metric=self._metric,
            frames=self._frames,
            series={"T": {"1": self._values}} if self._frames else {},
            summary={"1": {"T": _mean(self._values)}},
        )


class Stability:
    """T: lower is steadier."""

    name = "stability"
    columns: tuple[Column, ...] = (
        Column("T", "change of the contour's shape from frame to frame, times 5", higher_is_better=False, unit=""),
    )

    def start(self, sample: Sample, rule: Rule) -> StabilityMeasurement:
        """Begin one video."""
        return StabilityMeasurement(self.name, sample)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The mean over the videos that have a T; ValueError for a rule that pools frames, as T is one of a video."""
        if rule.average == "frames":
            raise ValueError(f"{self.name} is a mean over videos; rule {rule.version!r} pools frames")
        return {"T": _mean([video.summary["1"]["T"] for video in videos])}


def contour_contexts(prediction: UInt8[np.ndarray, "H W"]) -> Float64[np.ndarray, "P 60"] | None:
    """The shape contexts of a mask's contour; None where it has none."""
    from harness.metrics.stability.contour import contour_points
    from harness.metrics.stability.match import shape_contexts

    points = contour_points(prediction)
    return None if points is None else shape_contexts(points)


def pair_instability(
    contexts: Float64[np.ndarray, "P 60"] | None, next_contexts: Float64[np.ndarray, "Q 60"] | None
) -> float | None:
    """T of two consecutive frames, in [0, 5]; None where one has no contour."""
    from harness.metrics.stability.match import contour_distance

    if contexts is None or next_contexts is None:
        return None
    return SCALE * contour_distance(contexts, next_contexts)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@hookimpl
def harness_metrics() -> list[Metric]:
    """The metrics of this module."""
    return [Stability()]
