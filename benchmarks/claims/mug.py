"""What the paper claims of MuG, measured, in one command.

    python -m benchmarks.claims.mug --train-data DAVIS-train-240p --data DAVIS --out DIR

The shipped weights are run on a benchmark and compared with what each claim names, video by video. Two rows need
weights that are not shipped: round 1 alone, which comes out of the shipped recipe once more (it is said whether that
ends in the shipped weights), and rounds in which a granularity is left out, over seeds
(``benchmarks.claims.mug_granularities``). Trainings and runs lie in DIR and are not done again: killed, the same
command goes on. Truth is read when masks are scored, and chooses nothing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch

import harness
from benchmarks.claims import mug_granularities
from benchmarks.claims.mug_granularities import GRANULARITIES, WHOLE
from benchmarks.claims.paired import Scores, average, compare, j_of_videos, judge, mean_of
from harness.catalog import Catalog
from harness_mug import WEIGHTS
from harness_mug.network import TRAINING, read_weights

PRESET = "small"
FIRST = "stage-round-1.safetensors"
LEFT_OUT = {"frame": 17.8, "short": 6.7, "long": 5.2, "video": 1.6}
"""What the paper loses without each granularity, in points of J."""

LEAST = 0.0005
"""A mean difference of J that is 0 at three places is none, however sure."""


@dataclass(frozen=True)
class Row:
    """One run: a card, its preset, and whose weights it has."""

    name: str
    card: str
    preset: str = ""
    weights: str = "shipped"
    """shipped, none, or a file of the training."""


@dataclass(frozen=True)
class Claim:
    """That a row has more J than its base; ``paper`` says by how much in print, in points."""

    number: int
    row: str
    base: str
    paper: float | None = None


ROWS = (
    Row("centre prior", "centre-prior", weights="none"),
    Row("what stands out", "mug-zvos", "maps-boundary", "none"),
    Row("maps alone", "mug-zvos", "maps", "none"),
    Row("full", "mug-zvos", "small"),
    Row("round 1, without CRF", "mug-zvos", "small-no-crf", FIRST),
    Row("round 2, without CRF", "mug-zvos", "small-no-crf"),
    Row("one-shot, untrained", "mug", "untrained", "none"),
    Row("one-shot, trained", "mug", "small"),
)
CLAIMS = (
    Claim(1, "full", "maps alone", 20.8),
    Claim(1, "full", "what stands out", 20.8),
    Claim(1, "full", "centre prior"),
    Claim(2, "round 2, without CRF", "round 1, without CRF", 7.2),
    *(Claim(3, "one round, all four", f"one round, without {name}", LEFT_OUT[name]) for name in GRANULARITIES),
    Claim(4, "full", "round 2, without CRF", 2.7),
    Claim(5, "one-shot, trained", "one-shot, untrained"),
)


@click.command()
@click.option("--train-data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--held-out", default="elephant,motorbike,train", show_default=True, help="Not learnt from, by commas.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--bench", default="davis16-val", show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--trained",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the training for round 1 lies already; default: it is done in DIR/train.",
)
@click.option("--seeds", type=click.IntRange(min=0), default=3, show_default=True, help="Of claim 3; 0 leaves it out.")
@click.option("--iterations", type=click.IntRange(min=1), default=60, show_default=True, help="Of each of its rounds.")
def main(
    train_data: Path,
    held_out: str,
    data: Path,
    bench: str,
    out: Path,
    trained: Path | None,
    seeds: int,
    iterations: int,
) -> None:
    """Train and run what is missing, row by row, then print the table."""
    apart = held_out.split(",")
    folder = trained or out / "train"
    scores: dict[str, Scores] = {}
    for row in ROWS:
        if row.weights == FIRST and trained is None:
            train(folder, train_data, apart)
        scores[row.name] = measure(row, bench, data, out, folder)
        click.echo(f"{row.name}: {mean_of(scores[row.name]):.3f}", err=True)
    if seeds:
        config = replace(mug_granularities.BEGUN, iterations=iterations)
        found = mug_granularities.measure(train_data, apart, data, bench, out / "granularities", seeds, config)
        scores |= rows_of_granularities(found[bench])
    click.echo("\n".join(table(scores)))
    click.echo(f"\nThe training for round 1 ends in the shipped weights: {'yes' if is_shipped(folder) else 'no'}.")


def train(folder: Path, data: Path, held_out: Sequence[str]) -> None:
    """Go through the shipped recipe, or on with it: a finished one ends at once."""
    samples = Catalog.load().benchmarks.get("davis16-train").open(data, True)
    names = [sample.name for sample in samples if sample.name not in held_out]
    command = [sys.executable, "-m", "harness", "train", "--plugin", "mug-zvos", "--preset", PRESET, "--seed", "0"]
    command += ["--data", "davis16-train", "--data-root", str(data), "--allow-partial", "--threads", "1"]
    command += ["--videos", ",".join(names), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def is_shipped(folder: Path) -> bool:
    """Whether a training ended in the weights that are shipped; what only training needs is not shipped."""
    shipped = read_weights(WEIGHTS[0].path)
    found = read_weights(folder / "last.safetensors")
    kept = {name: value for name, value in found.items() if not name.startswith(TRAINING)}
    return kept.keys() == shipped.keys() and all(torch.equal(value, shipped[name]) for name, value in kept.items())


def measure(row: Row, bench: str, data: Path, out: Path, training: Path) -> Scores:
    """J of each video, by a run that is reused where it is there."""
    weights = {"shipped": WEIGHTS[0].name, "none": "none"}.get(row.weights, str(training / row.weights))
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
    return j_of_videos(outcome.record)


def rows_of_granularities(found: Mapping[str, list[Scores]]) -> dict[str, Scores]:
    """Rows of claim 3, each video's J the mean over seeds."""
    return {
        "one round, all four" if name == WHOLE else f"one round, without {name}": average(of_seeds)
        for name, of_seeds in found.items()
    }


def describe(claim: Claim, scores: Mapping[str, Scores]) -> str:
    """One line of the table."""
    head, base = scores[claim.row], scores[claim.base]
    mean, low, high = compare(head, base)
    paper = "" if claim.paper is None else f"+{claim.paper / 100:.3f}"
    verdict = {"better": "shown", "worse": "the opposite is shown"}.get(judge(low, high), judge(low, high))
    if abs(mean) < LEAST:
        verdict = "no difference to speak of"
    return (
        f"| {claim.number} | {claim.row} {mean_of(head):.3f} | {claim.base} {mean_of(base):.3f} "
        f"| {mean:+.3f} [{low:+.3f}, {high:+.3f}] | {paper} | {verdict} |"
    )


def table(scores: Mapping[str, Scores]) -> list[str]:
    """A line a claim that was measured: both J, the paired difference, what the paper has."""
    head = ["| claim | J | more than | by, 95 % over videos | paper | |", "| --- | --- | --- | --- | --- | --- |"]
    return [*head, *(describe(claim, scores) for claim in CLAIMS if {claim.row, claim.base} <= scores.keys())]


if __name__ == "__main__":
    main()
