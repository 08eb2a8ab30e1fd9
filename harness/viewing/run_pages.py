"""The pages of one run, or of several beside each other: an overview, each run, each video, each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.pages.comparisons import describe_comparison
from harness.pages.house import PageFolder
from harness.pages.runs import describe_run, main_of
from harness.ranking.compare import Comparison, compare
from harness.ranking.figures import main_column, rows_by_video
from harness.ranking.speeds import has_throughput
from harness.running.finished import columns_of, read_digests, read_frame_ms
from harness.viewing.footage_pages import write_video_page
from harness.viewing.gather import Footage, Viewed

FOLDER = "view"
"""Where the pages lie in a run's folder."""


@dataclass(frozen=True)
class Drawn:
    """The pages that were written, where to begin, and which videos have their frames."""

    start: Path
    pages: int
    videos: tuple[str, ...]
    missing: str


def write_pages(runs: Sequence[Viewed], footage: Footage, catalog: Catalog, place: Path, drawn: Sequence[str]) -> Drawn:
    """Write the pages of the runs into ``place``; the videos in ``drawn`` get their frames."""
    first = runs[0].record
    title = f"{' and '.join(run.label for run in runs[:3])} on {first.benchmark.full_name} ({first.benchmark.task})"
    main = main_column(first.benchmark.task)
    videos = sort_videos(first) + sorted({v for run in runs for v in run.results} - {row.video for row in first.videos})
    with PageFolder(place, "harness view") as folder:
        pages = {
            video: write_video_page(folder, video, runs, footage, with_frames=video in drawn, title=title)
            for video in videos
            if any(video in run.results for run in runs)
        }
        told = [_write_run(folder, run, pages, number) for number, run in enumerate(runs)]
        pairs, refused = _write_pairs(folder, runs, catalog, pages)
        folder.write(
            "index.html",
            "view.html",
            title,
            runs=told,
            pairs=pairs,
            refused=refused,
            missing=footage.missing if drawn else "",
            main=main,
            rows=[
                {
                    "video": video,
                    "page": pages.get(video, ""),
                    "cells": [mean_on(run.record, video) for run in runs],
                    "is_drawn": video in drawn and video in pages,
                }
                for video in videos
            ],
        )
    return Drawn(place / "index.html", len(folder.written), tuple(drawn), footage.missing)


def sort_videos(record: RunRecord) -> list[str]:
    """The videos of a run, the lowest main figure first; those without a figure last."""
    values = {row.video: mean_on(record, row.video) for row in record.videos}
    return sorted(values, key=lambda video: (values[video] is None, values[video] or 0.0, video))


def mean_on(record: RunRecord, video: str) -> float | None:
    """The main figure of a run on one video: the mean of its objects."""
    known = [v for v in rows_by_video(record, main_column(record.benchmark.task)).get(video, ()) if v is not None]
    return sum(known) / len(known) if known else None


def _write_run(folder: PageFolder, run: Viewed, pages: dict[str, str], number: int) -> dict[str, Any]:
    page = folder.write(
        f"runs/{number}.html",
        "run.html",
        f"{run.label} on {run.record.benchmark.full_name}, run {number + 1}",
        run=describe_run(run.record, lambda video: pages.get(video, "")),
        label=run.label,
        board="",
    )
    return {"page": page, "label": run.label, "figure": main_of(run.record)}


def _write_pairs(
    folder: PageFolder, runs: Sequence[Viewed], catalog: Catalog, pages: dict[str, str]
) -> tuple[list[dict[str, str]], list[str]]:
    """A page for every other run against the first; and in words, why some cannot be compared."""
    pairs, refused = [], []
    base = runs[0]
    for number, head in enumerate(runs[1:], 1):
        try:
            found = compare_runs(base, head, catalog)
        except UsageError as error:
            refused.append(f"{head.label} and {base.label} are not compared: {error.message}")
            continue
        told = describe_comparison(found, (base.label, head.label), main_column(base.record.benchmark.task))
        title = f"{head.label} against {base.label}, {number}"
        page = folder.write(f"compared/{number}.html", "compare.html", title, told=told, videos=pages, board="")
        pairs.append({"page": page, "base": base.label, "head": head.label})
    return pairs, refused


def compare_runs(base: Viewed, head: Viewed, catalog: Catalog) -> Comparison:
    """What ``harness compare --common`` says of the two."""
    columns = columns_of(base.record, catalog)
    folders = [run.folder for run in (base, head) if run.folder is not None]
    times = [read_frame_ms(folder, by_video=has_throughput(base.record)) for folder in folders]
    digests = [read_digests(folder) for folder in folders]
    whole = len(folders) == 2
    return compare(
        base.record,
        head.record,
        lower_is_better={column.name for column in columns if not column.higher_is_better},
        no_means={column.name for column in columns if not column.averaged},
        frame_ms=(times[0], times[1]) if whole and all(times) else None,
        digests=(digests[0], digests[1]) if whole else ({}, {}),
        common=True,
    )
