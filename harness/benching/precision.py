"""What reduced precision changes: one benchmark at each precision, scores paired by video, masks pixel by pixel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.api.errors import HarnessError
from harness.api.mask_files import read_mask
from harness.api.records import Conditions, Interval, Number, Precision, RunRecord, Whole
from harness.catalog import Catalog
from harness.planning.plan import Plan, resolve
from harness.planning.request import Request
from harness.ranking.compare import compare
from harness.ranking.intervals import Difference
from harness.ranking.speeds import model_fps
from harness.running.runner import run
from harness.version import __version__

PRECISION_SCHEMA: Final = "harness.bench-precision/1"
Watch = Callable[[str, Plan], AbstractContextManager[Any]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PrecisionRow(_Part):
    """One precision; ``differences`` are paired by video: this one minus the first."""

    precision: Precision
    folder: str = ""
    figures: dict[str, Interval] = {}
    differences: dict[str, Difference] = {}
    pixels_changed: Number | None = None
    """Share of all pixels of all frames whose id is another than the first precision's."""
    changed_by_video: dict[str, Number] = {}
    """The same share for each video, largest first."""
    model_fps: Number | None = None
    conditions: Conditions | None = None
    videos_done: Whole = 0
    partial_reason: str = ""
    problem: str = ""
    exit_code: Whole = 0


class PrecisionReport(_Part):
    """The whole bench."""

    schema_: Literal["harness.bench-precision/1"] = Field(PRECISION_SCHEMA, alias="schema")
    created: str
    harness_version: str
    plugin: str
    bench: str
    metric: str
    """The task's main figure, where the benchmark reports it."""
    rows: list[PrecisionRow]


def bench_precision(
    request: Request, precisions: Sequence[Precision], out: Path, catalog: Catalog, watch: Watch
) -> PrecisionReport:
    """Run the request at each precision below ``out``, in runs that resume; what goes wrong is in its row."""
    rows: list[PrecisionRow] = []
    first: tuple[RunRecord, Path] | None = None
    metric = ""
    for precision in precisions:
        try:
            plan = resolve(replace(request, precision=precision), catalog)
            folder = out / f"{plan.method.name}-{precision}-{plan.key[:8]}"
            with watch(precision, plan) as progress:
                record = run(
                    plan, folder, catalog, progress=progress.frame, on_video=progress.video, on_note=progress.note
                )
        except HarnessError as error:
            rows.append(PrecisionRow(precision=precision, problem=str(error), exit_code=error.exit_code))
            continue
        metric = metric or _main(record, plan.task.main_metric)
        rows.append(_row(precision, record, folder, first, catalog))
        first = first or (record, folder)
    return PrecisionReport(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        plugin=request.plugin,
        bench=request.bench,
        metric=metric,
        rows=rows,
    )


def _main(record: RunRecord, main: str) -> str:
    columns = [column for columns in record.scores.values() for column in columns]
    return main if main in columns or not columns else columns[0]


def _row(
    precision: Precision, record: RunRecord, folder: Path, first: tuple[RunRecord, Path] | None, catalog: Catalog
) -> PrecisionRow:
    changed: dict[str, float] = {}
    differences: dict[str, Difference] = {}
    problems = [f"{failure.video}: {failure.kind}: {failure.message}" for failure in record.failures]
    share = None
    if first is not None and _videos(first[0]) != _videos(record):
        problems.append(f"not compared: {len(_videos(record))} videos were done, {len(_videos(first[0]))} before")
    elif first is not None:
        differences = _differences(first[0], record, catalog)
        share, changed = _count_changed_pixels(first[1], folder, sorted(_videos(record)))
    return PrecisionRow(
        precision=precision,
        folder=str(folder),
        figures={column: interval for columns in record.scores.values() for column, interval in columns.items()},
        differences=differences,
        pixels_changed=share,
        changed_by_video=changed,
        model_fps=model_fps(record),
        conditions=record.conditions,
        videos_done=record.benchmark.videos_done,
        partial_reason=record.partial_reason,
        problem="; ".join(problems),
        exit_code=max((failure.exit_code for failure in record.failures), default=0),
    )


def _videos(record: RunRecord) -> set[str]:
    return {row.video for row in record.videos}


def _differences(first: RunRecord, record: RunRecord, catalog: Catalog) -> dict[str, Difference]:
    columns = [column for name in first.scores for column in catalog.metrics.get(name).columns]
    found = compare(first, record, no_means={column.name for column in columns if not column.averaged})
    return {change.column: change.difference for change in found.accuracy}


def _count_changed_pixels(first: Path, second: Path, videos: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Share of pixels whose id differs, over all and by video; None where the runs stored no masks (tracks)."""
    changed: dict[str, int] = {}
    pixels: dict[str, int] = {}
    for video in videos:
        for path in sorted((first / "masks" / video).glob("*.png")):
            before, after = read_mask(path), read_mask(second / "masks" / video / path.name)
            changed[video] = changed.get(video, 0) + int(np.count_nonzero(before != after))
            pixels[video] = pixels.get(video, 0) + before.size
    if not pixels:
        return None, {}
    shares = {video: changed[video] / pixels[video] for video in pixels}
    ordered = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    return sum(changed.values()) / sum(pixels.values()), ordered
