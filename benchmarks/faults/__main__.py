"""``make faults``: faults played on runs by a seed, and a table of what came of them."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click
import torch

from benchmarks.faults.files import cut_files, fill_disks, put_foreign_files, run_two, turn_clocks
from benchmarks.faults.kills import Skipped, kill_actors, kill_clusters, kill_drivers, kill_runners, kill_workers
from benchmarks.faults.stage import Stage, Trial
from harness.cli.terminal import table
from harness.files import write_atomically
from harness.machine import read_load

Play = Callable[[Stage, random.Random, int], Iterator[Trial]]
KINDS: dict[str, tuple[Play, float, str]] = {
    "runner": (kill_runners, 0.5, "SIGKILL of a run"),
    "worker": (kill_workers, 0.25, "SIGKILL of a worker process, or of what watches over it"),
    "actor": (kill_actors, 0.2, "SIGKILL of an actor on a Ray cluster of two nodes"),
    "driver": (kill_drivers, 0.05, "SIGKILL of the run that drives actors"),
    "cluster": (kill_clusters, 0.05, "SIGKILL of a process of Ray's, or of what watches over a run's own cluster"),
    "cut": (cut_files, 0.2, "a file of a finished run cut short, or one bit of it turned"),
    "foreign": (put_foreign_files, 0.1, "files of nobody's in a run's folder"),
    "two": (run_two, 0.1, "two runs in one folder"),
    "disk": (fill_disks, 0.1, "a full disk"),
    "clocks": (turn_clocks, 0.1, "a clock that jumps, files of odd dates, and a kill"),
}
"""Kind -> who plays it, how many times for each of ``--trials``, what it is. The first four are the 200 kills."""


@click.command()
@click.option("--trials", type=click.IntRange(1, 10**6), default=200, show_default=True, help="Kills in all.")
@click.option("--seed", type=int, default=20, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, help="Only this; may be repeated.")
@click.option("--seconds", type=float, default=3600.0, show_default=True, help="After so long no trial begins.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/faults.json"), show_default=True
)
def main(trials: int, seed: int, kinds: tuple[str, ...], seconds: float, out: Path) -> None:
    """Play faults on runs; exit 1 where a run afterwards is not as an unbroken one, or something is left."""
    torch.set_num_threads(1)
    out = out.absolute()
    until, rows, notes = time.monotonic() + seconds, list[Trial](), list[str]()
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    try:
        stage = Stage(folder)
        for kind in kinds or KINDS:
            play, share, _ = KINDS[kind]
            wanted = max(1, round(trials * share))
            try:
                for trial in _until(play(stage, random.Random(f"{seed} {kind}"), wanted), until):
                    rows.append(trial)
                    _tell(trial)
            except Skipped as why:
                notes.append(f"{kind}: skipped: {why}")
                continue
            done = sum(row.kind == kind for row in rows)
            notes += [f"{kind}: {done} of {wanted}, then the time was over"] if done < wanted else []
            _write(out, seed, notes, rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _write(out, seed, notes, rows)
    print(describe(rows))
    print("\n".join([*notes, f"written to {out}"]))
    sys.exit(1 if any(row.wrong or row.left for row in rows) or not rows else 0)


def _write(out: Path, seed: int, notes: list[str], rows: list[Trial]) -> None:
    report = {"seed": seed, "load": read_load(), "notes": notes, "trials": [asdict(row) for row in rows]}
    write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())


def _until(trials: Iterator[Trial], until: float) -> Iterator[Trial]:
    """The trials, as long as there is time for one to begin."""
    while time.monotonic() < until and (trial := next(trials, None)) is not None:
        yield trial
    trials.close()  # type: ignore[attr-defined]


def _tell(trial: Trial) -> None:
    """A line for what is not as it should be."""
    for words in (*trial.wrong, *trial.left):
        print(f"{trial.kind}: {trial.what}: {words}", file=sys.stderr, flush=True)


def describe(rows: list[Trial]) -> str:
    """A line a kind: faults, runs held against the unbroken one, how many were the same, how many left something."""
    lines = []
    for kind, (_, _, what) in KINDS.items():
        ours = [row for row in rows if row.kind == kind]
        compared = [row for row in ours if row.compared]
        if ours:
            same, left = sum(not row.wrong for row in compared), sum(bool(row.left) for row in ours)
            broken = sum(bool(row.wrong) for row in ours if not row.compared)
            lines.append([what, len(ours), f"{same} of {len(compared)}", broken, left])
    heads = ["fault", "trials", "same record and masks", "not whole between", "left something"]
    return table([[str(cell) for cell in line] for line in lines], heads)


if __name__ == "__main__":
    main()
