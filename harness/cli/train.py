"""``harness train``: a method learns, with checkpoints, a log, curves and validation on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli.terminal import say, table

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("train")
@click.option("--plugin", required=True, help="Method to train (harness ls plugins).")
@click.option("--data", required=True, metavar="A,B", help="What to learn from (harness ls benches).")
@click.option("--data-root", type=_FOLDER, envvar="HARNESS_DATA", help="Where the data lie.")
@click.option("--allow-partial", is_flag=True, help="Accept a tree that lacks videos.")
@click.option("--videos", default="", help="Only these videos, by name, comma-separated.")
@click.option("--preset", default="", help="Named config of the training; default: its own default.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one constant; may be repeated.")
@click.option("--iterations", type=int, help="Steps of the whole training: short for --set iterations=N.")
@click.option("--init", type=click.Path(path_type=Path), help="Weights file to begin from; default: random.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:N; under torchrun: cuda.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, help="Processes that make batches; default: 0 on a CPU, 4 for a GPU.")
@click.option("--threads", type=int, help="CPU threads for torch; default: torch's own choice.")
@click.option("--validate", metavar="BENCH", help="Benchmark scored on the way, or none; default: the card's.")
@click.option("--validate-every", type=int, metavar="N", help="Iterations between validations; default: a tenth.")
@click.option("--validate-root", type=_FOLDER, help="Where that benchmark lies; default: --data-root.")
@click.option("--validate-limit", type=int, metavar="N", help="Validate on its first N videos only.")
@click.option("--checkpoint-every", type=int, default=200, show_default=True, help="Iterations between checkpoints.")
@click.option("--log-every", type=int, default=20, show_default=True, help="Iterations between lines of the log.")
@click.option("--out", type=_FOLDER, help="Training's folder; default: runs/train/PLUGIN/DATA-KEY.")
@click.option("--resume", type=click.Choice(["auto", "never"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what came out as JSON on standard output.")
def command(
    data: str,
    videos: str,
    device: str,
    workers: int | None,
    threads: int | None,
    out: Path | None,
    resume: str,
    as_json: bool,
    **asked: Any,
) -> int:
    """Train a method that can be trained: weights, log, curve.

    After a kill or Ctrl-C the same command goes on where it was. Several GPUs: torchrun --nproc-per-node N -m harness
    train ... --device cuda.
    """
    catalog = Catalog.load()
    catalog.methods.get(asked["plugin"])  # wrong names are answered before torch is imported
    for name in _names(data):
        catalog.benchmarks.get(name)
    from harness.training.plan import TrainingRequest, resolve_training
    from harness.training.processes import joined

    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if device.startswith("cuda") else 0
    with joined(device) as processes:
        request = TrainingRequest(
            data=_names(data), videos=_names(videos), device=processes.device, workers=workers, **asked
        )
        plan = resolve_training(request, catalog, world=processes.world)
        folder = out or _default_folder(plan)
        return _train(plan, folder, catalog, processes, fresh=resume == "never", as_json=as_json)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _default_folder(plan: Any) -> Path:
    base = Path(os.environ.get("HARNESS_RUNS", "runs"))
    name = "-".join(part for part in (plan.data, plan.request.preset, plan.key[:8]) if part)
    return base / "train" / plan.method.name / name


def _train(plan: Any, folder: Path, catalog: Catalog, processes: Any, *, fresh: bool, as_json: bool) -> int:
    from harness.cli.train_progress import watching
    from harness.training.loop import Watch, train

    if not processes.is_first:
        train(plan, folder, catalog, processes, fresh=fresh, watch=Watch())
        return 0
    say(f"training folder {folder}: {len(plan.samples)} videos of {plan.data}", err=True)
    with watching(plan) as watch:
        trained = train(plan, folder, catalog, processes, fresh=fresh, watch=watch)
    say(json.dumps(_as_json(trained), indent=2) if as_json else _as_table(trained))
    return 0


def _as_json(trained: Any) -> dict[str, Any]:
    description = json.loads(trained.folder.description.read_text(encoding="utf-8"))
    last = {kind: line for line in trained.lines for kind in [line["kind"]]}
    return description | {
        "iterations": trained.iterations,
        "best": {"score": trained.best, "iteration": trained.best_iteration} if trained.best is not None else None,
        "last": {"train": last.get("train"), "validation": last.get("validation")},
        "files": {name: str(path) for name, path in _files(trained).items()},
    }


def _files(trained: Any) -> dict[str, Path]:
    folder = trained.folder
    named = {"last": folder.last, "best": folder.best, "log": folder.log, "curve": folder.curve}
    return {name: path for name, path in named.items() if path.exists()}


def _as_table(trained: Any) -> str:
    train = [line for line in trained.lines if line["kind"] == "train"]
    scored = [line for line in trained.lines if line["kind"] == "validation"]
    rows: list[list[object]] = [["iterations", trained.iterations]]
    for name in train[-1]["losses"] if train else ():
        first, last = (line["losses"].get(name) for line in (train[0], train[-1]))
        rows.append([f"{name}, first and last line", f"{_figure(first)} -> {_figure(last)}"])
    if scored:
        figure = f"{scored[0]['metric']} on {scored[0]['benchmark']}"
        rows.append([f"{figure}, at iteration {scored[0]['iteration']}", _figure(scored[0]["score"])])
        rows.append([f"{figure}, at iteration {scored[-1]['iteration']}", _figure(scored[-1]["score"])])
    if trained.best is not None:
        rows.append([f"best, at iteration {trained.best_iteration}", _figure(trained.best)])
    rows += [[name, path] for name, path in _files(trained).items()]
    return table(rows, ["what", "value"])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
