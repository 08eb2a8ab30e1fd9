"""The metric "image_ap": class-agnostic average precision of the masks of single frames, as COCO scores images.

Lin et al. 2014; pycocotools 2.0.11, ``COCOeval`` with iouType segm and useCats 0.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import numpy as np

from harness.api.contracts import Column, Rule, TrackMetric
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import RunLength, ids_in
from harness.api.records import Detections, VideoScores
from harness.api.video import Sample, Tracks
from harness.metrics.precision.average_precision import COLUMNS, Group, accumulate, best_first, list_matches
from harness.metrics.shapes import Float64

LIMITS = (1, 10, 100)
RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], np.float64)
"""All, small, middle, large: pixels."""
VOID = 255


@dataclass(frozen=True)
class Segment:
    """One mask of one image, true or detected; ``area`` where the annotation gives another than the mask has."""

    mask: RunLength
    score: float = 0.0
    category: int = 1
    area: int | float | None = None
    is_crowd: bool = False


class ImageAP:
    """AP and AR over frames taken as images: a track's mask in a frame is a detection with the track's score."""

    name = "image_ap"
    columns: tuple[Column, ...] = COLUMNS

    def measure(self, sample: Sample, tracks: Tracks, rule: Rule) -> VideoScores:
        """Overlaps, scores and areas of every annotated frame as evidence.

        The truth is ``sample.extra['tracks']``, or where there are none the ids of the id maps, without void.
        """
        groups = [
            group
            for frame in range(sample.length)
            if (truths := _true_segments(sample, frame)) is not None
            for group in image_groups(truths, _list_detected(tracks, frame))
        ]
        detections = Detections(groups=list_matches(groups, RANGES))
        evidence = {"groups": [group.as_json() for group in groups]}
        return VideoScores(metric=self.name, evidence=evidence, detections=detections)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The 12 figures over all frames of all videos."""
        groups = (Group.from_json(content) for video in videos for content in video.evidence["groups"])
        return accumulate(groups, RANGES, LIMITS).figures()


def image_average_precision(
    images: Iterable[tuple[Sequence[Segment], Sequence[Segment]]],
    *,
    use_categories: bool = False,
    limits: tuple[int, int, int] = LIMITS,
) -> dict[str, float | None]:
    """The 12 figures of pairs (truths, detections), one an image; None where there is no truth.

    With other ``limits`` (most detections of an image that count) AR1, AR10, AR100 are the recalls at these, and all
    other figures use the last.
    """
    groups = [
        group
        for truths, detections in images
        for group in image_groups(truths, detections, use_categories=use_categories, limit=limits[-1])
    ]
    return accumulate(groups, RANGES, limits).figures()


def image_groups(
    truths: Sequence[Segment], detections: Sequence[Segment], *, use_categories: bool = False, limit: int = LIMITS[-1]
) -> list[Group]:
    """The segments of one image by category, or all as one (-1)."""
    if not use_categories:
        by_category = operator.attrgetter("category")
        return [_group(-1, sorted(truths, key=by_category), sorted(detections, key=by_category), limit)]
    categories = sorted({segment.category for segment in (*truths, *detections)})
    return [
        _group(
            category,
            [truth for truth in truths if truth.category == category],
            [detection for detection in detections if detection.category == category],
            limit,
        )
        for category in categories
    ]


def _group(category: int, truths: Sequence[Segment], detections: Sequence[Segment], limit: int) -> Group:
    scores = np.array([segment.score for segment in detections], np.float64)
    order = best_first(scores, limit)
    best = [detections[place] for place in order]
    is_crowd = np.array([truth.is_crowd for truth in truths], np.bool_)
    return Group(category, scores[order], _areas(best), _areas(truths), is_crowd, _overlaps(best, truths, is_crowd))


def _codes(segments: Sequence[Segment]) -> list[dict[str, object]]:
    return [{"size": list(segment.mask.size), "counts": segment.mask.counts} for segment in segments]


def _areas(segments: Sequence[Segment]) -> Float64[np.ndarray, " N"]:
    """Counted from the runs, which must be sound: pycocotools, which compares them, takes them as they are."""
    counted = [segment.mask.area for segment in segments]
    given = [
        pixels if segment.area is None else segment.area for segment, pixels in zip(segments, counted, strict=True)
    ]
    return np.array(given, np.float64)


def _overlaps(
    detections: Sequence[Segment], truths: Sequence[Segment], is_crowd: np.ndarray
) -> Float64[np.ndarray, "D G"]:
    """Intersection over union; over the detection's area where the truth is a crowd."""
    from pycocotools import mask as coco

    if not detections or not truths:
        return np.zeros((len(detections), len(truths)))
    return coco.iou(_codes(detections), _codes(truths), is_crowd.astype(np.uint8).tolist())


def _true_segments(sample: Sample, frame: int) -> list[Segment] | None:
    """The true objects of a frame; None where it is not annotated."""
    if "tracks" in sample.extra:
        found = [
            (track["segmentations"][frame], track["areas"][frame], bool(track["iscrowd"]))
            for track in sample.extra["tracks"]
        ]
        return [Segment(mask, area=area, is_crowd=crowd) for mask, area, crowd in found if mask is not None]
    if sample.read_truth is None:
        raise DataError.at(f"video {sample.name!r}", found="no truth", expected="true tracks or id maps")
    truth = sample.read_truth(frame)
    if truth is None:
        return None
    return [Segment(RunLength.encode(truth == number)) for number in sorted(ids_in(truth) - {0, VOID})]


def _list_detected(tracks: Tracks, frame: int) -> list[Segment]:
    """The objects found in a frame; DataError for a malformed code, which pycocotools would read past its end."""
    found = [(track.masks[frame], track.score) for track in tracks]
    segments = [Segment(mask, score=score) for mask, score in found if mask is not None]
    for segment in segments:
        segment.mask.runs()
    return segments


@hookimpl
def harness_metrics() -> list[TrackMetric]:
    """The metrics of this module."""
    return [ImageAP()]
