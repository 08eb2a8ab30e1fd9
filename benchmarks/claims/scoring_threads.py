"""What a second thread is worth to a score: python -m benchmarks.claims.scoring_threads.

Three real sequences of three objects at 480, 720 and 1080 lines, and tracks: CPU and wall seconds of scoring alone, the
least of some rounds in turns. ``harness.predictions.scoring`` decides by these how many threads a score has.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.official import inputs
from harness.api.mask_files import read_mask, write_mask
from harness.catalog import Catalog
from harness.cli.terminal import table
from harness.planning.plan import Trial
from harness.predictions.scoring import plan_scoring, score

SHARED = Path(__file__).parents[3] / "shared" / "data"
THREADS = (1, 2)


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), default=SHARED, help="The real sequences.")
@click.option("--rounds", type=int, default=9, show_default=True)
def main(data: Path, rounds: int) -> None:
    """Print a row a size."""
    catalog, rows = Catalog.load(), []
    with tempfile.TemporaryDirectory(prefix="harness-threads-") as name:
        tree = inputs.three_objects(Path(name) / "masks", inputs.Real(data))
        for lines in (480, 720, 1080):
            if lines > 480:
                enlarge(tree, lines)
            rows.append([f"{lines} lines", *clock(tree.masks, "davis17-val", tree.data, catalog, rounds)])
        tracks = inputs.tracks(Path(name) / "tracks")
        rows.append(["tracks", *clock(tracks / "results.json", "youtube-vis19-train", tracks, catalog, rounds)])
    click.echo(table(rows, ["what", *(f"{kind}, {n} threads" for n in THREADS for kind in ("CPU s", "wall s"))]))


def clock(place: Path, bench: str, root: Path, catalog: Catalog, rounds: int) -> list[str]:
    """CPU and wall seconds with each number of threads."""
    trial: Trial = plan_scoring(place, catalog.benchmarks.get(bench), catalog, data_root=root, allow_partial=True)
    least = {threads: [float("inf"), float("inf")] for threads in THREADS}
    for _ in range(rounds):
        for threads, found in least.items():
            cpu, wall = time.process_time(), time.perf_counter()
            score(trial, place, catalog, workers=threads)
            found[:] = min(found[0], time.process_time() - cpu), min(found[1], time.perf_counter() - wall)
    return [f"{seconds:.3f}" for found in least.values() for seconds in found]


def enlarge(tree: inputs.Tree, lines: int) -> None:
    """The same masks at so many lines, 16:9, by nearest neighbours; frames of nothing beside them."""
    height, width = lines, lines * 16 // 9
    for path in (*tree.data.rglob("*.png"), *tree.masks.rglob("*.png")):
        mask = read_mask(path)
        rows, columns = np.arange(height) * mask.shape[0] // height, np.arange(width) * mask.shape[1] // width
        write = write_mask if path.is_relative_to(tree.masks) else inputs.write_as_davis
        write(path, np.ascontiguousarray(mask[rows][:, columns]))
    for path in tree.data.rglob("*.jpg"):
        Image.new("RGB", (width, height)).save(path)


if __name__ == "__main__":
    main()
