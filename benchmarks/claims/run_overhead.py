"""What the harness adds to an online method, decoding and writing included: python -m benchmarks.claims.run_overhead.

``copyfirst``, which does nothing, on ten real sequences less the same on one of them, by the rules of DAVIS 2017 and of
2016 (with T): CPU milliseconds a frame, one thread, the least of some rounds of each.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.official.inputs import SEQUENCES, Real, one_object
from benchmarks.official.race import Command
from harness.cli.terminal import table

SHARED = Path(__file__).parents[3] / "shared" / "data"


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), default=SHARED, help="The real sequences.")
@click.option("--rounds", type=int, default=3, show_default=True)
def main(data: Path, rounds: int) -> None:
    """Print a row a rule."""
    with tempfile.TemporaryDirectory(prefix="harness-overhead-") as name:
        real, folder = Real(data), Path(name)
        roots = {"davis17-val": one_object(folder / "ids", real).data, "davis16-val": real.davis}
        frames = sum(real.length(sequence) for sequence in SEQUENCES[1:])
        rows = []
        for bench, root in roots.items():
            many, one = (least_of(bench, root, part, folder, rounds) for part in (SEQUENCES, SEQUENCES[:1]))
            rows.append([bench, f"{many:.2f}", f"{one:.2f}", frames, f"{1e3 * (many - one) / frames:.2f}"])
    click.echo(table(rows, ["rules of", "ten, s", "one, s", "frames between", "ms a frame"]))


def least_of(bench: str, root: Path, sequences: list[str], folder: Path, rounds: int) -> float:
    """CPU seconds of a run of these sequences, after one that is not counted."""
    out = folder / "run"
    asked = ("--plugin", "copyfirst", "--bench", bench, "--task", "one-shot", "--data-root", str(root.resolve()))
    rest = ("--allow-partial", "--videos", ",".join(sequences), "--threads", "1", "--out", str(out))
    command = Command((sys.executable, "-m", "harness", "run", *asked, *rest), Path.cwd(), {})
    seconds = []
    for _ in range(rounds + 1):
        shutil.rmtree(out, ignore_errors=True)
        seconds.append(command.run(folder / "byte-code")[0])
    return min(seconds[1:])


if __name__ == "__main__":
    main()
