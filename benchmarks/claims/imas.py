"""Table 4 and Figure 5 over many seeds: python -m benchmarks.claims.imas --data DAVIS --out DIR.

Preset ``frozen``: flow and the backbone's maps are computed once, then the heads of each pathway, number of masks and
seed learn for a minute. Truth is read after a training, and chooses nothing. A run that is in DIR/runs.jsonl is not
done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from harness import Sample, TrainingContext
from harness.api.providers import parse_spec
from harness.api.video import without_truth
from harness.catalog import Catalog
from harness.tuning.measure import overlap
from harness_imas.network import Maps
from harness_imas.training.config import FROZEN, TrainingConfig
from harness_imas.training.frozen import WholePairs
from harness_imas.training.learner import SynergyLearner
from harness_imas.training.motion import Pathway
from harness_imas.training.stages import build_motion, prepare_motion

PATHWAYS: tuple[Pathway, ...] = ("none", "robust", "scaling", "affine", "residual")
"""The rows of Table 4."""
OTHER_CHANNELS = (2, 3, 5)
"""Beside the 4 of every row of Table 4; with pathway ``residual``."""


@dataclass(frozen=True)
class Row:
    """What is trained: one row of the table."""

    pathway: Pathway
    channels: int

    def config(self, iterations: int) -> TrainingConfig:
        """The preset ``frozen`` with the row's pathway and masks."""
        return replace(FROZEN, pathway=self.pathway, channels=self.channels, iterations=iterations)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--bench", default="davis16-val", show_default=True, help="What is learnt from, and measured on.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--seeds", type=int, default=5, show_default=True)
@click.option("--iterations", type=int, default=FROZEN.iterations, show_default=True)
def main(data: Path, bench: str, out: Path, seeds: int, iterations: int) -> None:
    """Train every row with every seed, seed by seed, then print what came of it."""
    torch.set_num_threads(1)
    samples = list(Catalog.load().benchmarks.get(bench).open(data, True))
    rows = [Row(pathway, 4) for pathway in PATHWAYS] + [Row("residual", count) for count in OTHER_CHANNELS]
    (out / "artefacts").mkdir(parents=True, exist_ok=True)
    log = out / "runs.jsonl"
    runs = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for seed in range(seeds):
        for row in rows:
            if not any(
                (run["pathway"], run["channels"], run["seed"]) == (row.pathway, row.channels, seed) for run in runs
            ):
                runs.append(one(row, seed, iterations, samples, out / "artefacts"))
                with log.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
                click.echo(describe(runs[-1]), err=True)
    click.echo("\n".join(table(runs)))


def one(row: Row, seed: int, iterations: int, samples: Sequence[Sample], artefacts: Path) -> dict[str, Any]:
    """Train the heads, ask the alignment, and then the truth of every frame."""
    context = TrainingContext(
        samples=[without_truth(sample) for sample in samples],
        config=row.config(iterations),
        device="cpu",
        precision="fp32",
        weights=None,
        seed=seed,
        stage="motion",
        artefacts=artefacts,
        providers={"flow": parse_spec("flow", "dis")},
    )
    prepare_motion(context, lambda done, total: None)
    learner = build_motion(context)
    losses = list(steps(learner))
    alignment = learner.align()
    return {
        "pathway": row.pathway,
        "channels": row.channels,
        "seed": seed,
        "iterations": iterations,
        "loss": float(np.mean(losses[-100:])),
        "alignment": list(alignment.scores),
        "J": [measure(learner, video, sample) for video, sample in enumerate(samples)],
    }


def steps(learner: SynergyLearner) -> Iterator[float]:
    """The loop of ``harness train`` without what it keeps."""
    optimizer = learner.optimizer()
    for iteration in range(learner.iterations):
        for group in optimizer.param_groups:
            group["lr"] = learner.learning_rate(iteration)
        torch.manual_seed(iteration)
        loss, _ = learner.loss(learner.batch(iteration), iteration)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def measure(learner: SynergyLearner, video: int, sample: Sample) -> list[float]:
    """The J of each channel where it is the largest, over all frames with truth but the first and the last."""
    learner.segmenter.eval()
    assert isinstance(learner.source, WholePairs)
    assert sample.read_truth is not None
    low, high = learner.source.maps.low[video], learner.source.maps.high[video]
    found = []
    for t in range(1, sample.length - 1):
        truth = sample.read_truth(t)
        if truth is not None:
            maps = Maps(*(torch.from_numpy(np.array(each[t : t + 1])).float() for each in (low, high)))
            found.append(overlap(functional.softmax(learner.segmenter.logits(maps)[0], 0), truth))
    return [float(value) for value in np.mean(found, axis=0)]


def describe(run: dict[str, Any]) -> str:
    """One line a run."""
    means = np.mean(run["J"], axis=0)
    return (
        f"{run['pathway']}, {run['channels']} masks, seed {run['seed']}: loss {run['loss']:.3f}, "
        f"J {means.max():.3f} in one channel, {np.max(run['J'], axis=1).mean():.3f} in the best of each video; "
        f"alignment names {int(np.argmax(run['alignment']))}, truth {int(means.argmax())}"
    )


def table(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over seeds, the difference to pathway none, and how far the alignment agrees."""
    lines = [
        "| pathway | masks | seeds | J, one channel | J, channel that the alignment names | J, best channel a video | "
        "one channel - none |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    plain = {run["seed"]: best_mean(run) for run in runs if (run["pathway"], run["channels"]) == ("none", 4)}
    for pathway, channels in dict.fromkeys((run["pathway"], run["channels"]) for run in runs):
        mine = [run for run in runs if (run["pathway"], run["channels"]) == (pathway, channels)]
        gains = [best_mean(run) - plain[run["seed"]] for run in mine if run["seed"] in plain]
        columns = (
            [best_mean(run) for run in mine],
            [float(np.mean(run["J"], axis=0)[int(np.argmax(run["alignment"]))]) for run in mine],
            [float(np.max(run["J"], axis=1).mean()) for run in mine],
            gains,
        )
        figures = " | ".join(spread(values) for values in columns)
        lines.append(f"| {pathway} | {channels} | {len(mine)} | {figures} |")
    agreed = [int(np.argmax(run["alignment"])) == int(np.mean(run["J"], axis=0).argmax()) for run in runs]
    scores = [score for run in runs for score in run["alignment"]]
    truths = [float(value) for run in runs for value in np.mean(run["J"], axis=0)]
    lines += [
        "",
        f"The alignment names truth's channel in {sum(agreed)} of {len(agreed)} runs; Spearman's rho of alignment and "
        f"J over {len(scores)} channels: {spearmanr(scores, truths).statistic:.3f}.",
    ]
    return lines


def best_mean(run: dict[str, Any]) -> float:
    """J with the one channel that is best over all videos."""
    return float(np.mean(run["J"], axis=0).max())


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


if __name__ == "__main__":
    main()
