"""``harness score``: masks made elsewhere, scored by a benchmark's own rule."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, cast

import click

from harness.api.contracts import Benchmark
from harness.api.records import RunRecord, VideoResult
from harness.api.tasks import TaskName
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
    from harness.cli.run import finish
    from harness.plan import resolve
    from harness.results import RunFolder
    from harness.scoring import score

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    names = tuple(name.strip() for name in videos.split(",") if name.strip())
    plan = resolve(_request(pred_dir, benchmark, task, names, data_root, allow_partial), catalog)
    done = 0

    def say(result: VideoResult) -> None:
        nonlocal done
        done += 1
        click.echo(f"[{done}/{len(plan.samples)}] {result.video}: {result.length} frames", err=True)

    record, results = score(plan, pred_dir, catalog, on_video=say)
    if out is not None:
        with RunFolder(out) as folder:
            folder.claim(plan.key_parts, fresh=True)
            for result in results:
                folder.append(result)
            folder.write_record(record)
    if csv_path is not None:
        _write_csv(record, csv_path)
    return finish(record, out, as_json=as_json)


def _request(
    pred_dir: Path, benchmark: Benchmark, task: str | None, videos: tuple[str, ...], root: Path | None, partial: bool
) -> Any:
    """The request of a replay run over the masks, so that its record can be ranked beside others."""
    from harness.plan import Request

    task = task or benchmark.tasks[0]
    scoring = dict(benchmark.scorings).get(cast(TaskName, task))
    settings = {
        "directory": json.dumps(str(pred_dir.resolve())),
        "binary": json.dumps(scoring is not None and scoring.objects == "single"),
        "frames": json.dumps("inner" if scoring is not None and scoring.frames == "inner" else "all"),
    }
    return Request(
        plugin="replay",
        bench=benchmark.name,
        task=task,
        overrides=tuple(f"{key}={value}" for key, value in settings.items()),
        videos=videos,
        data_root=root,
        allow_partial=partial,
    )


def _write_csv(record: RunRecord, path: Path) -> None:
    columns = list(dict.fromkeys(name for row in record.videos for figures in row.objects.values() for name in figures))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Sequence", *columns])
        for row in record.videos:
            for name, figures in row.objects.items():
                writer.writerow([f"{row.video}_{name}", *(figures.get(column) for column in columns)])
