"""The page of two runs: the same comparison that ``harness compare`` prints, with every video of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.api.errors import UsageError
from harness.api.records import RunRecord
from harness.pages.house import PageFolder
from harness.ranking.compare import Comparison, compare
from harness.ranking.figures import figure, list_columns, mean_of
from harness.ranking.standings import Row, Standing

MOST_PAIRS = 10
"""Rows of a board that are each compared with the first."""
STEPS = 4
"""Shades of a difference, on either side."""


def describe_comparison(found: Comparison, names: tuple[str, str], main: str) -> dict[str, Any]:
    """Everything on the page of two runs; the videos in the order of what changed most to the worse."""
    changes = list(found.accuracy)
    first = next((change for change in changes if change.column == main and change.videos), None)
    first = first or next((change for change in changes if change.videos), None)
    shown = [change for change in changes if change.videos]
    most = {change.column: max(map(abs, change.videos.values()), default=0.0) for change in shown}
    return {
        "names": names,
        "found": found,
        "changes": changes,
        "columns": [change.column for change in shown],
        "videos": [
            {"video": video, "cells": [_cell(change.videos, video, most[change.column]) for change in shown]}
            for video in (first.videos if first else ())
        ],
        "won": _count(first.videos) if first else (0, 0, 0),
        "sorted_by": first.column if first else "",
    }


def _cell(videos: Mapping[str, float], video: str, most: float) -> tuple[float | None, str]:
    """A difference and its shade: ``up3``, ``down1``, or nothing for none."""
    by = videos.get(video)
    if by is None or not by or not most:
        return by, ""
    return by, f"{'up' if by > 0 else 'down'}{min(STEPS, math.ceil(STEPS * abs(by) / most))}"


def _count(videos: Mapping[str, float]) -> tuple[int, int, int]:
    """Videos that gained, lost, stayed."""
    by = list(videos.values())
    return sum(v > 0 for v in by), sum(v < 0 for v in by), sum(v == 0 for v in by)


def write_neighbours(folder: PageFolder, place: tuple[str, str], standing: Standing) -> list[dict[str, str]]:
    """A page for each of the first rows of a board against the row ranked first; returns their links."""
    pairs = []
    for board in standing.boards[:1]:
        columns = list_columns(place[1])
        leader = board.rows[0]
        for row in board.rows[1:MOST_PAIRS]:
            page = _write_pair(folder, place, leader, row, columns)
            if page:
                pairs.append({"page": page, "base": leader.label, "head": row.label})
    return pairs


def _write_pair(folder: PageFolder, place: tuple[str, str], base: Row, head: Row, columns: tuple[str, ...]) -> str:
    """Empty where the two cannot be compared: other videos, other data."""
    before, after = (_keep(row.record, columns) for row in (base, head))
    try:
        found = compare(before, after, no_means=_find_no_means([before, after], columns))
    except UsageError:
        return ""
    told = describe_comparison(found, (base.label, head.label), columns[0])
    page = f"compared/{place[0]}/{place[1]}/{base.record.id[:12]}-{head.record.id}.html"
    title = f"{head.label[:60]} against {base.label[:60]} on {place[0]}, {place[1]}, {head.record.id[:8]}"
    return folder.write(page, "compare.html", title, told=told, videos={}, board=f"boards/{place[0]}/{place[1]}.html")


def _keep(record: RunRecord, columns: tuple[str, ...]) -> RunRecord:
    """The record with the figures of a board alone, of all of which more is better."""
    scores = {
        metric: {column: figures[column] for column in figures if column in columns}
        for metric, figures in record.scores.items()
    }
    return record.model_copy(update={"scores": scores})


def _find_no_means(records: list[RunRecord], columns: tuple[str, ...]) -> set[str]:
    """Figures that the rows of the videos do not give as their mean: AP, and J&F of some rules."""
    found = set()
    for record in records:
        for column in columns:
            told, mean = figure(record, column), mean_of(record, column, samples=1).value
            if told is None or told.value is None or mean is None or not math.isclose(told.value, mean, abs_tol=1e-9):
                found.add(column)
    return found
