"""The metric "track_ap": average precision of tracks, as YouTube-VIS scores video instance segmentation.

Yang, Fan, Xu 2019, sec. 3; youtubevos/cocoapi@f3f9948 (ytvoseval). Departures and quirks: docs/metrics-stability-ap.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.api.contracts import Column, Rule, TrackMetric
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.records import Detections, VideoScores
from harness.api.video import Sample, Tracks
from harness.metrics.precision.average_precision import COLUMNS, Group, accumulate, best_first, list_matches
from harness.metrics.shapes import Int64

LIMITS = (1, 10, 100)
RANGES = np.array([[0, 1e5**2], [0, 128**2], [128**2, 256**2], [256**2, 1e5**2]], np.float64)
"""All, small, middle, large: pixels of a track, mean over the frames where it has any."""


class TrackAP:
    """AP and AR over tracks. ``Rule.options['use_categories'] = False`` takes all categories as one."""

    name = "track_ap"
    columns: tuple[Column, ...] = COLUMNS

    def measure(self, sample: Sample, tracks: Tracks, rule: Rule) -> VideoScores:
        """Overlaps, scores and areas of one video's tracks and ``sample.extra['tracks']``, by category, as evidence."""
        groups = track_groups(sample, tracks, use_categories=rule.options.get("use_categories", True))
        order = sample.extra.get("video_id")
        evidence = {"video_id": order, "groups": [group.as_json() for group in groups]}
        detections = Detections(order=order, groups=list_matches(groups, RANGES))
        return VideoScores(metric=self.name, evidence=evidence, detections=detections)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The 12 figures over all videos, in the order of their ids (it decides between equal scores)."""
        groups = (Group.from_json(content) for video in _in_order(videos) for content in video.evidence["groups"])
        return accumulate(groups, RANGES, LIMITS).figures()


def track_groups(sample: Sample, tracks: Tracks, *, use_categories: bool = True) -> list[Group]:
    """The detections and truths of one video by category, or of all known categories as one (-1)."""
    from harness.metrics.precision.track_overlap import Tubes, tube_overlaps

    if "tracks" not in sample.extra:
        raise DataError.at(f"video {sample.name!r}", found="no true tracks", expected="sample.extra['tracks']")
    size = (sample.height, sample.width)
    truths: Sequence[Mapping[str, Any]] = sorted(sample.extra["tracks"], key=lambda track: track["category_id"])
    known = sample.extra.get("category_names")
    found = sorted((track for track in tracks if known is None or track.category in known), key=lambda t: t.category)
    tubes = Tubes.of([track.masks for track in found], size, sample.length)
    truth_tubes = Tubes.of([truth["segmentations"] for truth in truths], size, sample.length)
    areas, truth_areas = tubes.mean_areas(), np.array([_mean_area(truth["areas"]) for truth in truths], np.float64)
    is_crowd = np.array([bool(truth["iscrowd"]) for truth in truths], np.bool_)
    scores = np.array([track.score for track in found], np.float64)
    categories, truth_categories = [track.category for track in found], [truth["category_id"] for truth in truths]

    groups = []
    for category in sorted({*categories, *truth_categories}) if use_categories else [-1]:
        numbers, truth_numbers = _members(categories, category), _members(truth_categories, category)
        numbers = numbers[best_first(scores[numbers], LIMITS[-1])]
        overlaps = tube_overlaps(tubes, numbers, truth_tubes, truth_numbers)
        groups.append(
            Group(
                category, scores[numbers], areas[numbers], truth_areas[truth_numbers], is_crowd[truth_numbers], overlaps
            )
        )
    return groups


def _members(categories: Sequence[int], category: int) -> Int64[np.ndarray, " members"]:
    return np.flatnonzero([category in (-1, other) for other in categories])


def _mean_area(areas: Sequence[int | float | None]) -> float:
    """Over the frames with an area, as the annotation gives them."""
    present = [area for area in areas if area]
    return float(np.mean(present)) if present else 0.0


def _in_order(videos: Sequence[VideoScores]) -> Sequence[VideoScores]:
    """By the dataset's video ids where all have one."""
    ids = [video.evidence["video_id"] for video in videos]
    return videos if None in ids else sorted(videos, key=lambda video: video.evidence["video_id"])


@hookimpl
def harness_metrics() -> list[TrackMetric]:
    """The metrics of this module."""
    return [TrackAP()]
