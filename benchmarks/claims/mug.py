"""What the paper claims of MuG, measured: python -m benchmarks.claims.mug --train-data DAVIS --data DAVIS --out DIR.

A training of preset ``small`` (frames alone); then every row is run on a benchmark and compared with its base, video by
video. Training and runs lie in DIR and are not done again: killed, the same command goes on. Truth is read when masks
are scored, and chooses nothing. What each granularity adds, over seeds, is ``benchmarks.claims.mug_granularities``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from scipy import stats

import harness

GRANULARITIES = ("frame", "short", "long", "video")
Scores = dict[str, float]  # J of each video


@dataclass(frozen=True)
class Training:
    """One ``harness train``; ``seed`` is that of the data's order and of fresh weights."""

    preset: str
    seed: int
    rounds: int

    @property
    def folder(self) -> str:
        """Where it lies below the output folder."""
        return f"train/{self.preset}-{self.rounds}-seed-{self.seed}"


@dataclass(frozen=True)
class Row:
    """One run: a card, its preset, and the weights of a training, as a file in its folder."""

    name: str
    card: str
    preset: str = ""
    training: Training | None = None
    file: str = "last.safetensors"
    base: str = ""
    """The row it is compared with; the same seed's, where that one has seeds."""


def list_rows() -> list[Row]:
    """The rows of four claims, in their order; one round is the first of two."""
    full = Training("small", 0, 2)
    first = "stage-round-1.safetensors"
    return [
        Row("centre prior", "centre-prior"),
        Row("what stands out", "mug-zvos", "maps-boundary"),
        Row("maps alone", "mug-zvos", "maps"),
        Row("full", "mug-zvos", "small", full, base="maps alone"),
        Row("full and what stands out", "mug-zvos", "small", full, base="what stands out"),
        Row("full and the centre prior", "mug-zvos", "small", full, base="centre prior"),
        Row("round 1, without CRF", "mug-zvos", "small-no-crf", full, first),
        Row("round 2, without CRF", "mug-zvos", "small-no-crf", full, base="round 1, without CRF"),
        Row("with CRF", "mug-zvos", "small-crf", full, base="round 2, without CRF"),
        Row("single frames", "mug-zvos", "frames", full, base="full"),
        Row("one-shot, untrained", "mug", "untrained"),
        Row("one-shot, trained", "mug", "small", full, base="one-shot, untrained"),
    ]


@click.command()
@click.option("--train-data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--train-bench", default="davis16-train", show_default=True)
@click.option("--train-videos", default="", help="Names, by commas; all where none is given.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--bench", default="davis16-val", show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--set", "constants", multiple=True, help="Constants of every training, as harness train takes them.")
def main(
    train_data: Path,
    train_bench: str,
    train_videos: str,
    data: Path,
    bench: str,
    out: Path,
    constants: tuple[str, ...],
) -> None:
    """Train and run what is missing, row by row, then print the table."""
    asked = ["--data", train_bench, "--data-root", str(train_data), "--allow-partial", "--threads", "1"]
    asked += ["--videos", train_videos] if train_videos else []
    asked += [part for constant in constants for part in ("--set", constant)]
    scores: dict[str, Scores] = {}
    rows = list_rows()
    for row in rows:
        if row.training is not None:
            train(row.training, asked, out / row.training.folder)
        scores[row.name] = measure(row, bench, data, out)
        click.echo(describe(row, scores), err=True)
    click.echo("\n".join(table(rows, scores)))


def train(training: Training, asked: Sequence[str], folder: Path) -> None:
    """Go through a training, or on with it: a finished one ends at once."""
    command = [sys.executable, "-m", "harness", "train", "--plugin", "mug-zvos", "--preset", training.preset, *asked]
    command += ["--set", f"rounds={training.rounds}", "--seed", str(training.seed), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def measure(row: Row, bench: str, data: Path, out: Path) -> Scores:
    """J of each video, by a run that is reused where it is there."""
    weights = "none" if row.card == "mug" or row.preset.startswith("maps") else None
    if row.training is not None:
        weights = str(out / row.training.folder / row.file)
    outcome = harness.run(
        row.card,
        bench,
        task="one-shot" if row.card == "mug" else "object-zvos",
        preset=row.preset,
        weights=weights,
        data_root=data,
        allow_partial=True,
        threads=1,
        out=out / "runs" / row.name.replace(" ", "-").replace(",", ""),
    )
    outcome.raise_failures()
    return {
        video.video: float(np.mean([figures["J-mean"] for figures in video.objects.values()]))
        for video in outcome.record.videos
    }


def compare(head: Scores, base: Scores) -> tuple[float, float, float]:
    """The mean difference over videos, and its 95 % t interval; infinite with one video."""
    differences = np.array([head[video] - base[video] for video in sorted(base)])
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, -np.inf, np.inf
    reach = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return mean, mean - reach, mean + reach


def judge(low: float, high: float) -> str:
    """In words: only an interval without 0 shows something."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def describe(row: Row, scores: dict[str, Scores]) -> str:
    """One line of the table."""
    value = f"{np.mean(list(scores[row.name].values())):.3f}"
    if not row.base:
        return f"| {row.name} | {value} | | | |"
    mean, low, high = compare(scores[row.name], scores[row.base])
    return f"| {row.name} | {value} | {row.base} | {mean:+.3f} [{low:+.3f}, {high:+.3f}] | {judge(low, high)} |"


def table(rows: Sequence[Row], scores: dict[str, Scores]) -> list[str]:
    """Every row with its J and, where it has a base, the paired difference."""
    head = ["| row | J | against | difference, 95 % over videos | |", "| --- | --- | --- | --- | --- |"]
    return [*head, *(describe(row, scores) for row in rows)]


if __name__ == "__main__":
    main()
