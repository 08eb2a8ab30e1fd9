"""What stands on the page of one benchmark and task: ranked rows, speeds, what is apart, what papers print."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from harness.api.published import PublishedPaper, PublishedRow
from harness.api.records import Conditions, RunRecord
from harness.api.tasks import TASKS
from harness.pages import plots, words
from harness.ranking.figures import figure, interval_to_show, list_columns, main_column
from harness.ranking.seeds import SeedGroup
from harness.ranking.speeds import e2e_fps, model_fps, timing_of
from harness.ranking.standings import Apart, Board, Row, Standing

Place = tuple[str, str]
"""A benchmark and a task."""


def page_of(place: Place) -> str:
    """Where the board of a benchmark and task lies in the folder of pages."""
    return f"boards/{place[0]}/{place[1]}.html"


def run_page_of(record: RunRecord) -> str:
    """Where the page of a record lies; by its whole id, which nobody else's file has."""
    return f"runs/{record.id}.html"


def describe_standing(standing: Standing) -> dict[str, Any]:
    """The measured part of a board's page."""
    letters = _letters(standing)
    return {
        "main": main_column(standing.task),
        "boards": [_describe_board(board, standing.task, letters) for board in standing.boards],
        "apart": [_describe_apart(row, standing.task) for row in sort_apart(standing.apart, standing.task)],
        "apart_columns": list_columns(standing.task),
        "older": standing.older,
        "conditions": _describe_groups(standing, letters),
    }


def _describe_board(board: Board, task: str, letters: Mapping[Hashable, str]) -> dict[str, Any]:
    columns = _columns_of(board, task)
    return {
        "rule": board.rule,
        "is_own": board.is_own,
        "fingerprint": board.fingerprint[:12],
        "pairs": board.pairs.describe(main_column(task)),
        "columns": columns,
        "rows": [describe_row(row, columns, letters) for row in board.rows],
        "seeds": [_describe_seeds(group) for group in board.seeds],
        "speeds": [
            {
                "letter": letters[group.conditions.group],
                "device": group.conditions.device,
                "rows": [_describe_speed(row) for row in group.rows],
                "plot": plots.speed_and_accuracy(group, main_column(task)) if len(group.rows) > 1 else None,
            }
            for group in board.speeds
        ],
    }


def _columns_of(board: Board, task: str) -> list[str]:
    """Every figure of any row, those that a table of the task always shows first."""
    columns = dict.fromkeys(list_columns(task))
    for row in board.rows:
        for figures in row.record.scores.values():
            columns.update(dict.fromkeys(figures))
    return list(columns)


def describe_row(row: Row, columns: Sequence[str], letters: Mapping[Hashable, str]) -> dict[str, Any]:
    """One ranked row, every column of it."""
    record = row.record
    return {
        "rank": row.rank,
        "span": f"{row.best_rank} to {row.worst_rank}" if row.best_rank != row.worst_rank else "",
        **identity(record, row.label),
        "figures": [interval_to_show(record, column) for column in columns],
        **_clocks(record, letters),
    }


def identity(record: RunRecord, label: str) -> dict[str, Any]:
    """Who it is, on which terms, and where its page lies."""
    return {
        "label": label,
        "page": run_page_of(record),
        "weights": record.weights.name,
        "trained_on": record.weights.trained_on,
        "parameters": record.weights.parameters,
        "supervision": record.plugin.supervision or words.NONE,
        "causality": words.causality(record),
        "licence": record.about.licence,
        "weights_licence": record.weights.licence,
        "package": f"{record.plugin.distribution} {record.plugin.version}",
        "paper": record.about.paper,
        "paper_short": f"{record.about.authors.partition(',')[0]} {record.about.year or ''}".strip(),
        "paper_url": words.https(record.about.url),
        "date": record.created[:10],
    }


def _clocks(record: RunRecord, letters: Mapping[Hashable, str]) -> dict[str, Any]:
    timing, fps = timing_of(record), model_fps(record)
    if timing is None or fps is None:
        blank = "replay" if record.plugin.replays else words.NONE
        return {"fps": None, "clock": blank, "letter": "", "e2e": None, "first": None, "memory": None}
    return {
        "fps": fps,
        "clock": words.name_speed(record),
        "letter": letters[record.conditions.group],
        "e2e": e2e_fps(record),
        "first": timing.model_first_frame.mean_ms,
        "memory": timing.added_memory_mib,
    }


def _describe_speed(row: Any) -> dict[str, Any]:
    timing = timing_of(row.record)
    return {
        "label": row.label,
        "page": run_page_of(row.record),
        "accuracy": row.accuracy,
        "fps": row.fps,
        "clock": words.name_speed(row.record),
        "p50": timing.model.p50_ms if timing else None,
        "p99": timing.model.p99_ms if timing else None,
        "e2e": e2e_fps(row.record),
        "is_on_front": row.is_on_front,
    }


def _describe_seeds(group: SeedGroup) -> dict[str, Any]:
    """One method and config with several seeds: the spread of the seeds beside the interval over videos."""
    return {
        "label": f"{group.method} ({group.preset})" if group.preset else group.method,
        "seeds": ", ".join(map(str, group.seeds)),
        "figure": group.interval,
        "spread": group.spread,
        "least": min(group.values),
        "most": max(group.values),
    }


def _describe_apart(row: Apart, task: str) -> dict[str, Any]:
    figures = [interval_to_show(row.record, column) for column in list_columns(task)]
    return {**identity(row.record, row.label), "figures": figures, "reason": row.reason}


def sort_apart(rows: Sequence[Apart], task: str) -> list[Apart]:
    """What is listed apart, the best figure first; an order to read in, no rank."""

    def order(row: Apart) -> tuple[float, str]:
        found = figure(row.record, main_column(task))
        return -(found.value if found and found.value is not None else -1.0), row.label

    return sorted(rows, key=order)


def _letters(standing: Standing) -> dict[Hashable, str]:
    groups = dict.fromkeys(group.conditions.group for board in standing.boards for group in board.speeds)
    return {group: f"C{number}" for number, group in enumerate(groups, 1)}


def _describe_groups(standing: Standing, letters: Mapping[Hashable, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The conditions behind each letter."""
    same: dict[Hashable, list[Conditions]] = {group: [] for group in letters}
    for board in standing.boards:
        for speeds in board.speeds:
            same[speeds.conditions.group] += [row.record.conditions for row in speeds.rows]
    return [(letter, words.describe_conditions(same[group])) for group, letter in letters.items()]


def describe_reported(place: Place, published: Sequence[PublishedPaper]) -> dict[str, Any]:
    """What papers print for a benchmark and task, the best first; of another rule, after those of its own."""
    rows = [(paper, row) for paper in published for row in paper.rows if (row.benchmark, row.task) == place]
    printed = {column for _, row in rows for column in row.figures}
    columns = [column for column in list_columns(place[1]) if column in printed]
    columns += list(dict.fromkeys(column for _, row in rows for column in row.figures if column not in columns))

    def order(item: tuple[PublishedPaper, PublishedRow]) -> tuple[bool, float, int, str]:
        paper, row = item
        return bool(row.rule), -(best_printed(row, place[1]) or -1.0), paper.year, row.method or paper.method

    return {
        "columns": columns,
        "rows": [_describe_printed(*item, columns) for item in sorted(rows, key=order)],
        "by_rules": len({bool(row.rule) for _, row in rows}) > 1,
    }


def best_printed(row: PublishedRow, task: str) -> float | None:
    """The figure by which a printed row is put in order: the task's own, else the first of its table that is there."""
    return next((row.figures[column] for column in list_columns(task) if column in row.figures), None)


def name_best_printed(printed: Mapping[str, Any]) -> tuple[str, float | None]:
    """The figure of the first printed row that puts it first, by name; nothing where nothing is printed."""
    if not printed["rows"]:
        return "", None
    pairs = zip(printed["columns"], printed["rows"][0]["figures"], strict=True)
    return next(pair for pair in pairs if pair[1] is not None)


def _describe_printed(paper: PublishedPaper, row: PublishedRow, columns: Sequence[str]) -> dict[str, Any]:
    speed = row.speed
    told = ""
    if speed is not None:
        told = f"{speed.fps:g} fps" if speed.fps is not None else f"{speed.seconds_per_frame:g} s a frame"
        told += f" ({speed.conditions})" if speed.conditions else ""
    notes = (row.rule and f"averaged by {row.rule}", row.misprint, row.note)
    return {
        "label": ", ".join(part for part in (row.method or paper.method, row.variant) if part),
        "supervision": row.supervision,
        "figures": [row.figures.get(column) for column in columns],
        "speed": told,
        "source": f"{paper.method}, {paper.venue} {paper.year}, {row.source}",
        "paper": paper.title,
        "url": words.https(getattr(paper, "url", "")),
        "note": "; ".join(note for note in notes if note),
        "is_misprint": bool(row.misprint),
    }


def title_of(place: Place) -> str:
    """The name of a board."""
    return f"{place[0]}, {TASKS[place[1]].title}"
