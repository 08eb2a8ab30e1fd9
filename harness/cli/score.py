"""``harness score``: masks made elsewhere, scored by a benchmark's own rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.errors import UsageError
from harness.api.records import VideoResult
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say
from harness.predictions.official_csv import write_official_csv

if TYPE_CHECKING:
    from harness.planning.plan import Trial
    from harness.running.folder import RunFolder


@click.command("score")
@click.argument("pred_dir", type=click.Path(path_type=Path))
@options.bench
@click.option("--task", metavar="TASK", help="Where the benchmark scores several; default: its first.")
@options.videos
@options.data_root
@options.allow_partial
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="Keep record and per-frame results there: a new or empty folder, or that of earlier scores, which are thrown "
    "away first; default: nothing is kept.",
)
@click.option(
    "--csv",
    "csv_folder",
    type=options.PATH,
    metavar="DIR",
    help="Write the two CSV files of davis2017-evaluation there.",
)
@options.rule
@options.attributes
@options.as_json
def command(
    pred_dir: Path,
    bench: str,
    task: str | None,
    videos: tuple[str, ...],
    data_root: Path | None,
    allow_partial: bool,
    out: Path | None,
    csv_folder: Path | None,
    rule: str | None,
    attributes: bool,
    as_json: bool,
) -> int:
    """Score the masks in PRED_DIR: one folder a video, one PNG a frame, or a zip of that; for tracks a results.json.

    Nothing is scored when a scored frame is missing or malformed; the message names it.
    """
    from harness.cli.run import finish
    from harness.planning.rules import find_rule
    from harness.predictions.scoring import plan_scoring, score

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    trial = plan_scoring(
        pred_dir,
        benchmark,
        catalog,
        task,
        videos=videos,
        data_root=data_root,
        allow_partial=allow_partial,
        rule=find_rule(rule),
    )
    done = 0

    def tell(result: VideoResult) -> None:
        nonlocal done
        done += 1
        say(f"[{done}/{len(trial.samples)}] {result.video}: {result.length} frames", err=True)

    with nullcontext() if out is None else _folder_for(out, pred_dir, trial) as folder:
        record, results = score(trial, pred_dir, catalog, on_video=tell, on_note=lambda note: say(note, err=True))
        if folder is not None:
            for result in results:
                folder.append(result)
            folder.write_record(record)
    if csv_folder is not None:
        for path in write_official_csv(record, csv_folder):
            say(f"wrote {path}", err=True)
    return finish(record, out, as_json=as_json, attributes=attributes)


@contextmanager
def _folder_for(out: Path, predictions: Path, trial: Trial) -> Iterator[RunFolder]:
    """The folder of the scores, emptied of earlier ones before anything is scored; never what holds the predictions."""
    from harness.running.folder import RunFolder

    if Path(os.path.realpath(predictions)).is_relative_to(os.path.realpath(out)):
        raise UsageError(f"--out {out} holds the predictions: found {predictions}", hint="choose another --out")
    with RunFolder(out) as folder:
        folder.refuse_method_run()
        folder.claim(trial.key_parts, fresh=True)
        yield folder
