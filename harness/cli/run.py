"""``harness run``: a method on a benchmark, scored and timed."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from harness.api.errors import UsageError
from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.cli import completion, options
from harness.cli.progress import watch_run
from harness.cli.terminal import say
from harness.corruptions.names import add_to_name, expand
from harness.planning.cells import list_cells, refuse_unknown_names

if TYPE_CHECKING:
    from harness.evaluation import Outcome

OWN_VIDEO = "own-video"
"""The benchmark that ``--video`` stands for."""


@click.command("run")
@options.plugins
@options.benches
@options.corruptions
@click.option(
    "--video",
    type=options.PATH,
    metavar="PATH",
    help="In place of a benchmark: a video of your own, a file or a folder of frames; no truth is needed.",
)
@click.option(
    "--first-mask",
    type=options.PATH,
    metavar="PATH",
    help="With --video: the id map that a one-shot method begins with, a PNG of the first frame, or a folder of PNGs "
    "named as frames are.",
)
@options.task
@options.rule
@options.presets
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
@options.shard
@options.data_root
@options.allow_partial
@click.option(
    "--executor",
    default="inline",
    show_default=True,
    metavar="NAME",
    help="Where the videos are worked through: inline is this process, process a process of the method's own, ray the "
    "nodes of a cluster.",
    shell_complete=completion.executors,
)
@click.option(
    "--workers",
    type=options.COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Videos at a time on a CPU, with --executor process; with ray also on GPUs, each with one of its own. Part of "
    "the conditions.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="With --executor ray: the cluster's head, or auto for the one that this machine belongs to; default: "
    "RAY_ADDRESS, or a cluster of this machine alone for as long as the run.",
)
@click.option(
    "--python",
    type=options.PATH,
    metavar="PATH",
    help="With --executor process: the interpreter of the environment where the method lives.",
)
@click.option(
    "--first-frame-seconds",
    type=options.SECONDS,
    default=600.0,
    show_default=True,
    metavar="S",
    help="With --executor process: limit to building the method, and to the first mask of a video.",
)
@click.option(
    "--frame-seconds",
    type=options.SECONDS,
    default=120.0,
    show_default=True,
    metavar="S",
    help="With --executor process: limit to each later mask.",
)
@click.option(
    "--resume",
    type=click.Choice(["auto", "never", "elsewhere"]),
    default="auto",
    show_default=True,
    help="auto goes on from what was interrupted; never throws it away; elsewhere goes on from a run on another "
    "machine, with other threads, workers or torch: masks and scores are kept, the clocks of its videos are not.",
)
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="The run's folder; default: runs/BENCH/TASK/PLUGIN-KEY, below HARNESS_RUNS where that is set. Of several runs "
    "the folder in place of runs.",
)
@click.option(
    "--overlay",
    is_flag=True,
    help="Also draw the masks over the frames, as pictures and one animation; on with --video.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run nothing: list what would run, with videos, frames, the time by earlier records, and the disk it takes.",
)
@options.seed
@options.threads
@options.attributes
@options.as_json
def command(
    plugins: tuple[str, ...],
    benches: tuple[str, ...],
    corruptions: tuple[str, ...],
    video: Path | None,
    first_mask: Path | None,
    task: str | None,
    rule: str | None,
    presets: tuple[str, ...],
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: Any,
    videos: tuple[str, ...],
    limit: int | None,
    shard: tuple[int, int] | None,
    data_root: Path | None,
    allow_partial: bool,
    executor: str,
    workers: int,
    address: str | None,
    python: Path | None,
    first_frame_seconds: float,
    frame_seconds: float,
    resume: Any,
    out: Path | None,
    overlay: bool,
    dry_run: bool,
    seed: int,
    threads: int | None,
    attributes: bool,
    as_json: bool,
) -> int:
    """Run a method on a benchmark: masks, scores, clocks, record.

    Finished videos are kept: after a kill or Ctrl-C the same command goes on where it was. Several methods, presets,
    benchmarks or corruptions are a matrix: one run each, one after the other, in a process of its own and in the folder
    it would have alone; a run that fails stops no other, and a table at the end shows all of them.
    """
    benches, data_root = _choose_what(benches, video, first_mask, data_root)
    worse = expand(corruptions) or [None]
    cells = list_cells(plugins, [add_to_name(bench, setting) for bench in benches for setting in worse], presets)
    asked = {
        "task": task,
        "rule": rule,
        "constants": overrides,
        "weights": weights,
        "device": device,
        "precision": precision,
        "videos": videos,
        "limit": limit,
        "shard": shard,
        "data_root": data_root,
        "allow_partial": allow_partial,
        "executor": executor,
        "seed": seed,
        "python": python,
        "workers": workers,
        "address": address,
        "threads": threads,
        "first_frame_seconds": first_frame_seconds,
        "frame_seconds": frame_seconds,
        "resume": resume,
        "overlay": overlay or video is not None,
    }
    several = len(cells) > 1
    if several or dry_run:
        from harness.cli import matrix

        matrix.refuse_what_is_of_one(cells, asked, attributes=attributes)
        if python is None:
            refuse_unknown_names(cells, Catalog.load())
        runs, folder = (out, None) if several else (None, out)
        if dry_run:
            return matrix.tell_what_would_run(cells, asked, runs, folder, as_json=as_json)
        return matrix.run_cells(cells, asked, runs, as_json=as_json)
    (cell,) = cells
    if video is not None and python is None:
        _refuse_unfit(cell.plugin, first_mask)
    from harness.evaluation import run

    outcome = run(cell.plugin, cell.bench, preset=cell.preset, out=out, watch=watch_run, **asked)
    return finish(outcome, as_json=as_json, attributes=attributes, video=video)


def _choose_what(
    benches: tuple[str, ...], video: Path | None, first_mask: Path | None, data_root: Path | None
) -> tuple[tuple[str, ...], Path | None]:
    """The benchmarks and their root: those given, or the video of one's own."""
    if bool(benches) == (video is not None):
        found = "both" if benches else "neither"
        raise UsageError(f"--bench or --video: found {found}, expected one", hint="harness ls benches")
    if benches:
        if first_mask is not None:
            raise UsageError("--first-mask belongs to --video: a benchmark has its own", hint="leave it out")
        return benches, data_root
    source = click.get_current_context().get_parameter_source("data_root")
    if source is not None and source.name == "COMMANDLINE":
        raise UsageError("--video and --data-root: found both, expected one", hint="leave out --data-root")
    return (OWN_VIDEO + (f":{first_mask}" if first_mask else ""),), video


def _refuse_unfit(plugin: str, first_mask: Path | None) -> None:
    """UsageError where a method needs a first mask and has none, or the other way round."""
    tasks = Catalog.load().methods.get(plugin).tasks
    prompted = [name for name in tasks if TASKS[name].prompted]
    if first_mask is None and len(prompted) == len(tasks):
        raise UsageError(
            f"{plugin} follows the objects of a first mask: found none",
            hint="--first-mask PNG: 0 background, 1, 2, ... the objects in the first frame",
        )
    if first_mask is not None and not prompted:
        raise UsageError(f"{plugin} ({', '.join(tasks)}) takes no first mask", hint="leave out --first-mask")


def finish(outcome: Outcome, *, as_json: bool, attributes: bool = False, video: Path | None = None) -> int:
    """Print what a run came to and return its exit code; ``video``: where a video of one's own lies."""
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
        root = "" if video is None else f" --data-root {quote(str(video))}"
        say(f"look: harness view {quote(str(outcome.folder))}{root}", err=True)
    return outcome.exit_code
