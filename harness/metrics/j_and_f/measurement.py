"""J and F of one video, measured frame by frame: no mask is kept, only a few integers a frame and pair of objects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from harness.api.contracts import Rule
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.mask_files import ids_in
from harness.api.mask_runs import MaskRuns
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.j_and_f.boundary import boundary_accuracy
from harness.metrics.j_and_f.counters import new_counter
from harness.metrics.j_and_f.matching import match_proposals
from harness.metrics.j_and_f.objects import LEARNT_ON_THE_WAY, VOID, ScoredObjects, make_refusal
from harness.metrics.j_and_f.pair_counts import INTERSECTION, PREDICTED, UNION
from harness.metrics.j_and_f.region import region_similarity
from harness.metrics.j_and_f.statistics import summarise_series
from harness.metrics.shapes import Bool, Float64, Int64


@dataclass(frozen=True)
class MeasuredFrame:
    """What is kept of one scored frame: its number, the counts of its pairs, and which objects it counts for."""

    number: int
    counts: Int64[np.ndarray, "pairs 6"]
    scored: Bool[np.ndarray, " objects"]


class JFMeasurement:
    """Measures one video by a rule; docs/metrics.md says where each of its fields comes from."""

    def __init__(self, metric: str, sample: Sample, rule: Rule) -> None:
        self._crossed = rule.matching == "hungarian"
        if self._crossed and rule.both_empty == "left-out":
            raise ValueError(f"{metric} cannot leave out frames where it matches (rule {rule.version!r})")
        if rule.matching == "none" or (self._crossed and rule.objects != "first-frame-max"):
            raise ValueError(
                f"{metric} cannot match {rule.matching!r} with objects {rule.objects!r} (rule "
                f"{rule.version!r}); expected 'ids', or 'hungarian' with 'first-frame-max'"
            )
        self._metric = metric
        self._sample = sample
        self._rule = rule
        self._counter = new_counter()
        self._objects = ScoredObjects(sample, rule)
        self._last_added = -1
        self._prompts = sorted(sample.prompt_frames) if sample.read_prompt else []
        self._frames: list[MeasuredFrame] = []

    def add(self, frame: int, prediction: np.ndarray | MaskRuns, truth: np.ndarray | MaskRuns | None) -> None:
        """Take the id maps of the next frame, or their runs; they are read, not kept and not changed."""
        if not self._last_added < frame < self._sample.length:
            raise ValueError(f"frame {frame} after {self._last_added}, of {self._sample.length}; add frames in order")
        self._last_added = frame
        if self._rule.frames == "prompted":
            self._learn_prompts(frame)
        if truth is not None:
            if _dtype_of(truth) != np.uint8:
                raise make_refusal(self._sample, frame, found=f"a truth of {_dtype_of(truth)}", expected="uint8")
            self._take(frame, prediction, _runs_of(truth))

    def _learn_prompts(self, before: int) -> None:
        """Of frames that were left out too."""
        while self._prompts and self._prompts[0] < before:
            assert self._sample.read_prompt is not None
            self._objects.remember(ids_in(self._sample.read_prompt(self._prompts.pop(0))))

    def _take(self, frame: int, prediction: np.ndarray | MaskRuns, truth: MaskRuns) -> None:
        self._objects.look(frame, truth.ids)
        if self._rule.frames != "inner" or 0 < frame < self._sample.length - 1:
            self._measure(frame, prediction, truth)
        if self._rule.frames == "annotated":
            self._objects.remember(truth.ids)

    def _measure(self, frame: int, prediction: np.ndarray | MaskRuns, truth: MaskRuns) -> None:
        if prediction.shape != truth.shape or _dtype_of(prediction) != np.uint8:
            raise make_refusal(
                self._sample,
                frame,
                found=f"a prediction of {prediction.shape} {_dtype_of(prediction)}",
                expected=f"uint8 of {truth.shape}, the size of the truth",
            )
        prediction = _runs_of(prediction)
        slots = self._objects.slots(frame, prediction.ids, truth.ids)
        if self._rule.void == "ignore" and VOID in truth.ids:
            known = truth.decode() != VOID
            prediction, truth = MaskRuns.of(prediction.decode() * known), MaskRuns.of(truth.decode() * known)
        counts = self._counter.count_pairs(prediction, truth, slots, crossed=self._crossed)
        self._frames.append(MeasuredFrame(frame, counts, self._objects.are_scored()))

    def finish(self) -> VideoScores:
        """J and F of each object (None on frames where it is not scored) and their mean, recall and decay."""
        if not self._frames and self._rule.frames not in LEARNT_ON_THE_WAY:
            raise DataError.at(
                f"video {self._sample.name!r}",
                found=f"no frame to score among its {self._sample.length}",
                expected=f"at least one ({self._rule.version} scores {self._rule.frames} frames)",
            )
        matched: dict[str, int] = {}
        if self._crossed:
            J, F, matched = self._match()
        else:
            J, F = self._series()
        reported = [(n, str(self._objects.ids[n])) for n in np.flatnonzero(self._objects.are_reported())]
        scored = ~np.isnan(J)
        decay = self._rule.decay
        return VideoScores(
            metric=self._metric,
            frames=[frame.number for frame in self._frames],
            series={"J": {id_: _values(J[n]) for n, id_ in reported}, "F": {id_: _values(F[n]) for n, id_ in reported}},
            summary={
                id_: figures_or_none(summarise_series(J[n][scored[n]], F[n][scored[n]], decay)) for n, id_ in reported
            },
            matched=matched,
        )

    def _series(self) -> tuple[Float64[np.ndarray, "N T"], Float64[np.ndarray, "N T"]]:
        """J and F of each object and frame, NaN where the object is not scored."""
        objects = len(self._objects.ids)
        counts = np.zeros((objects, len(self._frames), 6), np.int64)
        scored = np.zeros((objects, len(self._frames)), bool)
        for t, frame in enumerate(self._frames):
            counts[: len(frame.counts), t], scored[: len(frame.scored), t] = frame.counts, frame.scored
        if self._rule.both_empty == "left-out":
            scored &= counts[..., UNION] > 0
        J, F = (np.where(scored, values, np.nan) for values in similarity_and_accuracy(counts))
        return J, F

    def _match(self) -> tuple[Float64[np.ndarray, "N T"], Float64[np.ndarray, "N T"], dict[str, int]]:
        """J and F of each object with the proposal that is matched to it, and which that is."""
        objects = len(self._objects.ids)
        if not objects:
            return np.empty((0, len(self._frames))), np.empty((0, len(self._frames))), {}
        counts = np.stack([frame.counts for frame in self._frames], axis=1)  # (P * N, T, 6)
        proposals = max(self._objects.highest_proposal, objects)
        counts = counts.reshape(-1, objects, *counts.shape[1:])[:proposals]  # (P, N, T, 6)
        J, F = similarity_and_accuracy(counts)
        chosen = match_proposals(J, F)
        matched = {str(n + 1): int(p) + 1 for n, p in enumerate(chosen) if p < self._objects.highest_proposal}
        return J[chosen, range(objects)], F[chosen, range(objects)], matched


def _dtype_of(mask: np.ndarray | MaskRuns) -> np.dtype[Any]:
    return mask.values.dtype if isinstance(mask, MaskRuns) else mask.dtype


def _runs_of(mask: np.ndarray | MaskRuns) -> MaskRuns:
    return mask if isinstance(mask, MaskRuns) else MaskRuns.of(mask)


def similarity_and_accuracy(
    counts: Int64[np.ndarray, "*shape 6"],
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """J and F from the counts of pairs."""
    J = region_similarity(counts[..., INTERSECTION], counts[..., UNION])
    return J, boundary_accuracy(*(counts[..., column] for column in range(PREDICTED, 6)))


def _values(series: Float64[np.ndarray, " T"]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in series.tolist()]


def figures_or_none(figures: dict[str, float]) -> dict[str, float | None]:
    """The same with None for NaN, as records keep them."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
