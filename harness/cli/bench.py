"""``harness bench``: kernels against roofline and reference, methods by size of video, the effect of precision."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say
from harness.files import refuse_unwritable, write_atomically
from harness.planning.places import runs_folder


@click.group("bench")
def command() -> None:
    """Bench kernels, whole methods, and the effect of precision."""


_out = click.option("--out", type=options.FILE, metavar="FILE", help="Write the JSON into this file.")


@command.command("kernels")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME",
    help="Whose kernels are benched (ops: those of no plugin); default: all.",
)
@click.option("--kernel", "names", multiple=True, metavar="NAME", help="Only the kernel of this name.")
@options.device
@options.precision
@options.threads
@click.option(
    "--rounds",
    type=options.NUMBER,
    metavar="N",
    help="Timed calls of each form; default: as many as take two seconds, 3 to 50.",
)
@click.option(
    "--limit-size",
    type=click.Choice(["small", "all"]),
    default="all",
    show_default=True,
    help="small: the first example of each kernel only.",
)
@_out
@options.as_json
def kernels(
    plugins: tuple[str, ...],
    names: tuple[str, ...],
    device: str,
    precision: Any,
    threads: int | None,
    rounds: int | None,
    limit_size: Any,
    out: Path | None,
    as_json: bool,
) -> int:
    """Bench every kernel of a card on its examples: time, roofline, memory, error, and its plain reference.

    Exit code 1 if a kernel raises or differs from its reference by more than its tolerance.
    """
    _refuse_unwritable(out)
    from harness.ops.kernels import OWNER, list_shared_kernels

    catalog = Catalog.load()
    methods = [catalog.methods.get(name) for name in plugins if name != OWNER] if plugins else list(catalog.methods)
    from harness.benching.kernels import Wish, bench_kernels
    from harness.cli.bench_tables import describe_kernels
    from harness.machine import resolve_device

    options.use_threads(threads)
    shared = list_shared_kernels() if not plugins or OWNER in plugins else ()
    wish = Wish(resolve_device(device), precision, names, limit_size, rounds)
    report = bench_kernels(methods, wish, lambda line: say(line, err=True), shared=shared)
    _finish(report, describe_kernels, out, as_json=as_json)
    return 1 if report.failed else 0


@command.command("methods")
@options.names("--plugin", "The method, or several; default: all but replays.", into="plugins")
@click.option("--height", type=options.SIDE, metavar="N", default=480, show_default=True, help="Rows of the clip.")
@click.option("--width", type=options.SIDE, metavar="N", default=854, show_default=True, help="Columns of the clip.")
@click.option(
    "--frames",
    type=options.NUMBERS,
    metavar="N,..",
    default="30",
    show_default=True,
    help="Frames of the clip; several are measured one by one, the other things being the first of theirs.",
)
@click.option(
    "--objects",
    type=options.NUMBERS,
    metavar="N,..",
    default="1",
    show_default=True,
    help="Objects in it; several alike.",
)
@click.option(
    "--size",
    "sizes",
    type=options.SIZES,
    metavar="N,..",
    help="Rows of the clip at 16:9, in place of --height and --width.",
)
@click.option(
    "--seconds",
    type=options.SECONDS,
    metavar="S",
    help="With several: the time for all; what is left then is not measured.",
)
@click.option(
    "--plots",
    type=options.FOLDER,
    metavar="DIR",
    help="With several: where growth.json, growth.csv and a picture of each method go; default: runs/growth.",
)
@click.option("--dry-run", is_flag=True, help="With several: say about how long each method would take, and stop.")
@click.option("--again", is_flag=True, help="With several: measure what is kept in --plots, too.")
@options.task
@options.preset
@options.overrides
@options.weights
@options.device
@options.precision
@options.threads
@_out
@options.as_json
def methods(
    plugins: tuple[str, ...],
    height: int,
    width: int,
    frames: tuple[int, ...],
    objects: tuple[int, ...],
    sizes: tuple[int, ...] | None,
    seconds: float | None,
    plots: Path | None,
    dry_run: bool,
    again: bool,
    task: str | None,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: Any,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Time whole methods on a generated clip of a given size: frames a second, first frame, stages, memory.

    With several frames, objects or sizes: how time and memory grow with one of them at a time, each point in a process
    of its own, as a table, as JSON and CSV, and as a picture a method. Before the first, small clips tell about how
    long all will take. Each point is kept once it is measured: the same command goes on where it was stopped. A point
    that fails is shown as failed.
    """
    _refuse_unwritable(out)
    catalog = Catalog.load()
    chosen = [catalog.methods.get(name) for name in plugins] or [card for card in catalog.methods if not card.replays]
    if len(chosen) != 1 and (preset or overrides or weights):
        raise UsageError("--preset, --set and --weights are those of one method", hint="name it with --plugin")
    from harness.benching.clip import Clip
    from harness.benching.growth import list_clips, width_of
    from harness.benching.methods import bench_methods
    from harness.cli.bench_tables import describe_methods
    from harness.machine import resolve_device
    from harness.planning.request import Request

    if sizes is not None:
        _refuse_height_and_width()
    shapes = [(height, width)] if sizes is None else [(rows, width_of(rows)) for rows in sizes]
    clips = list_clips(frames, objects, shapes)
    if len(clips) == 1 and (seconds is not None or plots is not None or dry_run or again):
        which = "--seconds, --plots, --dry-run and --again"
        raise UsageError(f"{which} belong to several points", hint="--frames 50,200,1000")
    options.use_threads(threads)
    same = Request(
        plugin="",
        bench="clip",
        task=task,
        preset=preset,
        overrides=overrides,
        weights=weights,
        device=resolve_device(device),
        precision=precision,
        threads=threads,
    )
    requests = [replace(same, plugin=card.name) for card in chosen]
    if len(clips) > 1:
        base = Clip(*shapes[0], frames[0], objects[0])
        wish = GrowthWish(base, seconds, plots or runs_folder() / "growth", dry_run, again)
        return _show_growth(requests, clips, catalog, wish, out, as_json=as_json)
    report = bench_methods(requests, clips[0], catalog, lambda line: say(line, err=True))
    _finish(report, describe_methods, out, as_json=as_json)
    return max(row.exit_code for row in report.rows)


def _refuse_height_and_width() -> None:
    context = click.get_current_context()
    for name in ("height", "width"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--size and --{name}: found both, expected one", hint="leave one out")


@dataclass(frozen=True)
class GrowthWish:
    """What is asked of several points beside themselves."""

    base: Any
    seconds: float | None
    plots: Path
    dry_run: bool
    again: bool


def _show_growth(
    requests: list[Any], clips: list[Any], catalog: Catalog, wish: GrowthWish, out: Path | None, *, as_json: bool
) -> int:
    """Measure and show; 0 where every point was measured or its time was over, 5 where one failed, 130 after Ctrl-C."""
    from harness.benching.estimate import estimate_growth
    from harness.benching.growth import measure_growth
    from harness.benching.growth_pictures import write_growth
    from harness.benching.kept_points import KeptPoints, key_with
    from harness.cli.bench_tables import describe_estimates, describe_growth

    def tell(line: str) -> None:
        say(line, err=True)

    begun = time.monotonic()
    kept = KeptPoints(wish.plots / "points", key_with(catalog), again=wish.again)
    estimates = estimate_growth(requests, clips, announce=tell, kept=kept)
    is_kept = {(request.plugin, clip) for request in requests for clip in clips if kept.find(request, clip)}
    say(describe_estimates(estimates, is_kept, wish.base), err=not wish.dry_run)
    if wish.dry_run:
        return 0
    left = None if wish.seconds is None else max(0.0, wish.seconds - (time.monotonic() - begun))
    report, is_interrupted = measure_growth(
        requests, clips, wish.base, seconds=left, announce=tell, kept=kept, estimates=estimates
    )
    for path in write_growth(report, wish.plots):
        say(f"written {path}", err=True)
    _finish(report, describe_growth, out, as_json=as_json)
    if is_interrupted:
        return 130
    return 5 if any(point.state == "failed" for point in report.points) else 0


@command.command("precision")
@options.plugin
@options.bench
@options.names("--precisions", "Two or three of fp32, bf16, fp16; the first is the base; default: fp32,bf16.")
@options.task
@options.preset
@options.overrides
@options.weights
@options.device
@options.videos
@options.limit
@options.data_root
@options.allow_partial
@options.threads
@_out
@options.as_json
def precision(
    plugin: str,
    bench: str,
    precisions: tuple[str, ...],
    task: str | None,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    videos: tuple[str, ...],
    limit: int | None,
    data_root: Path | None,
    allow_partial: bool,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Run a benchmark at each precision: scores, their paired difference, and the share of pixels that changed."""
    _refuse_unwritable(out)
    catalog = Catalog.load()
    catalog.methods.get(plugin)
    catalog.benchmarks.get(bench)
    wanted = _precisions(precisions or ("fp32", "bf16"))
    from harness.benching.precision import bench_precision
    from harness.cli.bench_tables import describe_precision
    from harness.cli.progress import progress_for
    from harness.machine import resolve_device
    from harness.planning.request import Request

    options.use_threads(threads)
    request = Request(
        plugin=plugin,
        bench=bench,
        task=task,
        preset=preset,
        overrides=overrides,
        weights=weights,
        device=resolve_device(device),
        videos=videos,
        limit=limit,
        data_root=data_root,
        allow_partial=allow_partial,
        threads=threads,
    )
    folder = runs_folder() / "precision" / request.bench

    def watch(name: str, plan: Any) -> Any:
        say(f"{plan.method.name} on {plan.benchmark.name}, {name}", err=True)
        return progress_for(plan)

    report = bench_precision(request, wanted, folder, catalog, watch)
    _finish(report, describe_precision, out, as_json=as_json)
    return max(row.exit_code for row in report.rows)


def _precisions(names: tuple[str, ...]) -> list[Any]:
    unknown = [name for name in names if name not in options.PRECISIONS]
    if unknown or len(set(names)) < 2 or len(set(names)) < len(names):
        found, known = ",".join(names), ", ".join(options.PRECISIONS)
        raise UsageError(f"--precisions {found!r}: expected two or three different ones of {known}")
    return list(names)


def _refuse_unwritable(out: Path | None) -> None:
    if out is not None:
        refuse_unwritable(out.parent, "--out")


def _finish(report: Any, describe: Callable[[Any], str], out: Path | None, *, as_json: bool) -> None:
    """Print a report, and write it where that is asked for."""
    text = report.model_dump_json(by_alias=True, indent=2) + "\n"
    if out is not None:
        write_atomically(out, text.encode())
        say(f"written {out}", err=True)
    say(text if as_json else describe(report), nl=not as_json)
