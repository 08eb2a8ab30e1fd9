"""``harness score``: masks made elsewhere, scored by a benchmark's own rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.contracts import RULES, Scoring
from harness.api.errors import UsageError
from harness.api.records import VideoResult
from harness.catalog import Catalog
from harness.cli.terminal import say
from harness.predictions.official_csv import write_official_csv

if TYPE_CHECKING:
    from harness.planning.plan import Trial
    from harness.running.folder import RunFolder


@click.command("score")
@click.argument("pred_dir", type=click.Path(path_type=Path))
@click.option("--bench", required=True, help="Benchmark whose truth and rule are used (harness ls benches).")
@click.option("--task", help="Task, where the benchmark scores several; default: its first.")
@click.option("--videos", default="", help="Only these videos, by name, comma-separated (a partial record).")
@click.option("--data-root", type=click.Path(path_type=Path), envvar="HARNESS_DATA", help="Where the dataset lies.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos (a partial record).")
@click.option("--out", type=click.Path(path_type=Path), help="Keep record and per-frame results in this folder.")
@click.option("--csv", "csv_folder", type=click.Path(path_type=Path), help="Write the official CSV files here.")
@click.option(
    "--rule", "--protocol", "rule", help="Another toolkit's rule, by name (vos-benchmark, ...); named in the output."
)
@click.option("--attributes", is_flag=True, help="Show a table by the dataset's attributes, where it has them.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON on standard output.")
def command(
    pred_dir: Path,
    bench: str,
    task: str | None,
    videos: str,
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
    from harness.predictions.scoring import plan_scoring, score

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    names = tuple(name.strip() for name in videos.split(",") if name.strip())
    trial = plan_scoring(
        pred_dir,
        benchmark,
        catalog,
        task,
        videos=names,
        data_root=data_root,
        allow_partial=allow_partial,
        rule=_find_rule(rule),
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


def _find_rule(name: str | None) -> Scoring | None:
    if name is None or name in RULES:
        return RULES.get(name or "")
    raise UsageError.unknown("rule", name, RULES)
