"""``harness run``: a method on a benchmark, scored and timed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.cli.terminal import say


@click.command("run")
@click.option("--plugin", required=True, help="Method to run (harness ls plugins).")
@click.option("--bench", required=True, help="Benchmark to run it on (harness ls benches).")
@click.option("--task", help="Task, where method and benchmark share several.")
@click.option("--preset", default="", help="Named config of the method; default: its own default.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one constant; may be repeated.")
@click.option("--weights", help="Checkpoint file, or a name the card lists, or none (random).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:N, or several: cuda:0,cuda:1.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option("--videos", default="", help="Only these videos, by name, comma-separated (a partial record).")
@click.option("--limit", type=int, help="Only the first N videos (a partial record).")
@click.option("--data-root", type=click.Path(path_type=Path), envvar="HARNESS_DATA", help="Where the dataset lies.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos (a partial record).")
@click.option("--executor", default="inline", show_default=True, help="Where the videos are worked through.")
@click.option("--workers", type=int, default=1, show_default=True, help="Videos at a time on a CPU (process).")
@click.option("--python", type=click.Path(path_type=Path), help="Interpreter of the method's environment (process).")
@click.option("--first-frame-seconds", type=float, default=600.0, show_default=True, help="Limit to the first mask.")
@click.option("--frame-seconds", type=float, default=120.0, show_default=True, help="Limit to each later mask.")
@click.option("--resume", type=click.Choice(["auto", "never"]), default="auto", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/BENCH/TASK/PLUGIN-KEY.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=int, help="CPU threads for torch; default: torch's own choice.")
@click.option("--attributes", is_flag=True, help="Show a table by the dataset's attributes, where it has them.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON on standard output.")
def command(
    videos: str,
    overrides: tuple[str, ...],
    resume: str,
    out: Path | None,
    threads: int | None,
    attributes: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Run a method on a benchmark: masks, scores, clocks, record.

    Finished videos are kept: after a kill or Ctrl-C the same command goes on where it was.
    """
    from harness.planning.request import Request

    names = tuple(name.strip() for name in videos.split(",") if name.strip())
    request = Request(videos=names, overrides=overrides, threads=threads, **asked)
    record, folder = execute(request, Catalog.load(), out, fresh=resume == "never")
    return finish(record, folder, as_json=as_json, attributes=attributes)


def execute(request: Any, catalog: Catalog, out: Path | None, *, fresh: bool) -> tuple[RunRecord, Path]:
    """Resolve and run a request with progress on standard error; returns the record and the run's folder."""
    if request.python is None:
        catalog.methods.get(request.plugin)  # wrong names are answered before torch is imported
    catalog.benchmarks.get(request.bench)
    catalog.executors.get(request.executor)
    from dataclasses import replace

    from harness.cli.progress import progress_for
    from harness.hosting.apart import describe
    from harness.machine import resolve_device
    from harness.planning.plan import resolve
    from harness.running.runner import run

    if request.threads is not None:
        import torch

        torch.set_num_threads(max(1, request.threads))
    if request.python is None:
        names = [resolve_device(name.strip()) for name in request.device.split(",")]
        plan = resolve(replace(request, device=",".join(names)), catalog)
    else:
        request = replace(request, python=request.python.expanduser().absolute())  # a link into a venv stays one
        plan = resolve(request, catalog, describe(request))
    folder = out or _default_folder(plan)
    say(f"run folder {folder}", err=True)
    if plan.partial_reason:
        say(f"partial: {plan.partial_reason}; the record will not be ranked", err=True)
    with progress_for(plan) as progress:
        record = run(
            plan, folder, catalog, fresh=fresh, progress=progress.frame, on_video=progress.video, on_note=progress.note
        )
    return record, folder


def _default_folder(plan: Any) -> Path:
    base = Path(os.environ.get("HARNESS_RUNS", "runs"))
    name = "-".join(part for part in (plan.method.name, plan.request.preset, plan.key[:8]) if part)
    return base / plan.benchmark.name / plan.task.name / name


def finish(record: RunRecord, folder: Path | None, *, as_json: bool, attributes: bool = False) -> int:
    """Print what a run came to and return its exit code."""
    from harness.cli.tables import attributes_table, failures_table, scores_table, speed_table, videos_table

    if as_json:
        say(record.to_json(), nl=False)
    else:
        by_attribute = attributes_table(record) if attributes else ""
        parts = [videos_table(record), by_attribute, scores_table(record), speed_table(record)]
        say("\n\n".join(part for part in parts if part))
    if record.reused:
        say(f"reused from an earlier run into this folder: {', '.join(record.reused)}", err=True)
    if record.failures:
        say(failures_table(record), err=True)
    if folder is not None:
        say(f"record {folder / 'record.json'}", err=True)
    return max((failure.exit_code for failure in record.failures), default=0)
