"""The pages of a board's videos: which are hard, and what every record reached on each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.records import RunRecord
from harness.pages import boards, words
from harness.pages.boards import Place
from harness.pages.house import PageFolder
from harness.pages.series import Results, draw_curves
from harness.ranking.figures import list_columns

Shown = tuple[RunRecord, str]
"""A record and its label."""


def page_of_video(place: Place, video: str) -> str:
    """Where the page of a video lies."""
    return f"videos/{place[0]}/{place[1]}/{words.slug(video)}.html"


def index_of_videos(place: Place) -> str:
    """Where the list of a board's videos lies."""
    return f"videos/{place[0]}/{place[1]}.html"


def write_videos(folder: PageFolder, shown: Sequence[Shown], results: Mapping[str, Results]) -> None:
    """A page a video, and for each board a page that lists its videos, the hardest first.

    ``results`` are those at hand by the id of their record: their J(t) and F(t) are drawn.
    """
    by_place: dict[Place, list[Shown]] = defaultdict(list)
    for record, label in shown:
        by_place[record.benchmark.name, record.benchmark.task].append((record, label))
    for place, same in sorted(by_place.items()):
        columns = list_columns(place[1])
        by_page = {boards.run_page_of(record): results[record.id] for record, _ in same if record.id in results}
        lines = [
            _write_video(folder, place, video, columns, rows, by_page)
            for video, rows in _rows_by_video(same, columns).items()
        ]
        lines.sort(key=lambda line: (line["mean"] is None, line["mean"] or 0.0, line["video"]))
        folder.write(
            index_of_videos(place),
            "videos.html",
            f"Videos of {boards.title_of(place)}",
            place=place,
            lines=lines,
            main=columns[0],
            board=boards.page_of(place),
        )


def _rows_by_video(same: Sequence[Shown], columns: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    """For each video a row a record, the best first."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record, label in same:
        for row in record.videos:
            cells = [_mean_of(row.objects, column) for column in columns]
            page = boards.run_page_of(record)
            rows[row.video].append({"label": label, "page": page, "cells": cells, "objects": row.objects})
    for found in rows.values():
        found.sort(key=lambda row: (row["cells"][0] is None, -(row["cells"][0] or 0.0), row["label"]))
    return rows


def _write_video(
    folder: PageFolder,
    place: Place,
    video: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    by_page: Mapping[str, Results],
) -> dict[str, Any]:
    """Write the page; returns its line in the list."""
    sides = [(row["label"], result) for row in rows if (result := by_page.get(row["page"], {}).get(video))]
    page = folder.write(
        page_of_video(place, video),
        "video.html",
        f"{video} of {boards.title_of(place)}",
        video=video,
        place=place,
        columns=columns,
        rows=rows,
        curves=draw_curves(sides),
        board=boards.page_of(place),
        index=index_of_videos(place),
    )
    known = [row["cells"][0] for row in rows if row["cells"][0] is not None]
    mean = sum(known) / len(known) if known else None
    return {"video": video, "page": page, "mean": mean, "best": rows[0], "count": len(rows)}


def _mean_of(objects: Mapping[str, Mapping[str, float | None]], column: str) -> float | None:
    known = [value for figures in objects.values() if (value := figures.get(column)) is not None]
    return sum(known) / len(known) if known else None
