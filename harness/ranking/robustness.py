"""Records of corrupted benchmarks -> curves: the ranking figure of each method over severity, 0 being clean video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from harness.api.dataclass import dataclass
from harness.api.records import RunRecord
from harness.corruptions.names import split_name
from harness.corruptions.table import CORRUPTIONS
from harness.ranking.figures import interval_to_show, main_column
from harness.ranking.standings import Standing, standings

Place = tuple[str, str]
"""A clean benchmark and a task."""


@dataclass(frozen=True)
class CurvePoint:
    """One record on a curve."""

    severity: int
    value: float
    low: float | None
    high: float | None
    record: RunRecord


@dataclass(frozen=True)
class RobustnessCurve:
    """One method under one corruption; ``seed`` is that of what is random in it."""

    method: str
    corruption: str
    seed: int
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Robustness:
    """Every curve of one benchmark and task."""

    benchmark: str
    task: str
    figure: str
    curves: tuple[RobustnessCurve, ...]
    partial: int
    """So many records are left out because they are partial, or have no figure."""

    def by_corruption(self) -> Mapping[str, list[RobustnessCurve]]:
        """The curves of each corruption, in the order of the table."""
        return {
            name: found
            for name in CORRUPTIONS
            if (found := [curve for curve in self.curves if curve.corruption == name])
        }


def robustness_of(records: Iterable[RunRecord]) -> list[Robustness]:
    """The curves of every benchmark and task that has a corrupted record, by name.

    Each board by its benchmark's own rule; of several records of one entry the latest, as on the boards.
    """
    found = {(standing.benchmark, standing.task): standing for standing in standings(records)}
    places = sorted({(base, task) for bench, task in found for base, setting in [split_name(bench)] if setting})
    return [_robustness(place, found) for place in places]


def is_on_curves(found: Standing, curves: Container[Place]) -> bool:
    """Whether that board is of a corrupted benchmark, and each of its records is a point on a curve of ``curves``."""
    base, setting = split_name(found.benchmark)
    return setting is not None and (base, found.task) in curves and not found.apart and len(found.boards) == 1


def _robustness(place: Place, found: Mapping[tuple[str, str], Standing]) -> Robustness:
    base, task = place
    points: dict[tuple[str, str, int], list[CurvePoint]] = defaultdict(list)
    left_out = 0
    for (bench, other_task), standing in found.items():
        clean, setting = split_name(bench)
        if setting is not None and (clean, other_task) == place:
            left_out += len(standing.apart)
            for label, record in _list_ranked(standing):
                key = (label, setting.corruption.name, setting.seed)
                points[key].append(_point(setting.severity, record))
    clean_ones = dict(_list_ranked(found[place])) if place in found else {}
    curves = []
    for (label, corruption, seed), severities in points.items():
        start = [_point(0, clean_ones[label])] if label in clean_ones else []
        ordered = sorted([*start, *severities], key=lambda point: point.severity)
        curves.append(RobustnessCurve(label, corruption, seed, tuple(ordered)))
    order = list(CORRUPTIONS)
    curves.sort(key=lambda curve: (order.index(curve.corruption), curve.method, curve.seed))
    return Robustness(base, task, main_column(task), tuple(curves), left_out)


def _list_ranked(standing: Standing) -> Sequence[tuple[str, RunRecord]]:
    """The rows of the first board by the benchmark's own rule, by label."""
    board = next((board for board in standing.boards if board.is_own), None)
    return [] if board is None else [(_label(row.record), row.record) for row in board.rows]


def _label(record: RunRecord) -> str:
    """Method, preset and weights: what is the same from one benchmark to the next."""
    preset = f" ({record.preset})" if record.preset else ""
    weights = "" if record.weights.name in ("", "none") else f", {record.weights.name}"
    return f"{record.plugin.name}{preset}{weights}"


def _point(severity: int, record: RunRecord) -> CurvePoint:
    interval = interval_to_show(record, main_column(record.benchmark.task))
    assert interval is not None
    assert interval.value is not None
    return CurvePoint(severity, interval.value, interval.low, interval.high, record)
