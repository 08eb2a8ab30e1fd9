"""``harness run``: a method on a benchmark, scored and timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import completion, options
from harness.cli.terminal import say

if TYPE_CHECKING:
    from harness.evaluation import Outcome


@click.command("run")
@options.plugin
@options.bench
@options.task
@options.rule
@options.preset
@options.overrides
@options.weights
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="cpu or cuda:N; with --executor process also several, cuda:0,cuda:1: one worker each.",
)
@options.precision
@options.videos
@options.limit
@options.data_root
@options.allow_partial
@click.option(
    "--executor",
    default="inline",
    show_default=True,
    metavar="NAME",
    help="Where the videos are worked through: inline is this process, process a process of the method's own.",
    shell_complete=completion.executors,
)
@click.option(
    "--workers",
    type=options.COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Videos at a time on a CPU, with --executor process; part of the conditions.",
)
@click.option(
    "--python",
    type=options.PATH,
    metavar="PATH",
    help="With --executor process: the interpreter of the environment where the method lives.",
)
@click.option(
    "--first-frame-seconds",
    type=float,
    default=600.0,
    show_default=True,
    metavar="S",
    help="With --executor process: limit to building the method, and to the first mask of a video.",
)
@click.option(
    "--frame-seconds",
    type=float,
    default=120.0,
    show_default=True,
    metavar="S",
    help="With --executor process: limit to each later mask.",
)
@options.resume
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="The run's folder; default: runs/BENCH/TASK/PLUGIN-KEY, below HARNESS_RUNS where that is set.",
)
@options.seed
@options.threads
@options.attributes
@options.as_json
def command(
    plugin: str,
    bench: str,
    task: str | None,
    rule: str | None,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: Any,
    videos: tuple[str, ...],
    limit: int | None,
    data_root: Path | None,
    allow_partial: bool,
    executor: str,
    workers: int,
    python: Path | None,
    first_frame_seconds: float,
    frame_seconds: float,
    resume: Any,
    out: Path | None,
    seed: int,
    threads: int | None,
    attributes: bool,
    as_json: bool,
) -> int:
    """Run a method on a benchmark: masks, scores, clocks, record.

    Finished videos are kept: after a kill or Ctrl-C the same command goes on where it was.
    """
    from harness.evaluation import run

    outcome = run(
        plugin,
        bench,
        task=task,
        rule=rule,
        preset=preset,
        constants=overrides,
        weights=weights,
        device=device,
        precision=precision,
        videos=videos,
        limit=limit,
        data_root=data_root,
        allow_partial=allow_partial,
        executor=executor,
        seed=seed,
        python=python,
        workers=workers,
        threads=threads,
        first_frame_seconds=first_frame_seconds,
        frame_seconds=frame_seconds,
        out=out,
        resume=resume,
        watch=_watch,
    )
    return finish(outcome, as_json=as_json, attributes=attributes)


@contextmanager
def _watch(plan: Any, folder: Path | None) -> Iterator[Any]:
    """Say what will be done, then show progress on standard error."""
    from harness.cli.progress import progress_for

    say(f"run folder {folder}", err=True)
    if plan.partial_reason:
        say(f"partial: {plan.partial_reason}; the record will not be ranked", err=True)
    with progress_for(plan) as progress:
        yield progress


def finish(outcome: Outcome, *, as_json: bool, attributes: bool = False) -> int:
    """Print what a run came to and return its exit code."""
    from harness.cli.tables import attributes_table, failures_table, scores_table, speed_table, videos_table

    record = outcome.record
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
    if outcome.folder is not None:
        say(f"record {outcome.folder / 'record.json'}", err=True)
    return outcome.exit_code
