"""``harness score``: masks made elsewhere, scored by a benchmark's own rule."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import click

from harness.api.errors import DataError, IncompletePredictions
from harness.api.records import RunRecord
from harness.catalog import Catalog


@click.command("score")
@click.argument("pred_dir", type=click.Path(path_type=Path))
@click.option("--bench", required=True, help="Benchmark whose truth and rule are used (harness ls benches).")
@click.option("--task", help="Task, where the benchmark scores several; default: its first.")
@click.option("--videos", default="", help="Only these videos, by name, comma-separated (a partial record).")
@click.option("--data-root", type=click.Path(path_type=Path), envvar="HARNESS_DATA", help="Where the dataset lies.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos (a partial record).")
@click.option("--out", type=click.Path(path_type=Path), help="Keep record and per-frame results in this folder.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the per-object table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON on standard output.")
def command(
    pred_dir: Path,
    bench: str,
    task: str | None,
    videos: str,
    data_root: Path | None,
    allow_partial: bool,
    out: Path | None,
    csv_path: Path | None,
    as_json: bool,
) -> int:
    """Score the masks in PRED_DIR: one folder a video, one PNG a frame.

    Nothing is scored when a scored frame is missing or malformed; the message names it.
    """
    import tempfile

    from harness.cli.run import finish

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    names = tuple(name.strip() for name in videos.split(",") if name.strip())
    request = _request(pred_dir, bench, task or benchmark.tasks[0], names, data_root, allow_partial, catalog)
    with tempfile.TemporaryDirectory(prefix="harness-score-") as scratch:
        folder = out or Path(scratch)
        record = _scored(request, catalog, folder)
        if csv_path is not None:
            _write_csv(record, csv_path)
        return finish(record, folder if out else None, as_json=as_json)


def _request(
    pred_dir: Path, bench: str, task: str, videos: tuple[str, ...], root: Path | None, partial: bool, catalog: Catalog
) -> Any:
    from harness.plan import Request

    benchmark = catalog.benchmarks.get(bench)
    scoring = benchmark.scorings.get(task)  # type: ignore[call-overload]
    settings = {
        "directory": json.dumps(str(pred_dir.resolve())),
        "binary": json.dumps(scoring is not None and scoring.objects == "single"),
        "frames": json.dumps("inner" if scoring is not None and scoring.frames == "inner" else "all"),
    }
    return Request(
        plugin="replay",
        bench=bench,
        task=task,
        overrides=tuple(f"{key}={value}" for key, value in settings.items()),
        videos=videos,
        data_root=root,
        allow_partial=partial,
    )


def _scored(request: Any, catalog: Catalog, folder: Path) -> RunRecord:
    """Look everything over, run replay over it, and refuse a result with a hole in it."""
    from harness.cli.progress import progress_for
    from harness.plan import resolve
    from harness.predictions import look_over
    from harness.runner import run

    plan = resolve(request, catalog)
    look_over(Path(plan.config.directory), plan.samples, plan.scoring)
    with progress_for(plan) as progress:
        record = run(plan, folder, catalog, fresh=True, progress=progress.frame, on_video=progress.video)
    if record.failures:
        failure = record.failures[0]
        (folder / "record.json").unlink(missing_ok=True)
        kind = IncompletePredictions if failure.kind == "incomplete" else DataError
        raise kind(f"{failure.message}\n  nothing was scored: {len(record.failures)} videos cannot be read")
    return record


def _write_csv(record: RunRecord, path: Path) -> None:
    columns = list(dict.fromkeys(name for row in record.videos for figures in row.objects.values() for name in figures))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Sequence", *columns])
        for row in record.videos:
            for name, figures in row.objects.items():
                writer.writerow([f"{row.video}_{name}", *(figures.get(column) for column in columns)])
