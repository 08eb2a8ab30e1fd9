"""``harness reproduce``: a paper's table as a grid of runs, measured beside published."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say, table
from harness.planning.places import runs_folder


@click.command("reproduce")
@click.argument("experiment")
@click.option("--bench", default="", metavar="NAME", help="Run every cell on this benchmark; default: the paper's.")
@options.data_root
@options.allow_partial
@options.videos
@options.limit
@click.option(
    "--weights", multiple=True, metavar="ROW=FILE", help="The checkpoint of a row, or a name on the card, or none."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a constant of every cell.")
@click.option(
    "--train",
    is_flag=True,
    help="Make the weights of rows that say how they are trained; the same command goes on after a kill.",
)
@click.option(
    "--train-root", type=options.PATH, metavar="DIR", help="Where what is learnt from lies; default: --data-root."
)
@options.names("--rows", "Only these rows.")
@options.names("--columns", "Only these columns.")
@click.option(
    "--seeds", type=options.NUMBER, metavar="N", help="Every cell with seeds 0 to N - 1; default: as the file says."
)
@options.device
@options.precision
@options.threads
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="The folder; default: runs/experiments/EXPERIMENT, below HARNESS_RUNS where that is set.",
)
@options.as_json
def command(
    experiment: str,
    bench: str,
    data_root: Path | None,
    allow_partial: bool,
    videos: tuple[str, ...],
    limit: int | None,
    weights: tuple[str, ...],
    overrides: tuple[str, ...],
    train: bool,
    train_root: Path | None,
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    seeds: int | None,
    device: str,
    precision: Any,
    threads: int | None,
    out: Path | None,
    as_json: bool,
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
    from harness.experiments.table import tabulate
    from harness.files import write_atomically
    from harness.machine import resolve_device

    options.use_threads(threads)
    choice = Choice(
        out=out or runs_folder() / "experiments" / path.stem,
        bench=bench,
        videos=videos,
        weights=dict(_row_and_file(pair) for pair in weights),
        rows=rows,
        columns=columns,
        device=resolve_device(device),
        threads=threads,
        data_root=data_root,
        allow_partial=allow_partial,
        limit=limit,
        overrides=overrides,
        seeds=seeds,
        precision=precision,
    )
    say(f"folder {choice.out}", err=True)
    learn = _Learn(choice, train_root or data_root, catalog) if train else None
    outcome = run_grid(path.stem, read, choice, catalog, _watch, learn=learn)
    page = tabulate(outcome, choice)
    write_atomically(choice.out / "table.md", page.as_markdown().encode())
    if as_json:
        say(outcome.model_dump_json(by_alias=True, indent=2))
    else:
        say("\n".join([page.title, "", table(page.rows, page.heads), "", *page.lines]))
    say(f"written {choice.out / 'results.json'} and table.md", err=True)
    return outcome.exit_code


@dataclass(frozen=True)
class _Learn:
    """Trains a row as ``harness train`` would, on the device of the cells."""

    choice: Any
    root: Path | None
    catalog: Catalog

    def __call__(self, lesson: Any) -> Path:
        from harness.cli.train_progress import watch_training
        from harness.training.loop import train
        from harness.training.plan import TrainingRequest, resolve_training
        from harness.training.processes import Processes

        request = TrainingRequest(
            plugin=lesson.plugin,
            data=lesson.data,
            data_root=self.root,
            allow_partial=self.choice.allow_partial,
            preset=lesson.preset,
            overrides=lesson.overrides,
            init=lesson.init,
            seed=lesson.seed,
            device=self.choice.device,
            precision=self.choice.precision,
            validate_root=self.choice.data_root,
        )
        plan = resolve_training(request, self.catalog)
        say(f"{lesson.row}: training {lesson.plugin} in {lesson.folder}", err=True)
        with watch_training(plan) as watch:
            trained = train(plan, lesson.folder, self.catalog, Processes(self.choice.device), watch=watch)
        is_chosen = plan.chooses and trained.folder.best.exists()
        return trained.folder.best if is_chosen else trained.folder.last


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
