"""What stands on the page of one record: figures, a heat map of videos, stages, kernels, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from harness.api.records import RunRecord, StageTime
from harness.pages import words
from harness.ranking.figures import interval_to_show, list_columns, main_column, rows_by_video
from harness.ranking.speeds import timing_of

STEPS = 10
"""Shades of the heat map."""
LinkOf = Callable[[str], str]
"""From a video's name to its page in the folder, empty where it has none."""


def name_run(record: RunRecord) -> str:
    """Method and preset."""
    return words.plain(record.plugin.name + (f" ({record.preset})" if record.preset else ""))


def describe_run(record: RunRecord, link_of: LinkOf = lambda video: "") -> dict[str, Any]:
    """Everything on the page of a record."""
    timing = timing_of(record)
    return {
        "name": name_run(record),
        "main": main_column(record.benchmark.task),
        "record": record,
        "url": words.https(record.about.url),
        "figures": [(metric, list(columns.items())) for metric, columns in record.scores.items()],
        "heat": describe_heat(record, link_of),
        "timing": timing,
        "clocks": _describe_clocks(record),
        "stages": _describe_stages(timing.stages if timing else {}),
        "kernels": _describe_stages(timing.kernels if timing else {}),
        "conditions": words.describe_conditions([record.conditions]),
        "config": [(name, json.dumps(value, ensure_ascii=False)) for name, value in sorted(record.config.items())],
    }


def describe_heat(record: RunRecord, link_of: LinkOf) -> dict[str, Any]:
    """A row a video, the worst first, and a cell a figure: the mean over its objects, and how dark it is."""
    columns = _columns_of(record)
    values = {column: {v: _mean(rows) for v, rows in rows_by_video(record, column).items()} for column in columns}
    reach = {column: _reach_of(values[column]) for column in columns}
    main = main_column(record.benchmark.task)
    order = values.get(main) or (values[columns[0]] if columns else {})
    videos = sorted(record.videos, key=lambda row: _worst_first(order.get(row.video), row.video))
    return {
        "columns": columns,
        "rows": [
            {
                "video": row.video,
                "page": link_of(row.video),
                "frames": row.frames,
                "objects": len(row.objects),
                "attributes": ", ".join(row.attributes),
                "cells": [(values[c].get(row.video), _shade(values[c].get(row.video), *reach[c])) for c in columns],
            }
            for row in videos
        ],
    }


def _columns_of(record: RunRecord) -> list[str]:
    """Every figure that a video has, those that a table of the task always shows first."""
    there = {column for row in record.videos for figures in row.objects.values() for column in figures}
    first = [column for column in list_columns(record.benchmark.task) if column in there]
    rest = [column for columns in record.scores.values() for column in columns if column in there]
    return list(dict.fromkeys([*first, *rest, *sorted(there)]))


def _mean(rows: list[float | None]) -> float | None:
    known = [row for row in rows if row is not None]
    return sum(known) / len(known) if known else None


def _worst_first(value: float | None, name: str) -> tuple[bool, float, str]:
    return value is None, value or 0.0, name


def _reach_of(values: Mapping[str, float | None]) -> tuple[float, float]:
    """0 to 1 for fractions; from least to most for what goes beyond."""
    known = [value for value in values.values() if value is not None]
    return min([0.0, *known]), max([1.0, *known])


def _shade(value: float | None, low: float, high: float) -> int | None:
    if value is None:
        return None
    return min(STEPS - 1, int(STEPS * (value - low) / (high - low)))


def _describe_clocks(record: RunRecord) -> list[tuple[str, Any]]:
    timing = timing_of(record)
    if timing is None:
        return []
    return [
        ("model, steady frames", timing.model),
        ("model, first frames", timing.model_first_frame),
        ("e2e, steady frames", timing.e2e),
        ("e2e, first frames", timing.e2e_first_frame),
    ]


def _describe_stages(stages: Mapping[str, StageTime]) -> list[dict[str, Any]]:
    """Longest first, each with its share of the longest and its time a call."""
    longest = max((stage.seconds for stage in stages.values()), default=0.0)
    total = sum(stage.seconds for stage in stages.values())
    return [
        {
            "name": name,
            "calls": stage.calls,
            "seconds": stage.seconds,
            "ms": 1000 * stage.seconds / stage.calls if stage.calls else None,
            "share": stage.seconds / total if total > 0 else None,
            "bar": round(100 * stage.seconds / longest) if longest > 0 else 0,
        }
        for name, stage in sorted(stages.items(), key=lambda item: -item[1].seconds)
    ]


def main_of(record: RunRecord) -> Any:
    """The figure that ranks it, with its interval."""
    return interval_to_show(record, main_column(record.benchmark.task))
