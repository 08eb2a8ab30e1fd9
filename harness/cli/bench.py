"""``harness bench``: kernels against roofline and reference, methods by size of video, the effect of precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say
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
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="The method; default: all but replays.")
@click.option("--height", type=options.SIDE, metavar="N", default=480, show_default=True, help="Rows of the clip.")
@click.option("--width", type=options.SIDE, metavar="N", default=854, show_default=True, help="Columns of the clip.")
@click.option("--frames", type=options.NUMBER, metavar="N", default=30, show_default=True, help="Frames of the clip.")
@click.option("--objects", type=options.NUMBER, metavar="N", default=1, show_default=True, help="Objects in the clip.")
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
    frames: int,
    objects: int,
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
    """Time whole methods on a generated clip of a given size: frames a second, first frame, stages, memory."""
    catalog = Catalog.load()
    chosen = [catalog.methods.get(name) for name in plugins] or [card for card in catalog.methods if not card.replays]
    if len(chosen) != 1 and (preset or overrides or weights):
        raise UsageError("--preset, --set and --weights are those of one method", hint="name it with --plugin")
    from harness.benching.clip import Clip
    from harness.benching.methods import bench_methods
    from harness.cli.bench_tables import describe_methods
    from harness.machine import resolve_device
    from harness.planning.request import Request

    clip = Clip(height, width, frames, objects)
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
    report = bench_methods(requests, clip, catalog, lambda line: say(line, err=True))
    _finish(report, describe_methods, out, as_json=as_json)
    return max(row.exit_code for row in report.rows)


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


def _finish(report: Any, describe: Callable[[Any], str], out: Path | None, *, as_json: bool) -> None:
    """Print a report, and write it where that is asked for."""
    from harness.files import write_atomically

    text = report.model_dump_json(by_alias=True, indent=2) + "\n"
    if out is not None:
        write_atomically(out, text.encode())
        say(f"written {out}", err=True)
    say(text if as_json else describe(report), nl=not as_json)
