"""A truth whose objects lie apart and may overlap (SA-V): each object is measured by itself, then put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.api.contracts import Rule
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.predictions.video_masks import VideoMasks
from harness.running.measure import Evaluation, measure_video

ALONE = "1"
"""What an object is called in its own masks of 0 and 1."""


def objects_of(sample: Sample, rule: Rule) -> Mapping[int, Sample]:
    """The objects of a video's truth that a rule takes one by one: a video of one object each, by number."""
    is_one_by_one = rule.matching == "ids" and rule.objects != "single"
    apart: Mapping[int, Sample] = sample.extra.get("objects_apart", {}) if is_one_by_one else {}
    return apart


def measure_apart(
    sample: Sample,
    masks: VideoMasks,
    frames: Mapping[int, Sequence[int]],
    metrics: Mapping[str, Any],
    rule: Rule,
) -> Evaluation:
    """Measure every object of the truth in its own frames (``frames``: those to open, by object)."""
    found: dict[int, Evaluation] = {}
    for number, one in objects_of(sample, rule).items():
        names = one.frame_names
        pairs = ((frame, masks.read_object(number, names[frame])) for frame in frames[number])

        def where(frame: int, number: int = number, names: Sequence[str] = names) -> object:
            return masks.path_of_object(number, names[frame])

        found[number] = measure_video(one, pairs, metrics, rule, where=where)
    predicted = [number for number, evaluation in found.items() if evaluation.objects]
    scores = {
        name: _put_together(name, sample, {number: found[number].scores[name] for number in found}, rule)
        for name in metrics
    }
    return Evaluation(scores, predicted)


def _put_together(metric: str, sample: Sample, by_object: Mapping[int, VideoScores], rule: Rule) -> VideoScores:
    """One object's figures beside the other's; where an object has no truth in a frame of another's, None."""
    apart = objects_of(sample, rule)
    places = {name: t for t, name in enumerate(sample.frame_names)}
    values: dict[str, dict[str, dict[int, float | None]]] = {}
    for number, scores in by_object.items():
        moved = [places[apart[number].frame_names[frame]] for frame in scores.frames]
        for quantity, series in scores.series.items():
            if ALONE in series:
                values.setdefault(quantity, {})[str(number)] = dict(zip(moved, series[ALONE], strict=True))
    frames = sorted(_union(by_frame for series in values.values() for by_frame in series.values()))
    return VideoScores(
        metric=metric,
        frames=frames,
        series={
            quantity: {id_: [by_frame.get(frame) for frame in frames] for id_, by_frame in series.items()}
            for quantity, series in values.items()
        },
        summary={str(number): scores.summary[ALONE] for number, scores in by_object.items() if ALONE in scores.summary},
    )


def _union(sets: Iterable[Iterable[int]]) -> set[int]:
    return {frame for one in sets for frame in one}
