"""J(t) and F(t): what a run's results hold of every scored frame, as points of a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.records import VideoResult, VideoScores
from harness.pages import plots

Results = Mapping[str, VideoResult]
"""The results of one run, by video."""
MEAN = "mean of objects"


def draw_curves(sides: Sequence[tuple[str, VideoResult]]) -> plots.Spec | None:
    """The plot of one video, a line a run by its label; None where no metric of any keeps a value a frame."""
    values = [value for label, result in sides for value in _list_values(label, result)]
    if not values:
        return None
    objects = [MEAN, *sorted({value["object"] for value in values} - {MEAN}, key=lambda name: (len(name), name))]
    return plots.curves(values, [label for label, _ in sides], objects)


def series_of(result: VideoResult) -> VideoScores | None:
    """The first metric that has a value a frame."""
    return next((scores for scores in result.scores.values() if scores.series and scores.frames), None)


def _list_values(label: str, result: VideoResult) -> list[dict[str, Any]]:
    """A point a frame, object and figure, and the mean of the objects that have one."""
    scores = series_of(result)
    if scores is None:
        return []
    values = []
    for figure, by_object in scores.series.items():
        for place, frame in enumerate(scores.frames):
            here = {id_: row[place] for id_, row in by_object.items() if place < len(row)}
            known = [value for value in here.values() if value is not None]
            means = {MEAN: sum(known) / len(known) if known else None}
            values += [
                {"run": label, "object": name, "figure": figure, "frame": frame, "value": round(value, 4)}
                for name, value in {**means, **here}.items()
                if value is not None
            ]
    return values
