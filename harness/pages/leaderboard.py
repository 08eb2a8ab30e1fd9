"""The leaderboard as a folder of pages: an overview, a board a benchmark and task, a page a record and a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.published import PublishedPaper
from harness.api.records import RunRecord
from harness.api.tasks import TASKS
from harness.corruptions.names import split_name
from harness.pages import boards, words
from harness.pages.boards import Place
from harness.pages.comparisons import write_neighbours
from harness.pages.house import PageFolder
from harness.pages.robustness import robustness_page_of, write_robustness
from harness.pages.runs import describe_run
from harness.pages.series import Results
from harness.pages.videos import index_of_videos, page_of_video, write_videos
from harness.ranking.figures import interval_to_show, list_columns
from harness.ranking.robustness import Robustness, robustness_of
from harness.ranking.speeds import model_fps
from harness.ranking.standings import Standing, standings

TITLE = "Leaderboard of vos-harness"


def write_leaderboard(
    records: Sequence[RunRecord],
    published: Sequence[PublishedPaper],
    place: Path,
    results: Mapping[str, Results] | None = None,
) -> list[Path]:
    """Write every page into the folder ``place``, in place of those of an earlier build; returns the files.

    ``results`` are those of runs at hand, by the id of their record: the pages of their videos show J(t) and F(t).
    """
    measured = {(found.benchmark, found.task): found for found in standings(records)}
    reported = {(row.benchmark, row.task) for paper in published for row in paper.rows}
    with PageFolder(place, TITLE) as folder:
        worse = [found for found in robustness_of(records) if found.curves]
        _write_overview(folder, measured, reported, published, worse)
        for found in worse:
            write_robustness(folder, found)
        for where in sorted({*measured, *reported}):
            _write_board(folder, where, measured.get(where), published)
        shown = list(_list_shown(measured.values()))
        for record, label in shown:
            _write_run(folder, record, label)
        write_videos(folder, shown, results or {})
    return folder.written


def _list_shown(found: Iterable[Standing]) -> Iterator[tuple[RunRecord, str]]:
    """Every record that a table shows, once, with its label."""
    seen: set[str] = set()
    for standing in found:
        ranked = [row for board in standing.boards for row in board.rows]
        timed = [row for board in standing.boards for group in board.speeds for row in group.rows]
        rows = [*((row.record, row.label) for row in ranked), *((row.record, row.label) for row in timed)]
        for record, label in (*rows, *((row.record, row.label) for row in standing.apart)):
            if record.id not in seen:
                seen.add(record.id)
                yield record, label


def _is_in(together: set[Place], place: Place) -> bool:
    """Whether a board is of a corrupted benchmark whose curves have a page."""
    base, setting = split_name(place[0])
    return setting is not None and (base, place[1]) in together


def _write_overview(
    folder: PageFolder,
    measured: dict[Place, Standing],
    reported: set[Place],
    published: Sequence[PublishedPaper],
    curves: Sequence[Robustness],
) -> None:
    """Corrupted benchmarks have a page of curves together, and no card each."""
    tasks = []
    for task, card in TASKS.items():
        together = {(found.benchmark, found.task) for found in curves}
        shown = [place for place in {*measured, *reported} if not _is_in(together, place)]
        places = sorted(place for place in shown if place[1] == task)
        lines = [_describe_line(place, measured.get(place), published) for place in places]
        lines.sort(key=lambda line: (not line["ranked"], not line["measured"], line["benchmark"]))
        full, empty = ([line for line in lines if bool(line["measured"]) is is_full] for is_full in (True, False))
        worse = [(found.benchmark, robustness_page_of(found)) for found in curves if found.task == task]
        told = {"name": task, "title": card.title, "main": card.main_metric, "full": full, "empty": empty}
        tasks.append(told | {"robustness": worse})
    tasks.sort(key=lambda one: -len(one["full"]))
    folder.write("index.html", "overview.html", TITLE, tasks=tasks, papers=published)


def _describe_line(place: Place, found: Standing | None, published: Sequence[PublishedPaper]) -> dict[str, Any]:
    """One benchmark in the overview of a task: the best measured, the fastest, the best reported."""
    rows = [row for board in found.boards[:1] for row in board.rows] if found else []
    timed = [row for row in rows if model_fps(row.record)]
    aside = boards.sort_apart(found.apart, place[1])[0] if found and found.apart else None
    shown = rows[0] if rows else aside
    printed = boards.describe_reported(place, published)
    name, value = boards.name_best_printed(printed)
    fastest = max(timed, key=lambda row: model_fps(row.record) or 0.0, default=None)
    return {
        "benchmark": place[0],
        "page": boards.page_of(place),
        "standing": found,
        "ranked": len(rows),
        "measured": len(rows) + (len(found.apart) if found else 0),
        "best": rows[0] if rows else None,
        "aside": aside,
        "figure": interval_to_show(shown.record, list_columns(place[1])[0]) if shown else None,
        "fastest": fastest,
        "fps": model_fps(fastest.record) if fastest else None,
        "reported": len(printed["rows"]),
        "printed": printed["rows"][0] if printed["rows"] else None,
        "printed_by_rules": printed["by_rules"],
        "printed_name": words.head(name),
        "printed_value": value,
    }


def _write_board(folder: PageFolder, place: Place, found: Standing | None, published: Sequence[PublishedPaper]) -> None:
    told = boards.describe_standing(found) if found else None
    pairs = write_neighbours(folder, place, found) if found else []
    folder.write(
        boards.page_of(place),
        "board.html",
        f"{boards.title_of(place)}",
        place=place,
        task=TASKS[place[1]],
        measured=told,
        pairs=pairs,
        reported=boards.describe_reported(place, published),
        videos=index_of_videos(place) if found else "",
    )


def _write_run(folder: PageFolder, record: RunRecord, label: str) -> None:
    place = (record.benchmark.name, record.benchmark.task)
    folder.write(
        boards.run_page_of(record),
        "run.html",
        f"{words.plain(label, 80)} on {place[0]}, {place[1]}, {record.id[:8]}",
        run=describe_run(record, lambda video: page_of_video(place, video)),
        label=label,
        board=boards.page_of(place),
    )
