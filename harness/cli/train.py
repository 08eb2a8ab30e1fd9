"""``harness train``: a method learns, with checkpoints, a log, curves and validation on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.api.errors import UsageError
from harness.api.oddities import describe_oddities
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say, table
from harness.planning.places import runs_folder


@click.command("train")
@click.option("--plugin", required=True, metavar="NAME", help="The method; one whose card declares a training.")
@options.names(
    "--data",
    "What to learn from: a benchmark (davis17-train, mini-train, ...), unlabelled or still-images; several are put "
    "together.",
    required=True,
)
@options.data_root
@options.allow_partial
@options.videos
@options.preset
@options.overrides
@click.option(
    "--iterations", type=options.NUMBER, metavar="N", help="Steps of the whole training: short for --set iterations=N."
)
@click.option(
    "--init",
    "inits",
    multiple=True,
    metavar="FILE",
    help="Weights to begin from, or STAGE=FILE for those that a later stage begins from; default: random, made of "
    "the seed.",
)
@click.option(
    "--stop-after", default="", metavar="STAGE", help="Stop when this stage has ended, to go on another time."
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="cpu or cuda:N; under torchrun cuda, one GPU a process.",
)
@options.precision
@options.seed
@click.option(
    "--workers",
    type=options.HELPERS,
    metavar="N",
    help="Processes that make batches ahead; default: 0 on a CPU, 4 for a GPU.",
)
@options.threads
@click.option(
    "--validate",
    metavar="BENCH",
    help="Benchmark scored on the way, or none; default: the one the card names, where it may choose weights.",
)
@click.option(
    "--validate-every",
    type=options.NUMBER,
    metavar="N",
    help="Iterations between validations; default: a tenth of all.",
)
@click.option(
    "--validate-root", type=options.FOLDER, metavar="DIR", help="Where that benchmark lies; default: --data-root."
)
@click.option("--validate-limit", type=options.NUMBER, metavar="N", help="Validate on its first N videos only.")
@click.option(
    "--checkpoint-every",
    type=options.NUMBER,
    default=200,
    show_default=True,
    metavar="N",
    help="Iterations between checkpoints.",
)
@click.option(
    "--log-every",
    type=options.NUMBER,
    default=20,
    show_default=True,
    metavar="N",
    help="Iterations between lines of the log.",
)
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="The training's folder; default: runs/train/PLUGIN/DATA-KEY, below HARNESS_RUNS where that is set.",
)
@options.resume
@options.as_json
def command(
    plugin: str,
    data: tuple[str, ...],
    data_root: Path | None,
    allow_partial: bool,
    videos: tuple[str, ...],
    preset: str,
    overrides: tuple[str, ...],
    iterations: int | None,
    inits: tuple[str, ...],
    stop_after: str,
    device: str,
    precision: Any,
    seed: int,
    workers: int | None,
    threads: int | None,
    validate: str | None,
    validate_every: int | None,
    validate_root: Path | None,
    validate_limit: int | None,
    checkpoint_every: int,
    log_every: int,
    out: Path | None,
    resume: str,
    as_json: bool,
) -> int:
    """Train a method that can be trained: weights, log, curve.

    After a kill or Ctrl-C the same command goes on where it was. Several GPUs: torchrun --nproc-per-node N -m harness
    train ... --device cuda.
    """
    catalog = Catalog.load()
    method = catalog.methods.get(plugin)  # wrong names are answered before torch is imported
    for name in data:
        catalog.benchmarks.get(name)
    from harness.training.memory import choose_preset
    from harness.training.plan import TrainingRequest, resolve_training
    from harness.training.processes import join

    options.use_threads(threads)
    init, stage_init = _split(inits)
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if device.startswith("cuda") else 0
    with join(device) as processes:
        request = TrainingRequest(
            plugin=plugin,
            data=data,
            data_root=data_root,
            allow_partial=allow_partial,
            videos=videos,
            preset=choose_preset(method.training, preset, device),
            overrides=overrides,
            iterations=iterations,
            init=init,
            stage_init=stage_init,
            stop_after=stop_after,
            device=processes.device,
            precision=precision,
            seed=seed,
            workers=workers,
            validate=validate,
            validate_every=validate_every,
            validate_root=validate_root,
            validate_limit=validate_limit,
            checkpoint_every=checkpoint_every,
            log_every=log_every,
        )
        plan = resolve_training(request, catalog, world=processes.world)
        folder = out or _default_folder(plan)
        if processes.is_first and plan.request.preset != preset:
            say(_tell_preset(plan), err=True)
        odd = [(sample.name, oddity) for sample in plan.samples for oddity in sample.oddities]
        for note in describe_oddities(odd) if processes.is_first else []:
            say(note, err=True)
        return _train(plan, folder, catalog, processes, fresh=resume == "never", as_json=as_json)


def _tell_preset(plan: Any) -> str:
    """That a CPU trains by a preset that was not asked for, and what it has otherwise."""
    default = next((name for name, config in plan.training.presets.items() if config == plan.training.config()), "")
    other = f"; --preset {default} is what a GPU has without one" if default else ""
    return f"preset {plan.request.preset}, {plan.method.name}'s for a CPU{other}"


def _split(inits: Sequence[str]) -> tuple[Path | None, dict[str, Path]]:
    """The file for the first stage, and those for stages that are named; what is a file is no STAGE=FILE."""
    plain = [text for text in inits if "=" not in text or Path(text).is_file()]
    named = [text.partition("=") for text in inits if text not in plain]
    stages = [stage for stage, _, _ in named]
    if len(plain) > 1 or len(set(stages)) < len(stages):
        raise UsageError(f"--init {' --init '.join(inits)} names two files for one stage")
    return Path(plain[0]).expanduser() if plain else None, {s: Path(file).expanduser() for s, _, file in named}


def _default_folder(plan: Any) -> Path:
    name = "-".join(part for part in (plan.data, plan.request.preset, plan.key[:8]) if part)
    return runs_folder() / "train" / plan.method.name / name


def _train(plan: Any, folder: Path, catalog: Catalog, processes: Any, *, fresh: bool, as_json: bool) -> int:
    from harness.cli.train_progress import watch_training
    from harness.machine import free_mib
    from harness.training.loop import Watch, train
    from harness.training.memory import describe_memory, estimate_memory

    if not processes.is_first:
        train(plan, folder, catalog, processes, fresh=fresh, watch=Watch())
        return 0
    say(f"training folder {folder}: {len(plan.samples)} videos of {plan.data}", err=True)
    needs, free = estimate_memory(plan), free_mib(processes.device)
    for line in describe_memory(plan, needs, free):
        say(line, err=True)
    with watch_training(plan) as watch:
        trained = train(plan, folder, catalog, processes, fresh=fresh, watch=watch)
    memory = {"step": needs.step, "frames": needs.frames, "process": needs.process, "free": free}
    say(json.dumps(_as_json(trained) | {"memory_mib": memory}, indent=2) if as_json else _as_table(trained))
    return 0


def _as_json(trained: Any) -> dict[str, Any]:
    description = json.loads(trained.folder.description.read_text(encoding="utf-8"))
    last = {kind: line for line in trained.lines for kind in [line["kind"]]}
    return description | {
        "iterations": trained.iterations,
        "stage": trained.state.stage,
        "best": _best(trained.state),
        "last": {"train": last.get("train"), "validation": last.get("validation")},
        "files": {name: str(path) for name, path in _files(trained).items()},
    }


def _best(state: Any) -> dict[str, Any] | None:
    if state.best is None:
        return None
    found = {"score": state.best, "iteration": state.best_iteration}
    return {"stage": state.best_stage, **found} if state.best_stage else found


def _files(trained: Any) -> dict[str, Path]:
    folder = trained.folder
    named = {"last": folder.last, "best": folder.best, "log": folder.log, "curve": folder.curve}
    named |= {path.stem: path for path in sorted(folder.path.glob("stage-*.safetensors"))}
    return {name: path for name, path in named.items() if path.exists()}


def _as_table(trained: Any) -> str:
    from harness.training.log import by_stage

    rows: list[list[object]] = [["iterations", trained.iterations]]
    for stage, lines in by_stage(trained.lines).items():
        rows += [[f"{stage}: {what}" if stage else what, value] for what, value in _rows_of(lines)]
    if trained.best is not None:
        where = f"in {trained.state.best_stage}, " if trained.state.best_stage else ""
        rows.append([f"best, {where}at iteration {trained.best_iteration}", _figure(trained.best)])
    rows += [[name, path] for name, path in _files(trained).items()]
    return table(rows, ["what", "value"])


def _rows_of(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The losses and the validations of one stage, first and last."""
    train = [line for line in lines if line["kind"] == "train"]
    scored = [line for line in lines if line["kind"] == "validation"]
    rows = []
    for name in train[-1]["losses"] if train else ():
        first, last = (line["losses"].get(name) for line in (train[0], train[-1]))
        rows.append((f"{name}, first and last line", f"{_figure(first)} -> {_figure(last)}"))
    if scored:
        figure = f"{scored[0]['metric']} on {scored[0]['benchmark']}"
        figure += " (chooses nothing)" if "chooses" in scored[0] else ""
        rows.append((f"{figure}, at iteration {scored[0]['iteration']}", _figure(scored[0]["score"])))
        rows.append((f"{figure}, at iteration {scored[-1]['iteration']}", _figure(scored[-1]["score"])))
    return rows


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
