"""``harness bench``: kernels against roofline and reference, methods by size of video, the effect of precision."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli.terminal import say


@click.group("bench")
def command() -> None:
    """Bench kernels, whole methods, and the effect of precision."""


_device = click.option("--device", default="cpu", show_default=True, help="cpu or cuda:N.")
_precision = click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
_threads = click.option("--threads", type=int, help="CPU threads for torch; default: torch's own choice.")
_out = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON into this file.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
_task = click.option("--task", help="Task, where there are several; default: the first.")
_preset = click.option("--preset", default="", help="Named config of the method; default: its own default.")
_set = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one constant; repeat.")
_weights = click.option("--weights", help="Checkpoint file, or a name the card lists, or none (random).")


@command.command("kernels")
@click.option("--plugin", "plugins", multiple=True, help="Method whose kernels are benched; repeat; default: all.")
@click.option("--kernel", "names", multiple=True, help="Only the kernel of this name; may be repeated.")
@_device
@_precision
@_threads
@click.option("--rounds", type=click.IntRange(min=1), help="Timed calls of each form; default: two seconds, 3 to 50.")
@click.option("--limit-size", type=click.Choice(["small", "all"]), default="all", show_default=True)
@_out
@_json
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
    catalog = Catalog.load()
    methods = [catalog.methods.get(name) for name in plugins] or list(catalog.methods)
    from harness.benching.kernels import Wish, bench_kernels
    from harness.cli.bench_tables import kernels_told
    from harness.machine import resolve_device

    _set_threads(threads)
    wish = Wish(resolve_device(device), precision, names, limit_size, rounds)
    report = bench_kernels(methods, wish, lambda line: say(line, err=True))
    _finish(report, kernels_told, out, as_json=as_json)
    return 1 if report.failed else 0


@command.command("methods")
@click.option("--plugin", "plugins", multiple=True, help="Method to time; may be repeated; default: all.")
@click.option("--height", type=int, default=480, show_default=True, help="Rows of the clip.")
@click.option("--width", type=int, default=854, show_default=True, help="Columns of the clip.")
@click.option("--frames", type=int, default=30, show_default=True, help="Frames of the clip.")
@click.option("--objects", type=int, default=1, show_default=True, help="Objects in the clip.")
@_task
@_preset
@_set
@_weights
@_device
@_precision
@_threads
@_out
@_json
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
    from harness.cli.bench_tables import methods_told
    from harness.machine import resolve_device
    from harness.planning.request import Request

    clip = Clip(height, width, frames, objects)
    _set_threads(threads)
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
    _finish(report, methods_told, out, as_json=as_json)
    return max(row.exit_code for row in report.rows)


@command.command("precision")
@click.option("--plugin", required=True, help="Method to run (harness ls plugins).")
@click.option("--bench", required=True, help="Benchmark to run it on (harness ls benches).")
@click.option("--precisions", default="fp32,bf16", show_default=True, help="Comma-separated; the first is the base.")
@_task
@_preset
@_set
@_weights
@_device
@click.option("--videos", default="", help="Only these videos, by name, comma-separated.")
@click.option("--limit", type=int, help="Only the first N videos.")
@click.option("--data-root", type=click.Path(path_type=Path), envvar="HARNESS_DATA", help="Where the dataset lies.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos.")
@_threads
@_out
@_json
def precision(
    precisions: str,
    overrides: tuple[str, ...],
    device: str,
    videos: str,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Run a benchmark at each precision: scores, their paired difference, and the share of pixels that changed."""
    catalog = Catalog.load()
    catalog.methods.get(asked["plugin"])
    catalog.benchmarks.get(asked["bench"])
    wanted = _precisions(precisions)
    from harness.benching.precision import bench_precision
    from harness.cli.bench_tables import precision_told
    from harness.cli.progress import progress_for
    from harness.machine import resolve_device
    from harness.planning.request import Request

    _set_threads(threads)
    names = tuple(name.strip() for name in videos.split(",") if name.strip())
    request = Request(videos=names, overrides=overrides, threads=threads, device=resolve_device(device), **asked)
    folder = Path(os.environ.get("HARNESS_RUNS", "runs")) / "precision" / request.bench

    def watch(name: str, plan: Any) -> Any:
        say(f"{plan.method.name} on {plan.benchmark.name}, {name}", err=True)
        return progress_for(plan)

    report = bench_precision(request, wanted, folder, catalog, watch)
    _finish(report, precision_told, out, as_json=as_json)
    return max(row.exit_code for row in report.rows)


def _precisions(text: str) -> list[Any]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = ("fp32", "bf16", "fp16")
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < 2 or len(set(names)) < len(names):
        raise UsageError(f"--precisions {text!r}: expected two or three different ones of {', '.join(known)}")
    return names


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))


def _finish(report: Any, told: Callable[[Any], str], out: Path | None, *, as_json: bool) -> None:
    """Print a report, and write it where that is asked for."""
    from harness.files import write_atomically

    text = report.model_dump_json(by_alias=True, indent=2) + "\n"
    if out is not None:
        write_atomically(out, text.encode())
        say(f"written {out}", err=True)
    say(text if as_json else told(report), nl=not as_json)
