"""Records -> ranked rows of one benchmark and task: who is better beyond doubt, how fast under which conditions.

The rules, in words, are in docs/leaderboard.md. Nothing here reads files; the reporters write what comes out.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.records import Conditions, RunRecord, WeightsInfo
from harness.api.tasks import TASKS
from harness.ranking.figures import accuracy, main_column, shares_of, significance_of
from harness.ranking.pairs import Pairs, compare_all
from harness.ranking.seeds import SeedGroup, group_seeds
from harness.ranking.significance import Significance
from harness.ranking.speeds import model_fps


@dataclass(frozen=True)
class Row:
    """One ranked record.

    ``rank`` counts from 1 by the main figure, equal figures share it. ``best_rank`` to ``worst_rank`` is what the
    videos can tell: records whose paired difference to this one is not shown (``Pairs``) may as well change places.
    """

    record: RunRecord
    label: str
    rank: int
    best_rank: int
    worst_rank: int


@dataclass(frozen=True)
class SpeedRow:
    """One record's speed; ``is_on_front`` when none of its group is as good in both and better in one."""

    record: RunRecord
    label: str
    accuracy: float
    fps: float
    is_on_front: bool


@dataclass(frozen=True)
class SpeedGroup:
    """Speeds that may be compared: one ``Conditions.group``, fastest first."""

    conditions: Conditions
    rows: tuple[SpeedRow, ...]


@dataclass(frozen=True)
class Board:
    """What may be ranked against each other: same rule, same data.

    ``is_own`` is False where the rule is another than the benchmark's own for the task.
    """

    rule: str
    fingerprint: str
    is_own: bool
    rows: tuple[Row, ...]
    speeds: tuple[SpeedGroup, ...]
    pairs: Pairs
    """What the videos say about every two rows, on the figure that ranks them."""
    seeds: tuple[SeedGroup, ...] = ()


@dataclass(frozen=True)
class Apart:
    """A record that is shown and not ranked, and why."""

    record: RunRecord
    label: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """Everything to be said about one benchmark and task.

    ``boards`` holds the benchmark's own rule first, and the newest version; ``older`` counts the records that a later
    one of the same method, preset, constants, weights and precision has taken the place of.
    """

    benchmark: str
    task: str
    boards: tuple[Board, ...]
    apart: tuple[Apart, ...]
    older: int


def standings(records: Iterable[RunRecord]) -> list[Standing]:
    """Rank every benchmark and task that ``records`` speak of, by name of benchmark and order of tasks."""
    by_place: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for record in records:
        by_place[record.benchmark.name, record.benchmark.task].append(record)
    order = list(TASKS)
    places = sorted(by_place, key=lambda place: (place[0], order.index(place[1])))
    return [standing(by_place[place]) for place in places]


def standing(records: Sequence[RunRecord]) -> Standing:
    """Rank the records of one benchmark and task."""
    names = {(record.benchmark.name, record.benchmark.task) for record in records}
    if len(names) != 1:
        raise ValueError(f"a standing is of one benchmark and task, found {sorted(names)}")
    reasons = {id(record): _why_apart(record) for record in records}
    whole = [record for record in records if not reasons[id(record)]]
    latest = _latest(whole, entry_of)
    timed = _latest([record for record in whole if model_fps(record)], lambda r: (entry_of(r), r.conditions.group))
    apart = _latest([record for record in records if reasons[id(record)]], entry_of)
    shown = {id(record): record for record in (*latest, *timed, *apart)}
    labels = _labels(list(shown.values()))
    (benchmark, task) = names.pop()
    return Standing(
        benchmark=benchmark,
        task=task,
        boards=_boards(whole, latest, timed, labels),
        apart=tuple(Apart(record, labels[id(record)], reasons[id(record)]) for record in apart),
        older=len(records) - len(shown),
    )


def parse_created(record: RunRecord) -> dt.datetime:
    """When the record was made; a time without a zone is taken as UTC."""
    moment = dt.datetime.fromisoformat(record.created)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def entry_of(record: RunRecord) -> Hashable:
    """What makes two records two entries, rather than an older and a newer measurement of one."""
    return (
        record.plugin.name,
        record.preset,
        json.dumps(record.config, sort_keys=True),
        record.weights.sha256 or record.weights.name,
        record.conditions.precision,
        record.benchmark.scoring,
        record.benchmark.fingerprint,
    )


def _why_apart(record: RunRecord) -> str:
    if record.partial:
        done = f"{record.benchmark.videos_done} of {record.benchmark.videos_expected} videos"
        return f"partial: {done}" + (f" ({record.partial_reason})" if record.partial_reason else "")
    if not record.benchmark.scored:
        return "not scored: the truth of this benchmark is not public"
    if accuracy(record) is None:
        return f"{main_column(record.benchmark.task)} is undefined or missing"
    return ""


def _latest(records: Sequence[RunRecord], key: Any) -> list[RunRecord]:
    """For each key the record made last (of equal times, the one with the larger id), in the order of ids."""
    newest: dict[Hashable, RunRecord] = {}
    for record in sorted(records, key=lambda r: (parse_created(r), r.id)):
        newest[key(record)] = record
    return sorted(newest.values(), key=lambda r: r.id)


def _labels(records: Sequence[RunRecord]) -> dict[int, str]:
    """A name for each record: method and preset, and the weights, precision and constants that its namesakes differ in.

    A constant that only some records have, as others are of older code, is told where nothing else tells two apart.
    """
    namesakes: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        namesakes[record.plugin.name + (f" ({record.preset})" if record.preset else "")].append(record)
    labels: dict[int, str] = {}
    for name, same in namesakes.items():
        told = _tell_apart(same, lacking=False)
        configs = {(words, json.dumps(r.config, sort_keys=True)) for words, r in zip(told, same, strict=True)}
        if len(set(told)) < len(configs):
            told = _tell_apart(same, lacking=True)
        labels |= {id(record): f"{name} {words}".strip() for record, words in zip(same, told, strict=True)}
    return labels


def _tell_apart(same: Sequence[RunRecord], *, lacking: bool) -> list[str]:
    """What differs between records, a line each; ``lacking`` counts a constant that only some of them have."""
    files: dict[str, set[str]] = defaultdict(set)
    for record in same:
        files[record.weights.name].add(record.weights.sha256)
    traits = [
        {"weights": _name_weights(record.weights, files), "precision": record.conditions.precision}
        | {key: json.dumps(value, sort_keys=True) for key, value in sorted(record.config.items())}
        for record in same
    ]
    keys = {key for one in traits for key in one}
    seen = {key: {one.get(key) for one in traits if lacking or key in one} for key in keys}
    return [", ".join(f"{key}={value}" for key, value in one.items() if len(seen[key]) > 1) for one in traits]


def _name_weights(weights: WeightsInfo, files: Mapping[str, Collection[str]]) -> str:
    """By name; where one name stands for several ``files``, also by the beginning of the checksum."""
    checksum = f" ({weights.sha256[:8]})" if len(files[weights.name]) > 1 else ""
    return f"{weights.name or 'none'}{checksum}"


def _boards(
    whole: Sequence[RunRecord], latest: Sequence[RunRecord], timed: Sequence[RunRecord], labels: Mapping[int, str]
) -> tuple[Board, ...]:
    # The benchmark's own rule first; the newest version of a rule ("name/2" before "name/1"); of the same rule, the
    # data most records share.
    ranked, clocked, seeds = _by_rule(latest), _by_rule(timed), _by_rule(whole)
    own = {record.benchmark.scoring for record in latest if record.benchmark.own_rule}
    order = sorted(
        ranked, key=lambda rule: (rule[0] not in own, -_version(rule[0]), rule[0], -len(ranked[rule]), rule[1])
    )
    boards = []
    for rule in order:
        records = _order(ranked[rule], labels)
        pairs = compare_records(records)
        rows, speeds = _rank(records, labels, pairs), _speeds(clocked.get(rule, ()), labels)
        by_seed = group_seeds(seeds.get(rule, ()), main_column(records[0].benchmark.task))
        boards.append(Board(*rule, is_own=rule[0] in own, rows=rows, speeds=speeds, pairs=pairs, seeds=by_seed))
    return tuple(boards)


def _by_rule(records: Sequence[RunRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    found: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for record in records:
        found[_rule(record)].append(record)
    return found


def _rule(record: RunRecord) -> tuple[str, str]:
    return record.benchmark.scoring, record.benchmark.fingerprint


def _version(rule: str) -> int:
    number = re.search(r"/(\d{1,9})$", rule)
    return int(number[1]) if number else 0


def _order(records: Sequence[RunRecord], labels: Mapping[int, str]) -> list[RunRecord]:
    return sorted(records, key=lambda r: (-(accuracy(r) or 0.0), labels[id(r)], r.id))


def _rank(order: Sequence[RunRecord], labels: Mapping[int, str], pairs: Pairs) -> tuple[Row, ...]:
    beats, beaten_by = pairs.leads.sum(axis=1).tolist(), pairs.leads.sum(axis=0).tolist()
    falling = [-(accuracy(record) or 0.0) for record in order]
    return tuple(
        Row(
            record=record,
            label=labels[id(record)],
            rank=1 + bisect_left(falling, falling[place]),
            best_rank=1 + beaten_by[place],
            worst_rank=len(order) - beats[place],
        )
        for place, record in enumerate(order)
    )


def compare_records(order: Sequence[RunRecord]) -> Pairs:
    """Every pair of records of one rule and data, best first, on the figure that ranks them."""
    column = main_column(order[0].benchmark.task)

    def judge(base: int, head: int) -> Significance | None:
        return significance_of(order[base], order[head], column)

    return compare_all([shares_of(record, column) for record in order], judge)


def _speeds(records: Sequence[RunRecord], labels: Mapping[int, str]) -> tuple[SpeedGroup, ...]:
    groups: dict[Hashable, list[RunRecord]] = defaultdict(list)
    for record in records:
        groups[record.conditions.group].append(record)
    speeds = [SpeedGroup(conditions=same[0].conditions, rows=_speed_rows(same, labels)) for same in groups.values()]
    return tuple(sorted(speeds, key=lambda group: json.dumps(group.conditions.group)))


def _speed_rows(records: Sequence[RunRecord], labels: Mapping[int, str]) -> tuple[SpeedRow, ...]:
    points = [(accuracy(record) or 0.0, model_fps(record) or 0.0) for record in records]
    front = _find_front(points)
    rows = [
        SpeedRow(record, labels[id(record)], *point, is_on_front=point in front)
        for record, point in zip(records, points, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.fps, row.label, row.record.id)))


def _find_front(points: Iterable[tuple[float, float]]) -> set[tuple[float, float]]:
    """The points of which no other is as good in both and better in one."""
    front: set[tuple[float, float]] = set()
    fastest = -math.inf
    for point in sorted(set(points), reverse=True):
        if point[1] > fastest:
            front.add(point)
            fastest = point[1]
    return front
