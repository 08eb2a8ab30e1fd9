"""``python -m benchmarks.official.boundaries --peers DIR --python FILE``: J and F beside davis2017-evaluation's own.

Pairs of ellipses, most of them across a border of the image, at sizes whose boundaries grow by different radii; the
functions of the official repository are the judge, and equal means the same bits.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np

from benchmarks.official.peers import DAVIS
from harness.api.mask_runs import MaskRuns
from harness.cli.terminal import table
from harness.metrics.j_and_f.boundary import boundary_radius
from harness.metrics.j_and_f.counters import new_counter
from harness.metrics.j_and_f.measurement import similarity_and_accuracy
from harness.metrics.j_and_f.pair_counts import Slots

SIZES = ((240, 427), (480, 854), (540, 960), (576, 1024), (720, 1280), (1080, 1920), (2160, 3840))
THEIRS = """
import sys
import numpy as np
from davis2017.metrics import db_eval_boundary, db_eval_iou
given = np.load(sys.argv[1])
np.save(sys.argv[2], [f(given["true"], given["predicted"]) for f in (db_eval_iou, db_eval_boundary)])
"""


@click.command()
@click.option(
    "--peers", type=click.Path(exists=True, path_type=Path), required=True, help="Holds davis2017-evaluation."
)
@click.option("--python", required=True, help="The Python that has what it imports.")
@click.option("--pairs", type=int, default=100, show_default=True, help="Of each size.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(peers: Path, python: str, pairs: int, seed: int) -> None:
    """Print a row a size; exit code 1 where a figure differs."""
    rows, rng = [], np.random.default_rng(seed)
    for size in SIZES:
        count = pairs if size[0] < 2000 else max(1, pairs // 10)
        predicted, true = np.moveaxis([draw_pair(size, rng) for _ in range(count)], 1, 0)
        difference = abs(judge(predicted, true, peers / DAVIS, python) - measure(predicted, true))
        different = (difference > 0).any(axis=0).sum()
        rows.append([f"{size[1]}x{size[0]}", boundary_radius(*size), count, int(different), f"{difference.max():.1g}"])
    click.echo(table(rows, ["size", "radius", "pairs", "differ", "by at most"]))
    if any(row[3] for row in rows):
        raise SystemExit(1)


def draw_pair(size: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """A prediction and a truth: two ellipses that are much alike, four pairs in five across a border of the image."""
    height, width = size
    radii = rng.integers(height // 30, height // 4, 2)
    centre = rng.integers((0, 0), (width, height))
    axis, side = rng.integers(2, size=2)
    if rng.random() < 0.8:
        centre[axis] = side * (width, height)[axis] + rng.integers(-radii[axis], radii[axis])
    turned, masks = rng.integers(180), []
    for _ in range(2):
        mask = np.zeros(size, np.uint8)
        moved = centre + rng.integers(-9, 10, 2)
        axes = [int(one) for one in np.maximum(radii + rng.integers(-8, 9, 2), 1)]
        cv2.ellipse(mask, [int(one) for one in moved], axes, int(turned + rng.integers(-6, 7)), 0, 360, 1, -1)
        masks.append(mask)
    return masks


def measure(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """J and F (2, pairs) of ours."""
    slots = np.minimum(np.arange(256, dtype=np.uint8), 1)
    asked, counter = Slots(slots, slots, 1, 1), new_counter()
    counts = [
        counter.count_pairs(MaskRuns.of(ours), MaskRuns.of(theirs), asked, crossed=False)[0]
        for ours, theirs in zip(predicted, true, strict=True)
    ]
    return np.array(similarity_and_accuracy(np.array(counts)))


def judge(predicted: np.ndarray, true: np.ndarray, repository: Path, python: str) -> np.ndarray:
    """The same by the official functions."""
    with tempfile.TemporaryDirectory() as name:
        given, found = Path(name) / "given.npz", Path(name) / "found.npy"
        np.savez_compressed(given, predicted=predicted, true=true)
        path = {**os.environ, "PYTHONPATH": str(repository.resolve())}
        subprocess.run([python, "-W", "ignore", "-c", THEIRS, str(given), str(found)], env=path, check=True)
        return np.load(found)


if __name__ == "__main__":
    main()
