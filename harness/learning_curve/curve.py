"""The learning curve: what was measured of each snapshot, and the figures over videos and seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from harness.api.contracts import Metric
from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.records import VideoScores
from harness.api.track_json import read_json
from harness.files import refuse_foreign_files
from harness.planning.config import as_json
from harness.planning.plan import Plan

SCHEMA = "harness.learning-curve/1"
CURVE = "curve.json"
"""Its file, beside the picture."""
Figures = Mapping[str, float | None]
"""Column of the metric -> value; None where undefined."""


@dataclass(frozen=True)
class Measured:
    """One snapshot of one video, measured against the truth and against what the method learns from."""

    seed: int
    video: str
    iteration: int
    truth: VideoScores
    learnt: VideoScores


@dataclass(frozen=True)
class Point:
    """The figures after ``iteration`` iterations; ``spread`` is the standard deviation of ``truth`` over seeds."""

    iteration: int
    truth: Figures
    learnt: Figures
    spread: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """Everything that was measured so far. The point of iteration 0 is what the method learns from."""

    plan: Plan
    metric: Metric
    every: int
    seeds: tuple[int, ...]
    measured: Sequence[Measured] = ()

    @property
    def main(self) -> str:
        """The first column of the metric: J&F."""
        return self.metric.columns[0].name

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos that were worked through with every seed."""
        done = [{row.video for row in self.measured if row.seed == seed} for seed in self.seeds]
        return tuple(sample.name for sample in self.plan.samples if all(sample.name in names for names in done))

    def points(self, video: str = "") -> list[Point]:
        """The curve of one video, or over all of them by the benchmark's rule; the mean over seeds."""
        curves = [{point.iteration: point for point in self.points_of(seed, video)} for seed in self.seeds]
        shared = sorted(set[int].intersection(*(set(curve) for curve in curves)))
        return [_over_seeds([curve[iteration] for curve in curves]) for iteration in shared]

    def points_of(self, seed: int, video: str = "") -> list[Point]:
        """The same of one seed; over all videos, at the iterations that each of them has."""
        videos = (video,) if video else self.videos
        rows = [row for row in self.measured if row.seed == seed and row.video in videos]
        counts = [row.iteration for row in rows]
        return [
            self._point([row for row in rows if row.iteration == iteration])
            for iteration in sorted(set(counts))
            if counts.count(iteration) == len(videos)
        ]

    def _point(self, rows: Sequence[Measured]) -> Point:
        truth, learnt = (
            self.metric.summarise(scores, self.plan.rule)
            for scores in ([row.truth for row in rows], [row.learnt for row in rows])
        )
        return Point(rows[0].iteration, truth, learnt)

    def to_json(self) -> dict[str, Any]:
        """The whole curve as plain JSON values."""
        return {
            "schema": SCHEMA,
            **_facts_of(self.plan),
            "every": self.every,
            "seeds": list(self.seeds),
            "metric": self.metric.name,
            "main": self.main,
            "points": [_plain(point) for point in self.points()],
            "videos": {
                name: {str(seed): [_plain(point) for point in self.points_of(seed, name)] for seed in self.seeds}
                for name in self.videos
            },
        }


def best_of(points: Sequence[Point], column: str) -> Point | None:
    """The point of the highest figure against the truth, the earliest of equal ones; iteration 0 may be it."""
    known = [(value, point) for point in points if (value := point.truth.get(column)) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def _plain(point: Point) -> dict[str, Any]:
    spread = {"spread": dict(point.spread)} if point.spread else {}
    return {"iteration": point.iteration, "truth": dict(point.truth), "learnt": dict(point.learnt)} | spread


def _over_seeds(points: Sequence[Point]) -> Point:
    truths, learnt = [point.truth for point in points], [point.learnt for point in points]
    spread = _each(statistics.stdev, truths) if len(points) > 1 else {}
    return Point(points[0].iteration, _each(statistics.fmean, truths), _each(statistics.fmean, learnt), spread)


def _each(summary: Callable[[list[float]], float], figures: Sequence[Figures]) -> Figures:
    """Each column's summary over seeds; None where one of them has none."""
    found: dict[str, float | None] = {}
    for name in figures[0]:
        values = [value for each in figures if (value := each[name]) is not None]
        found[name] = summary(values) if len(values) == len(figures) else None
    return found


def _facts_of(plan: Plan) -> dict[str, Any]:
    """What a curve is of, as plain JSON values."""
    return {
        "plugin": plan.plugin.model_dump(),
        "preset": plan.request.preset,
        "config": as_json(plan.config),
        "weights": plan.weights.model_dump(),
        "benchmark": plan.benchmark.name,
        "scoring": plan.rule.version,
        "partial": plan.partial_reason,
        "device": plan.request.device,
        "precision": plan.request.precision,
    }


def refuse_other_curve(folder: Path, plan: Plan) -> None:
    """Raise UsageError for a folder with other files than a curve's, or with the curve of something else."""
    if not folder.is_dir():
        return
    refuse_foreign_files(folder, CURVE, "learning curve")
    if not (folder / CURVE).exists():
        return
    found, now = read_json(folder / CURVE, "a learning curve"), _facts_of(plan)
    before = found if isinstance(found, dict) else {}
    differs = [key for key in now if json.dumps(before.get(key)) != json.dumps(now[key])]
    videos = before.get("videos")
    if isinstance(videos, dict) and set(videos) - {sample.name for sample in plan.samples}:
        differs.append("videos")
    if differs:
        raise UsageError(f"{folder} holds another curve: {', '.join(differs)} differ", hint="choose another --out")
