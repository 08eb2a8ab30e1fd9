"""Average precision and recall of scored detections, as COCOeval accumulates them (Lin et al. 2014).

The rules are those of pycocotools 2.0.11. They serve tracks (YouTube-VIS) and images (COCO), which differ in what an
overlap and an area is, and in the ranges of areas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.api.contracts import Column
from harness.api.dataclass import dataclass
from harness.api.records import Matches
from harness.metrics.precision.match import FALSE, TRUE, match
from harness.metrics.shapes import Bool, Float64, Int64, UInt8

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)

COLUMNS: tuple[Column, ...] = (
    Column("AP", "average precision, mean over overlap thresholds 0.5, 0.55, ... 0.95", averaged=False),
    Column("AP50", "average precision at overlap 0.5", averaged=False),
    Column("AP75", "average precision at overlap 0.75", averaged=False),
    Column("AP_S", "AP of small objects", averaged=False),
    Column("AP_M", "AP of middle-sized objects", averaged=False),
    Column("AP_L", "AP of large objects", averaged=False),
    Column("AR1", "average recall with the one best detection", averaged=False),
    Column("AR10", "average recall with the 10 best detections", averaged=False),
    Column("AR100", "average recall with the 100 best detections", averaged=False),
    Column("AR_S", "AR100 of small objects", averaged=False),
    Column("AR_M", "AR100 of middle-sized objects", averaged=False),
    Column("AR_L", "AR100 of large objects", averaged=False),
)


@dataclass(frozen=True)
class Group:
    """Detections and truths that may match: of one video or image, and of one category unless that is ignored.

    Detections come by falling score. ``overlaps`` is (detections, truths).
    """

    category: int
    scores: Float64[np.ndarray, " D"]
    areas: Float64[np.ndarray, " D"]
    truth_areas: Float64[np.ndarray, " G"]
    is_crowd: Bool[np.ndarray, " G"]
    overlaps: Float64[np.ndarray, "D G"]

    def as_json(self) -> dict[str, Any]:
        """Plain lists; floats come back bit for bit."""
        return {
            "category": self.category,
            "scores": self.scores.tolist(),
            "areas": self.areas.tolist(),
            "truth_areas": self.truth_areas.tolist(),
            "is_crowd": self.is_crowd.tolist(),
            "overlaps": self.overlaps.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Group:
        """What ``as_json`` gave."""
        scores, truth_areas = (np.array(content[name], np.float64) for name in ("scores", "truth_areas"))
        return cls(
            category=content["category"],
            scores=scores,
            areas=np.array(content["areas"], np.float64),
            truth_areas=truth_areas,
            is_crowd=np.array(content["is_crowd"], np.bool_),
            overlaps=np.array(content["overlaps"], np.float64).reshape(len(scores), len(truth_areas)),
        )


@dataclass(frozen=True)
class Curves:
    """Precision at each recall and the highest recall; axes threshold (recall) category range limit, -1: no truth."""

    precision: Float64[np.ndarray, "T R K A M"]
    recall: Float64[np.ndarray, "T K A M"]

    def figures(self) -> dict[str, float | None]:
        """The 12 figures, by ``COLUMNS``; None where there is no truth."""
        precision, recall = self.precision, self.recall
        values = [
            _mean(precision[:, :, :, 0, -1]),
            _mean(precision[0, :, :, 0, -1]),
            _mean(precision[5, :, :, 0, -1]),
            *(_mean(precision[:, :, :, size, -1]) for size in (1, 2, 3)),
            *(_mean(recall[:, :, 0, limit]) for limit in (0, 1, 2)),
            *(_mean(recall[:, :, size, -1]) for size in (1, 2, 3)),
        ]
        return {column.name: value for column, value in zip(COLUMNS, values, strict=True)}


def _mean(values: Float64[np.ndarray, "..."]) -> float | None:
    known = values[values > -1]
    return float(np.mean(known)) if known.size else None


def best_first(scores: Float64[np.ndarray, " D"], limit: int) -> Int64[np.ndarray, " K"]:
    """Where the ``limit`` highest scores stand, falling; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")[:limit]


def accumulate(
    groups: Iterable[Group],
    ranges: Float64[np.ndarray, "A 2"],
    limits: Sequence[int] = (1, 10, 100),
) -> Curves:
    """Put groups together, in their order, by category.

    ``ranges``: lowest and highest area, both included, the first is all. ``limits``: how many of the best detections
    of each group count. Truths that are a crowd or out of range are ignored, as are detections matched to them and
    unmatched detections out of range.
    """
    by_category: dict[int, list[Group]] = {}
    for group in groups:
        by_category.setdefault(group.category, []).append(group)
    shape = (len(by_category), len(ranges), len(limits))
    precision = np.full((len(THRESHOLDS), len(RECALLS), *shape), -1.0)
    recall = np.full((len(THRESHOLDS), *shape), -1.0)
    for k, category in enumerate(sorted(by_category)):
        members = by_category[category]
        matched = [_match_group(group, ranges) for group in members]
        positives = np.sum([counts for _, counts in matched], axis=0)
        for m, limit in enumerate(limits):
            scores = np.concatenate([group.scores[:limit] for group in members])
            outcomes = np.concatenate([outcome[:, :, :limit] for outcome, _ in matched], axis=2)
            outcomes = outcomes[:, :, np.argsort(-scores, kind="stable")]
            for a in np.flatnonzero(positives):
                precision[:, :, k, a, m], recall[:, k, a, m] = _curve(outcomes[a], int(positives[a]))
    return Curves(precision, recall)


def list_matches(groups: Sequence[Group], ranges: Float64[np.ndarray, "A 2"]) -> list[Matches]:
    """What each detection of one video turned out to be, its groups of one category put together in their order."""
    by_category: dict[int, list[Group]] = {}
    for group in groups:
        by_category.setdefault(group.category, []).append(group)
    return [_matches(category, by_category[category], ranges) for category in sorted(by_category)]


def _matches(category: int, groups: Sequence[Group], ranges: Float64[np.ndarray, "A 2"]) -> Matches:
    matched = [_match_group(group, ranges) for group in groups]
    outcomes = np.concatenate([outcome for outcome, _ in matched], axis=2).transpose(0, 2, 1)  # (A, D, T)
    letters = np.frombuffer(b"fti", np.uint8)[outcomes]
    return Matches(
        category=category,
        scores=[score for group in groups for score in group.scores.tolist()],
        ranks=[rank for group in groups for rank in range(len(group.scores))],
        outcomes=[of_range.tobytes().decode() for of_range in letters],
        truths=np.sum([counts for _, counts in matched], axis=0).tolist(),
    )


def _curve(
    outcomes: UInt8[np.ndarray, "T D"], positives: int
) -> tuple[Float64[np.ndarray, "T R"], Float64[np.ndarray, " T"]]:
    """Precision at the given recalls, made to fall, and the last recall, for each threshold."""
    precision = np.zeros((len(outcomes), len(RECALLS)))
    if outcomes.shape[1] == 0:
        return precision, np.zeros(len(outcomes))
    true = np.cumsum(outcomes == TRUE, axis=1, dtype=np.float64)
    false = np.cumsum(outcomes == FALSE, axis=1, dtype=np.float64)
    recall = true / positives
    falling = true / (false + true + np.spacing(1))
    falling = np.maximum.accumulate(falling[:, ::-1], axis=1)[:, ::-1]
    for t in range(len(outcomes)):
        places = np.searchsorted(recall[t], RECALLS, side="left")
        reached = places < falling.shape[1]
        precision[t, reached] = falling[t, places[reached]]
    return precision, recall[:, -1]


def _match_group(
    group: Group, ranges: Float64[np.ndarray, "A 2"]
) -> tuple[UInt8[np.ndarray, "A T D"], Int64[np.ndarray, " A"]]:
    """What each detection is for each range and threshold, and how many truths count for each range."""
    truths = len(group.truth_areas)
    outcomes = np.empty((len(ranges), len(THRESHOLDS), len(group.scores)), np.uint8)
    counts, order, flags = np.empty(len(ranges), np.int64), np.empty(truths, np.int64), np.empty((2, truths), np.uint8)
    match(
        np.ascontiguousarray(group.overlaps),
        *group.overlaps.shape,
        group.areas,
        group.truth_areas,
        group.is_crowd.view(np.uint8),
        np.ascontiguousarray(ranges),
        len(ranges),
        THRESHOLDS,
        len(THRESHOLDS),
        order,
        flags,
        outcomes,
        counts,
    )
    return outcomes, counts
