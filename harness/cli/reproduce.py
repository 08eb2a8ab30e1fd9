"""``harness reproduce``: a paper's table as a grid of runs, measured beside published."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli.terminal import say, table


@click.command("reproduce")
@click.argument("experiment")
@click.option("--bench", default="", help="Run every cell on this benchmark; default: the paper's.")
@click.option("--data-root", type=click.Path(path_type=Path), envvar="HARNESS_DATA", help="Where the dataset lies.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos.")
@click.option("--videos", default="", help="Only these videos, by name, comma-separated.")
@click.option("--limit", type=int, help="Only the first N videos.")
@click.option("--weights", multiple=True, metavar="ROW=FILE", help="Checkpoint of a row; may be repeated.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a constant of every cell; repeat.")
@click.option("--rows", default="", help="Only these rows, by name, comma-separated.")
@click.option("--columns", default="", help="Only these columns, by name, comma-separated.")
@click.option("--seeds", type=int, help="Run every cell with seeds 0 to N - 1; default: as the file says.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:N.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option("--threads", type=int, help="CPU threads for torch; default: torch's own choice.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: runs/experiments/EXPERIMENT.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on standard output.")
def command(
    experiment: str,
    bench: str,
    videos: str,
    weights: tuple[str, ...],
    rows: str,
    columns: str,
    device: str,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Run EXPERIMENT, a paper's table (harness ls experiments, or a TOML file), and show measured beside published.

    Every cell is an ordinary run: after a kill or Ctrl-C the same command goes on. A cell that lacks weights or fails
    says so; the others go on.
    """
    from harness.experiments.format import find, read_experiment

    path = find(experiment)
    read = read_experiment(path)
    catalog = Catalog.load()
    if bench:
        catalog.benchmarks.get(bench)  # a wrong name is answered before torch is imported
    from harness.experiments.grid import Choice, run_grid
    from harness.experiments.table import told
    from harness.files import write_atomically
    from harness.machine import resolve_device

    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))
    choice = Choice(
        out=out or Path(os.environ.get("HARNESS_RUNS", "runs")) / "experiments" / path.stem,
        bench=bench,
        videos=_names(videos),
        weights=dict(_row_and_file(pair) for pair in weights),
        rows=_names(rows),
        columns=_names(columns),
        device=resolve_device(device),
        threads=threads,
        **asked,
    )
    say(f"folder {choice.out}", err=True)
    outcome = run_grid(path.stem, read, choice, catalog, _watch)
    page = told(outcome, choice)
    write_atomically(choice.out / "table.md", page.as_markdown().encode())
    if as_json:
        say(outcome.model_dump_json(by_alias=True, indent=2))
    else:
        say("\n".join([page.title, "", table(page.rows, page.heads), "", *page.lines]))
    say(f"written {choice.out / 'results.json'} and table.md", err=True)
    return outcome.exit_code


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _row_and_file(pair: str) -> tuple[str, str]:
    row, equals, file = pair.partition("=")
    if not equals or not row.strip() or not file:
        raise UsageError(
            f"--weights {pair!r} is not of the form ROW=FILE", hint="--weights '9 frames=runs/best.safetensors'"
        )
    return row.strip(), file


def _watch(cell: str, plan: Any) -> AbstractContextManager[Any]:
    from harness.cli.progress import progress_for

    say(f"{cell}: {plan.method.name} on {plan.benchmark.name}", err=True)
    return progress_for(plan)
