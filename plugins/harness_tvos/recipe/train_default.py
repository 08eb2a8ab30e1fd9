"""Train the shipped r18 weights from scratch: python -m harness_tvos.recipe.train_default --data DIR --out DIR.

``--data`` holds JPEGImages and Annotations of DAVIS 2016 train at 240 lines. Killed at any moment, the same command
goes on from the last checkpoint in ``--out`` and ends with the same weights; log.jsonl there has a line a report.
"""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import cv2
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness_tvos.network import EmbeddingNetwork, build_network
from harness_tvos.recipe.clips import ClipSource
from harness_tvos.recipe.held_out import held_out_similarity
from harness_tvos.training import StepReport, Training, TrainingConfig, soften_logits

HELD_OUT = ("motorbike", "rollerblade", "surf")
SOFT_SCALE = 0.24
DATA = "DAVIS 2016 train at 427x240, 27 of 30 sequences"
LICENCE = "CC BY-NC 4.0 (the licence of the training data): for non-commercial research"


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--iterations", type=int, default=TrainingConfig.iterations, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--set", "settings", multiple=True, help="another constant of TrainingConfig, as name=value")
@click.option("--save-every", type=int, default=50, show_default=True)
@click.option("--check-every", type=int, default=200, show_default=True)
@click.option("--commit", default="", help="the git commit to write into the weights' metadata")
def main(
    data: Path, out: Path, iterations: int, seed: int, settings: tuple[str, ...], save_every: int, check_every: int,
    commit: str,
) -> None:  # fmt: skip
    """Train, report every 25 iterations, check on the held-out videos, write weights.safetensors."""
    cv2.setNumThreads(1)
    changed = {name: json.loads(value) for name, value in (setting.split("=") for setting in settings)}
    config = TrainingConfig(iterations=iterations, seed=seed, **changed)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    source = ClipSource(data, [video for video in _videos(data) if video not in HELD_OUT])
    training = _begin(config)
    if checkpoint.exists():
        training.resume(checkpoint)
    else:
        _log(log, {"copy_first": _check(None, data), "untrained": _check(training, data)})
    reports: list[StepReport] = []
    while training.iteration < config.iterations:
        reports.append(training.step(source.batch(config, training.iteration)))
        done = training.iteration == config.iterations
        if training.iteration % 25 == 0 or done:
            _log(log, _summary(reports))
            reports = []
        if training.iteration % check_every == 0 or done:
            _log(log, {"iteration": training.iteration, "held_out": _check(training, data)})
        if training.iteration % save_every == 0 or done:
            training.save(checkpoint)
            export(training, out / "weights.safetensors", commit)


def _videos(data: Path) -> list[str]:
    return sorted(path.name for path in data.glob("JPEGImages/*/*") if path.is_dir())


def _begin(config: TrainingConfig) -> Training:
    network = build_network("r18", seed=config.seed)
    soften_logits(network, scale=SOFT_SCALE)
    return Training(network.to(memory_format=torch.channels_last), config)  # type: ignore[call-overload]


def _check(training: Training | None, data: Path) -> dict[str, float]:
    scores = held_out_similarity(training.network if training else None, data, list(HELD_OUT))
    return {name: round(value, 4) for name, value in {**scores, "mean": statistics.mean(scores.values())}.items()}


def _summary(reports: list[StepReport]) -> dict[str, int | float]:
    names = ("propagation", "correspondence", "right")
    means = {name: round(statistics.mean(getattr(report, name) for report in reports), 4) for name in names}
    return {"iteration": reports[-1].iteration + 1, **means, "lr": round(reports[-1].lr, 6)}


def _log(path: Path, line: Mapping[str, Any]) -> None:
    now = datetime.datetime.now(datetime.UTC).strftime("%H:%M:%S")
    with path.open("a") as file:
        file.write(json.dumps({"utc": now, **line}) + "\n")


def in_halves(network: EmbeddingNetwork) -> dict[str, Tensor]:
    """The state dict as it is shipped: fp16, whole numbers as they are."""
    state = network.state_dict().items()
    return {name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in state}


def export(training: Training, path: Path, commit: str) -> None:
    """Write the weights with what a reader must know of them."""
    metadata = {
        "architecture": training.network.architecture,
        "trained_on": DATA,
        "licence": LICENCE,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "iterations": str(training.iteration),
        "seed": str(training.config.seed),
    }
    temporary = path.with_suffix(".tmp")
    save_file(in_halves(training.network), temporary, metadata)
    temporary.replace(path)


if __name__ == "__main__":
    main()
