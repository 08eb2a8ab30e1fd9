"""The leaderboard as a page of Markdown tables: measured rows ranked, reported rows apart, conditions beside speeds."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from harness.api.contracts import Reporter
from harness.api.hookspecs import hookimpl
from harness.api.published import PublishedPaper, PublishedRow, PublishedSpeed
from harness.api.records import Conditions, Interval, RunRecord
from harness.api.tasks import TASKS
from harness.api.whole_files import whole_file
from harness.ranking.figures import interval_to_show, list_columns, main_column
from harness.ranking.robustness import Robustness, is_on_curves, robustness_of
from harness.ranking.speeds import e2e_fps, has_throughput, model_fps, timing_of
from harness.ranking.standings import Board, Row, SpeedGroup, Standing
from harness.ranking.standings import standings as standings_of

NONE = "–"
_LONGEST_CELL = 120
_SPECIAL = str.maketrans({character: f"&#{ord(character)};" for character in "&<>|`*_~[]\\#!$"})
_HEAD = """# Leaderboard

<!-- Written by `harness leaderboard build`; `harness leaderboard check` refuses a page that differs. -->

Measured rows come from `records/`, each a JSON file made by one `harness run` and checked against itself. Figures are
in per cent with a 95 % interval over videos: a t interval where they are fewer than 30, otherwise a bootstrap clustered
by video. A rank such as `2 (1-3)` is the place by the figure and, in brackets, the places that the videos cannot tell
apart: two records may change places unless their paired difference is shown, by its interval and by sign flips, each
pair asked alone. Speeds are frames a second on the *model* clock (frame on device to mask on device):
*steady* ones, first frames and warm-up apart, and for methods that work through a whole video before they answer the
*throughput*, all of their frames over all of their time. They may be compared under the same conditions (C1, C2, ...)
only. Memory is the most that a method took at once, weights included ([docs/timing.md](../docs/timing.md)). Reported
rows are what papers print; nobody here has measured them, so they are never ranked with measured ones. The rules in
full are in [docs/leaderboard.md](../docs/leaderboard.md).
"""


class Markdown:
    """Writes ``README.md``."""

    name = "markdown"

    def report(
        self, records: Sequence[RunRecord], out: Path, published: Sequence[PublishedPaper] = ()
    ) -> Sequence[Path]:
        """Write ``out/README.md``; every string of a record is escaped."""
        curves = {(found.benchmark, found.task): found for found in robustness_of(records) if found.curves}
        standings = {
            (found.benchmark, found.task): found for found in standings_of(records) if not is_on_curves(found, curves)
        }
        reported = {(row.benchmark, row.task) for paper in published for row in paper.rows}
        tasks = list(TASKS)
        parts = [_HEAD]
        for place in sorted({*standings, *reported, *curves}, key=lambda place: (place[0], tasks.index(place[1]))):
            parts.append(f"## {cell(place[0])}, {TASKS[place[1]].title}\n")
            parts += _write_measured(standings[place]) if place in standings else ["No measured record yet.\n"]
            parts += _write_reported(place, published)
            parts += [_write_robustness(curves[place])] if place in curves else []
        if len(parts) == 1:
            parts.append("No record yet.\n")
        if published:
            parts += ["## Papers\n", _papers(published)]
        path = out / "README.md"
        with whole_file(path) as file:
            file.write("\n".join(parts).encode())
        return [path]


@hookimpl
def harness_reporters() -> list[Reporter]:
    """Offer the Markdown page."""
    return [Markdown()]


def cell(text: str) -> str:
    """Make any text one harmless table cell: no markup, no HTML, no line breaks, no invisible or reordering signs."""
    visible = "".join(
        character if not unicodedata.category(character).startswith(("C", "Zl", "Zp")) else " " for character in text
    )
    short = " ".join(visible.split())
    short = short if len(short) <= _LONGEST_CELL else short[: _LONGEST_CELL - 1] + "…"
    return short.translate(_SPECIAL)


def _write_measured(standing: Standing) -> list[str]:
    letters = _letters(standing)
    parts = []
    for number, board in enumerate(standing.boards):
        own = "" if board.is_own else ", not the benchmark's own rule"
        scored = f"cored by {cell(board.rule)}{own}, data `{board.fingerprint[:12]}`"
        parts.append(f"### Not comparable with the table above: s{scored}\n" if number else f"S{scored}.\n")
        parts += [
            _board(board, standing.task, letters),
            *_tell_pairs(board, standing.task),
            *_seeds(board, standing.task),
        ]
        parts += [_speed(group, standing.task, letters) for group in board.speeds]
    if standing.apart:
        parts.append(f"Not ranked, and not comparable with ranked rows:\n\n{_apart(standing)}")
    if standing.older:
        noun = "record has" if standing.older == 1 else "records have"
        parts.append(f"{standing.older} older {noun} a later one of the same method, preset, constants and weights.\n")
    parts += _conditions(standing, letters)
    return parts


def _write_robustness(found: Robustness) -> str:
    """A line a corruption and method, a column a severity."""
    places = sorted({point.severity for curve in found.curves for point in curve.points})
    rows = []
    for curve in found.curves:
        points = {point.severity: Interval(value=point.value, low=point.low, high=point.high) for point in curve.points}
        name = curve.corruption + (f", seed {curve.seed}" if curve.seed else "")
        rows.append([cell(name), cell(curve.method), *(percent(points.get(place)) for place in places)])
    heads = ["corruption", "method", *("clean" if place == 0 else f"severity {place}" for place in places)]
    told = f"*Made worse on purpose* ([docs/robustness.md](../docs/robustness.md)), {found.figure}:"
    return f"{told}\n\n{_table(rows, heads)}"


def _board(board: Board, task: str, letters: dict[Hashable, str]) -> str:
    columns = list_columns(task)
    heads = ["rank", "method", "weights", "supervision", "causality", *(_head(column) for column in columns)]
    heads += ["speed (model clock)", "conditions", "first frame (model clock)", "memory taken", "date"]
    return _table([_row(row, columns, letters) for row in board.rows], heads)


def _tell_pairs(board: Board, task: str) -> list[str]:
    told = board.pairs.describe(main_column(task))
    return [f"{told}\n"] if told else []


def _seeds(board: Board, task: str) -> list[str]:
    """Methods with several seeds: the seeds are no further videos, so their spread stands apart from the interval."""
    if not board.seeds:
        return []
    rows = [
        [
            cell(group.method + (f" ({group.preset})" if group.preset else "")),
            cell(", ".join(map(str, group.seeds))),
            percent(group.interval),
            f"{100 * group.spread:.1f}",
            f"{100 * min(group.values):.1f} to {100 * max(group.values):.1f}",
        ]
        for group in board.seeds
    ]
    heads = ["method", "seeds", f"{main_column(task)}, mean of seeds", "standard deviation of seeds", "from, to"]
    return [f"Several seeds of one method and config (the interval is over videos alone):\n\n{_table(rows, heads)}"]


def _row(row: Row, columns: Sequence[str], letters: dict[Hashable, str]) -> list[str]:
    record = row.record
    rank = str(row.rank)
    if (row.best_rank, row.worst_rank) != (row.rank, row.rank):
        rank += f" ({row.best_rank}-{row.worst_rank})"
    trained = f", trained on {record.weights.trained_on}" if record.weights.trained_on else ""
    lookahead = f" +{record.plugin.lookahead}" if record.plugin.lookahead else ""
    return [
        rank,
        cell(row.label),
        cell(record.weights.name + trained),
        cell(record.plugin.supervision or NONE),
        record.plugin.causality + lookahead,
        *(percent(interval_to_show(record, column)) for column in columns),
        *_clocks(record, letters),
        cell(record.created[:10]),
    ]


def _clocks(record: RunRecord, letters: dict[Hashable, str]) -> list[str]:
    fps, timing = model_fps(record), timing_of(record)
    if fps is None or timing is None:
        return [NONE, "replay" if record.plugin.replays else NONE, NONE, NONE]
    conditions = record.conditions
    first, memory = timing.model_first_frame.mean_ms, timing.added_memory_mib
    return [
        f"{fps:.2f} fps ({_kind(record)})",
        cell(f"{letters[conditions.group]}: {conditions.device}, {conditions.precision}"),
        NONE if first is None else f"{first:.1f} ms",
        NONE if memory is None else f"{memory:.0f} MiB",
    ]


def _kind(record: RunRecord) -> str:
    """Which figure its speed is."""
    return "throughput" if has_throughput(record) else "steady"


def _apart(standing: Standing) -> str:
    columns = list_columns(standing.task)
    rows = [
        [
            cell(row.label),
            cell(row.record.weights.name),
            *(percent(interval_to_show(row.record, column)) for column in columns),
            cell(row.record.created[:10]),
            cell(row.reason),
        ]
        for row in standing.apart
    ]
    return _table(rows, ["method", "weights", *(_head(column) for column in columns), "date", "why"])


def _speed(group: SpeedGroup, task: str, letters: dict[Hashable, str]) -> str:
    rows = []
    for row in group.rows:
        assert row.record.timing is not None
        model, e2e = row.record.timing.model, e2e_fps(row.record)
        is_steady = not has_throughput(row.record)
        percentiles = " / ".join(
            NONE if ms is None else f"{ms:.1f}" for ms in (model.p50_ms, model.p90_ms, model.p99_ms)
        )
        rows.append(
            [
                cell(row.label),
                f"{100 * row.accuracy:.1f}",
                f"{row.fps:.2f} ({_kind(row.record)})",
                percentiles if is_steady else NONE,
                NONE if e2e is None else f"{e2e:.2f}",
                "yes" if row.is_on_front else "",
            ]
        )
    heads = ["method", main_column(task), "fps (model clock)", "p50 / p90 / p99 ms (model clock)", "fps (e2e clock)"]
    return f"Speed under {letters[group.conditions.group]}:\n\n{_table(rows, [*heads, 'Pareto front'])}"


def _letters(standing: Standing) -> dict[Hashable, str]:
    groups = dict.fromkeys(group.conditions.group for board in standing.boards for group in board.speeds)
    return {group: f"C{number}" for number, group in enumerate(groups, 1)}


def _conditions(standing: Standing, letters: dict[Hashable, str]) -> list[str]:
    lines = []
    for group, letter in letters.items():
        records = [
            row.record
            for board in standing.boards
            for speeds in board.speeds
            for row in speeds.rows
            if row.record.conditions.group == group
        ]
        lines.append(f"- {letter}: {_describe_conditions([record.conditions for record in records])}")
    return ["\n".join(lines) + "\n"] if lines else []


def _describe_conditions(same: Sequence[Conditions]) -> str:
    """The conditions of one group in words; what may differ inside a group is listed with all its values."""
    first = same[0]
    parts = [first.device, f"{first.threads} threads" if first.threads else "", first.precision]
    parts += ["TF32" if first.tf32 else "", "compiled" if first.compiled else "", f"batch {first.batch}"]
    parts += [", ".join(first.resolutions)]
    parts += [_each("torch", (c.torch for c in same)), _each("CUDA", (c.cuda for c in same))]
    parts += [_each("driver", (c.driver for c in same)), _each("Python", (c.python for c in same))]
    parts += [_each("objects a video", (", ".join(map(str, c.objects)) for c in same))]
    parts += [_each("load", (f"{c.load_average:.1f}" for c in same if c.load_average is not None))]
    parts += [_each("clock", (f"{c.clock_mhz:.0f} MHz" for c in same if c.clock_mhz is not None))]
    parts += [_each("power", (f"{c.power_watts:.0f} W" for c in same if c.power_watts is not None))]
    return "; ".join(cell(part) for part in parts if part)


def _each(name: str, values: Iterable[str]) -> str:
    found = sorted({value for value in values if value})
    return f"{name} {' or '.join(found)}" if found else ""


def _write_reported(place: tuple[str, str], published: Sequence[PublishedPaper]) -> list[str]:
    rows = [(paper, row) for paper in published for row in paper.rows if (row.benchmark, row.task) == place]
    if not rows:
        return []
    main = list_columns(place[1])
    printed = {column for _, row in rows for column in row.figures}
    columns = [column for column in main if column in printed]
    columns += list(dict.fromkeys(column for _, row in rows for column in row.figures if column not in columns))
    rows.sort(key=lambda item: (item[0].year, item[0].method))
    cells = [_write_reported_row(paper, row, columns) for paper, row in rows]
    heads = ["method", "backbone", "trained on", "supervision", *(_head(column) for column in columns)]
    heads += ["speed as printed", "source", "note"]
    return [f"*Reported*, as printed in papers and not measured here:\n\n{_table(cells, heads)}"]


def _write_reported_row(paper: PublishedPaper, row: PublishedRow, columns: Sequence[str]) -> list[str]:
    return [
        cell(", ".join(part for part in (row.method or paper.method, row.variant) if part)),
        cell(row.backbone or NONE),
        cell(row.trained_on or NONE),
        cell(row.supervision),
        *(str(row.figures[column]) if column in row.figures else NONE for column in columns),
        _print_speed(row.speed),
        cell(f"{paper.venue} {paper.year}, {row.source}"),
        cell("; ".join(part for part in (row.rule and f"by {row.rule}", row.misprint, row.note) if part)),
    ]


def _papers(published: Sequence[PublishedPaper]) -> str:
    lines = [
        f"- {cell(paper.method)}: {cell(paper.authors)}, {cell(paper.title)}, {cell(paper.venue)} {paper.year}."
        + (f" <{paper.url}>" if paper.url else "")
        for paper in sorted(published, key=lambda paper: (paper.year, paper.method))
    ]
    return "\n".join(lines) + "\n"


def _print_speed(speed: PublishedSpeed | None) -> str:
    if speed is None:
        return NONE
    value = f"{speed.fps:g} fps" if speed.fps is not None else f"{speed.seconds_per_frame:g} s a frame"
    return cell(f"{value} ({speed.conditions}; {speed.source})")


def percent(interval: Interval | None) -> str:
    """A fraction as per cent with its interval: ``72.3 [68.1, 76.0]``."""
    if interval is None or interval.value is None:
        return NONE
    value = f"{100 * interval.value:.1f}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _head(column: str) -> str:
    return {"J-mean": "J", "F-mean": "F"}.get(column, column)


def _table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    return tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True) + "\n"
