"""``harness ls``: what is installed, which experiments and which runs there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog, Shelf
from harness.cli import options
from harness.cli.terminal import GAP, say, table, terminal_width, widths_of


@click.group("ls")
def command() -> None:
    """List plugins, benches, corruptions, metrics, experiments or runs."""


def _show(rows: list[dict[str, Any]], *, as_json: bool, empty: str, spare: Sequence[str] = ()) -> None:
    """The rows as JSON, or as a table that fits the terminal; ``spare`` columns go first where it is narrow."""
    if as_json:
        say(json.dumps(rows, indent=2))
    elif rows:
        width = terminal_width()
        heads = keep_columns(rows, spare, width)
        say(table([[row[head] for head in heads] for row in rows], heads, width=width))
        gone = [head for head in rows[0] if head not in heads]
        if gone:
            say(f"left out in {width} columns: {', '.join(gone)} (a wider terminal, or --json, has them)", err=True)
    else:
        say(empty)


READABLE = 16
"""A column may be broken down to this many characters before another one is left out for it."""


def keep_columns(rows: list[dict[str, Any]], spare: Sequence[str], width: int | None) -> list[str]:
    """The columns that are shown: all of them, or so many ``spare`` ones fewer that the others can be read."""
    heads = list(rows[0])
    cells = [[str(row[head]) for head in heads] for row in rows]
    natural = dict(zip(heads, widths_of(heads, cells), strict=True))
    for head in spare:
        needed = natural[heads[0]] + sum(min(natural[other], READABLE) for other in heads[1:])
        if width is None or needed + GAP * (len(heads) - 1) <= width:
            break
        heads.remove(head)
    return heads


@command.command("plugins")
@options.as_json
def plugins(as_json: bool) -> None:
    """List methods, and every plugin that is broken or named twice."""
    catalog = Catalog.load()
    rows = [
        {
            "method": method.name,
            "tasks": ", ".join(method.tasks),
            "causality": method.causality,
            "presets": ", ".join(method.presets) or "-",
            "weights": method.default_weights or "-",
            "licence": method.licence or "-",
            "from": _origin(catalog.methods, method.name),
            "summary": method.summary,
        }
        for method in catalog.methods
    ]
    spare = ("from", "causality", "summary", "weights", "licence", "presets")
    _show(rows, as_json=as_json, empty="no methods installed", spare=spare)
    for line in problems(catalog):
        say(line, err=True)


def _origin(shelf: Shelf[Any], name: str) -> str:
    source = shelf.source(name)
    return f"{source.distribution} {source.version}"


def problems(catalog: Catalog) -> list[str]:
    """One line for each broken plugin and each name claimed twice."""
    broken = [f"broken: {item.source}: {item.error}" for item in catalog.broken]
    twice = [
        f"duplicate: {shelf.kind} {name!r} is offered by {' and by '.join(str(source) for source in sources)}"
        for shelf in catalog.shelves().values()
        for name, sources in shelf.duplicates().items()
    ]
    return broken + twice


@command.command("benches")
@options.as_json
def benches(as_json: bool) -> None:
    """List benchmarks with their tasks."""
    catalog = Catalog.load()
    rows = [
        {
            "bench": bench.name,
            "tasks": ", ".join(bench.tasks),
            "videos": bench.videos_expected or "-",
            "scored": "yes" if bench.scored else "no (server)" if bench.homepage else "no (no truth)",
            "data": "--data-root" if bench.needs_root else "embedded",
            "from": _origin(catalog.benchmarks, bench.name),
            "title": bench.title,
        }
        for bench in catalog.benchmarks
    ]
    _show(rows, as_json=as_json, empty="no benchmarks installed", spare=("from", "data", "videos", "title", "scored"))


@command.command("corruptions")
@options.as_json
def corruptions(as_json: bool) -> None:
    """List how a benchmark can be made worse: harness run --corrupt NAME:SEVERITY."""
    from harness.corruptions.table import CORRUPTIONS

    rows = [
        {
            "corruption": found.name,
            "changes": found.changes,
            "severities 1 to 5": ", ".join(f"{value:g}" for value in found.values),
            "unit": found.unit,
            "seed": "yes" if found.is_random else "no",
            "what": found.summary,
            "source": found.source,
        }
        for found in CORRUPTIONS.values()
    ]
    _show(rows, as_json=as_json, empty="no corruptions", spare=("source", "seed", "changes"))


@command.command("metrics")
@options.as_json
def metrics(as_json: bool) -> None:
    """List metrics with the figures they report."""
    catalog = Catalog.load()
    rows = [
        {
            "metric": metric.name,
            "figure": column.name,
            "better": "higher" if column.higher_is_better else "lower",
            "from": _origin(catalog.metrics, metric.name),
            "meaning": column.meaning,
        }
        for metric in catalog.metrics
        for column in metric.columns
    ]
    _show(rows, as_json=as_json, empty="no metrics installed", spare=("from", "better"))


@command.command("experiments")
@options.as_json
def experiments(as_json: bool) -> None:
    """List the papers' tables that harness reproduce can run."""
    from harness.experiments.format import cells_of, list_shipped, read_experiment

    found = {name: read_experiment(path) for name, path in list_shipped().items()}
    rows = [
        {
            "experiment": name.replace("-", "/", 1),
            "method": experiment.method,
            "cells": len(cells_of(experiment)),
            "bench": experiment.benchmark,
            "title": experiment.title,
        }
        for name, experiment in found.items()
    ]
    _show(rows, as_json=as_json, empty="no experiments installed", spare=("cells", "method"))


@command.command("runs")
@click.option(
    "--runs",
    "base",
    type=options.PATH,
    envvar="HARNESS_RUNS",
    default="runs",
    show_default=True,
    metavar="DIR",
    help="Folder to look below.",
)
@options.as_json
def runs(base: Path, as_json: bool) -> None:
    """List the runs below a folder, finished and interrupted."""
    from harness.running.finished import find_runs

    rows = [asdict(run) for run in find_runs(base)]
    _show(rows, as_json=as_json, empty=f"no runs below {base}", spare=("created",))
