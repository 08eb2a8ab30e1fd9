"""``harness learning-curve``: how a method that learns at test time gets better, and then worse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import one_line, say, table
from harness.planning.places import runs_folder


@click.command("learning-curve")
@options.plugin
@options.bench
@click.option(
    "--every", type=options.NUMBER, default=10, show_default=True, metavar="N", help="Iterations between two points."
)
@click.option(
    "--seeds",
    type=options.NUMBER,
    default=1,
    show_default=True,
    metavar="N",
    help="Learn with seeds 0 to N - 1; mean and spread are shown.",
)
@options.preset
@options.overrides
@options.weights
@options.videos
@options.limit
@options.data_root
@options.allow_partial
@options.device
@options.precision
@options.threads
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="The folder; default: runs/learning-curve/BENCH/PLUGIN-KEY, below HARNESS_RUNS where that is set.",
)
@options.as_json
def command(
    plugin: str,
    bench: str,
    every: int,
    seeds: int,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    videos: tuple[str, ...],
    limit: int | None,
    data_root: Path | None,
    allow_partial: bool,
    device: str,
    precision: Any,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Score a method's masks after every so many of its iterations, against the truth and what it learns from.

    Both files are written anew after each video, so that what is done is kept when it is interrupted.
    """
    catalog = Catalog.load()
    catalog.methods.get(plugin)  # wrong names are answered before torch is imported
    catalog.benchmarks.get(bench)
    from harness.learning_curve.curve import refuse_other_curve
    from harness.learning_curve.measure import learning_curve
    from harness.machine import resolve_device
    from harness.planning.plan import resolve
    from harness.planning.request import Request

    options.use_threads(threads)
    request = Request(
        plugin=plugin,
        bench=bench,
        task="one-shot",
        preset=preset,
        overrides=overrides,
        weights=weights,
        device=resolve_device(device),
        precision=precision,
        videos=videos,
        limit=limit,
        data_root=data_root,
        allow_partial=allow_partial,
        threads=threads,
    )
    plan = resolve(request, catalog)
    folder = out or _default_folder(plan)
    refuse_other_curve(folder, plan)
    say(f"folder {folder}", err=True)
    curve = learning_curve(
        plan,
        catalog,
        every=every,
        seeds=range(seeds),
        on_snapshot=lambda measured: say(f"{measured.video}, seed {measured.seed}: {measured.iteration}", err=True),
        on_video=lambda so_far: _write(so_far, folder),
    )
    say(json.dumps(curve.to_json(), indent=2) if as_json else _describe_curve(curve))
    return 0


def _default_folder(plan: Any) -> Path:
    name = "-".join(part for part in (plan.method.name, plan.request.preset, plan.key[:8]) if part)
    return runs_folder() / "learning-curve" / plan.benchmark.name / name


def _write(curve: Any, folder: Path) -> None:
    from harness.files import write_atomically
    from harness.learning_curve.curve import CURVE
    from harness.learning_curve.picture import draw

    write_atomically(folder / CURVE, json.dumps(curve.to_json(), indent=1).encode())
    draw(folder / "curve.png", curve, _title(curve))
    say(f"{len(curve.videos)} videos done: {folder / 'curve.png'}", err=True)


def _title(curve: Any) -> str:
    plan = curve.plan
    where = f"{len(curve.videos)} videos of {plan.benchmark.name}"
    seeds = f", {len(curve.seeds)} seeds" if len(curve.seeds) > 1 else ""
    return one_line(f"{plan.method.name}, weights {plan.weights.name}, on {where}{seeds}")


def _describe_curve(curve: Any) -> str:
    """The mean over videos and seeds as a table, and where it is best."""
    main, points = curve.main, curve.points()
    columns = [main, *(c.name for c in curve.metric.columns if c.name.endswith("-mean"))]
    has_spread = len(curve.seeds) > 1
    heads = ["iteration", *columns, *(["± over seeds"] if has_spread else []), f"{main} to what is learnt from"]
    rows = [_row(point, columns, main, has_spread=has_spread) for point in points]
    lines = [_title(curve), table(rows, heads, align="right"), *tell_best(points, main)]
    if curve.plan.partial_reason:
        lines.append(f"PARTIAL ({one_line(curve.plan.partial_reason)})")
    return "\n".join(lines)


def tell_best(points: Sequence[Any], main: str) -> list[str]:
    """Where the curve is highest: what is learnt from may be."""
    from harness.learning_curve.curve import best_of

    start, best, learnt = points[0].truth.get(main), best_of(points, main), best_of(points[1:], main)
    if best is None or start is None or learnt is None:
        return []
    words = f"after {learnt.iteration} iterations, {learnt.truth[main] - start:+.4f} {main}"
    if best.iteration:
        return [f"best {words} over what is learnt from (iteration 0)"]
    return [f"best at iteration 0, what is learnt from; best of the later ones {words}"]


def _row(point: Any, columns: Sequence[str], main: str, *, has_spread: bool) -> list[object]:
    spread = [_figure(point.spread.get(main))] if has_spread else []
    return [point.iteration, *(_figure(point.truth.get(c)) for c in columns), *spread, _figure(point.learnt.get(main))]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
