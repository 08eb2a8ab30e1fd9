"""Decides whether the rows of a record can be: figures within their bounds that fit each other, frames, objects.

The overall figures follow from the rows, so what is wrong in a row can rank. A row is an object of a video.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.api.contracts import Benchmark, Column, Rule
from harness.api.records import RunRecord, VideoSummary
from harness.api.video import Sample
from harness.leaderboard.expectations import TOLERANCE, expect, expect_equal

MEANS = ("J&F", "J-mean", "F-mean")
_GROUPS = ("J_seen", "J_unseen", "F_seen", "F_unseen")
_SHARE = re.compile(r"J&F|[JF]-(mean|recall)|[JF]_(un)?seen|A[PR](\d+|_[SML])?")
"""Figures of ours that are parts of a whole. A decay is a difference of two, and what a plugin measures may be."""
_VOID = 255


def expect_possible(path: Path, field: str, number: float | None, name: str, unit: str) -> None:
    """Raise for a figure beyond its bounds: 0 to 1, a decay -1 to 1; instability (T) has no upper one."""
    if number is None:
        return
    if _SHARE.fullmatch(name):
        expect(path, field, number, -TOLERANCE <= number <= 1 + TOLERANCE, "a fraction, 0 to 1")
    elif unit == "fraction":
        expect(path, field, number, -1 <= number <= 1, "a fraction, or a difference of two: -1 to 1")
    elif name == "T":
        expect(path, field, number, number >= 0, "0 or more")


def verify_rows(record: RunRecord, path: Path, known: Mapping[str, Column]) -> None:
    """Check each figure of each object by itself and J, F and J&F by each other; ``known`` are the metrics' columns."""
    is_of_j_and_f = not {"j_and_f", "youtube_vos"}.isdisjoint(record.scores)
    for video in record.videos:
        for id_, figures in video.objects.items():
            field = f"videos {video.video}.objects.{id_}"
            for name, number in figures.items():
                unit = known[name].unit if name in known else "fraction" if name.endswith("-decay") else ""
                expect_possible(path, f"{field}.{name}", number, name, unit)
            has = [name in figures for name in MEANS]
            if all(has) or (is_of_j_and_f and any(has)):
                _verify_means(path, field, figures, video.scored_frames.get(id_))
        _verify_frames(path, video)
    groups = record.scores.get("youtube_vos", {})
    values = [groups[name].value for name in _GROUPS if name in groups]
    together = groups["J&F"].value if "J&F" in groups else None
    if together is not None:
        numbers = [value for value in values if value is not None]
        mean = sum(numbers) / 4 if len(numbers) == 4 else None
        expect_equal(path, "scores.youtube_vos.J&F.value", together, mean, f"the mean of {', '.join(_GROUPS)}")


def _verify_means(path: Path, field: str, figures: Mapping[str, float | None], frames: int | None) -> None:
    """J, F and their mean are there together and undefined together: a row left out of one would raise its mean."""
    absent = [name for name in MEANS if name not in figures]
    expect(path, field, f"no {', '.join(absent)}", not absent, f"figures {', '.join(MEANS)}")
    both, j, f = (figures[name] for name in MEANS)
    if both is None or j is None or f is None:
        expect(path, field, [both, j, f], both is j is f, f"{', '.join(MEANS)} all defined, or none")
    else:
        expect_equal(path, f"{field}.J&F", both, (j + f) / 2, "the mean of J-mean and F-mean")
    if frames is not None:
        wanted = "no figures" if frames == 0 else "figures"
        expect(path, field, [both, j, f], (frames > 0) == (both is not None), f"{wanted}, of {frames} scored frames")


def _verify_frames(path: Path, video: VideoSummary) -> None:
    for id_, count in video.scored_frames.items():
        field = f"videos {video.video}.scored_frames.{id_}"
        expect(path, field, count, count <= video.frames, f"at most {video.frames}, the frames of the video")


def verify_objects(record: RunRecord, path: Path, benchmark: Benchmark, rule: Rule) -> None:
    """Hold objects and frames against the truth of an embedded benchmark; of others the truth is not at hand."""
    if benchmark.needs_root or "j_and_f" not in rule.metrics or rule.objects not in ("first-frame-max", "single"):
        return
    samples = {sample.name: sample for sample in benchmark.open(None, True)}
    for video in record.videos:
        sample = samples.get(video.video)
        if sample is None or sample.read_truth is None:
            continue
        field = f"videos {video.video}"
        expect(path, f"{field}.frames", video.frames, video.frames <= sample.length, f"at most {sample.length}")
        expected, found = list_objects(sample, rule), _sort(id_ for id_, row in video.objects.items() if "J&F" in row)
        expect(path, f"{field}.objects", found, found == expected, f"those of the truth, {expected}")


def list_objects(sample: Sample, rule: Rule) -> list[str]:
    """The objects that a rule counts, as the rows call them; of DAVIS 2017: 1 to the highest id of the first truth."""
    if rule.objects == "single" or sample.read_truth is None:
        return ["1"]
    first = sample.read_truth(0)
    if first is None:
        return []
    counts = first if rule.void == "object" else first[first != _VOID]
    return [str(number) for number in range(1, int(counts.max(initial=0)) + 1)]


def _sort(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda id_: (len(id_), id_))
