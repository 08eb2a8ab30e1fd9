"""``python -m benchmarks.official --peers DIR --python FILE``: our commands and the official ones in turns, as a table.

DIR holds clones of davis2017-evaluation, vos-benchmark and youtubevos/cocoapi; FILE is a Python that has what they
import (numpy pandas tqdm pillow opencv-python-headless scikit-image scipy matplotlib pycocotools). What is not there is
left out, with the reason.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.official import inputs
from benchmarks.official.peers import COCO, DAVIS, VOS, Peers
from benchmarks.official.race import Command, race

ROOT = Path(__file__).parents[2]
ROWS = ("one-object", "three-objects", "proposals", "tracks", "start")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.official", description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=Path, required=True, help="the folder of the official repositories")
    parser.add_argument("--python", required=True, help="the Python that runs them")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the real sequences")
    parser.add_argument("--rounds", type=int, default=3, help="of which the smallest figure counts (default: 3)")
    parser.add_argument("--rows", default=",".join(ROWS), help="only these rows")
    told = parser.parse_args(arguments)
    peers = Peers(told.peers.resolve(), told.python)
    print("| work | ours | official | ratio |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="harness-official-") as name:
        for row in told.rows.split(","):
            for what, ours, theirs, program in commands_of(row, Path(name) / row, peers, told.data):
                reason = peers.missing(program) if program else ""
                if reason:
                    print(f"| {what} | | left out: {reason} | |", flush=True)
                    continue
                print(line(what, [ours, *theirs], told.rounds, Path(name) / "byte-code", program), flush=True)
    print(f"\nCPU seconds, the smallest of {told.rounds}, in turns; load {os.getloadavg()[0]:.1f}")


def commands_of(row: str, folder: Path, peers: Peers, data: Path) -> Iterator[tuple[str, Command, list[Command], str]]:
    """What is compared in a row: words, our command, the official one (none for a start), and which program it is."""
    if row == "tracks":
        tree = inputs.tracks(folder)
        ours = peers.ours("youtube-vis19-train", tree, tree / "results.json")
        yield "YouTube-VIS AP, 60 videos of 20 frames", ours, [peers.tracks(tree)], COCO
        return
    make, bench, words = {
        "one-object": (inputs.one_object, "davis17-val", "one-shot, 10 real sequences, 514 frames, 1 object"),
        "start": (inputs.one_object, "davis17-val", "start: one sequence of 40 frames"),
        "three-objects": (inputs.three_objects, "davis17-val", "one-shot, 143 frames, 3 objects"),
        "proposals": (inputs.twenty_proposals, "davis17-unsup-val", "unsupervised, 20 proposals x 3, 40 frames"),
    }[row]
    made = make(folder, inputs.Real(data))
    if row == "start":
        yield words, peers.ours(bench, made.data, made.masks, "--videos", "car-shadow"), [], ""
        return
    ours, alone = peers.ours(bench, made.data, made.masks), peers.ours_alone(bench, made)
    yield f"{words}: whole", ours, [peers.davis(bench, made)], DAVIS
    yield f"{words}: scoring alone", alone, [peers.davis_alone(bench, made)], DAVIS
    if bench == "davis17-val":
        yield f"{words}: whole", ours, [peers.vos(made)], VOS
        yield f"{words}: scoring alone", alone, [peers.vos_alone(made)], VOS


def line(what: str, commands: list[Command], rounds: int, byte_code: Path, program: str) -> str:
    """One row of the table."""
    costs = race(commands, rounds, byte_code)
    seconds = [min(map(_alone, texts)) if "alone" in what else used for used, _, texts in costs]
    shown = [f"{took:.3f} s, {mib:.0f} MiB" for took, (_, mib, _) in zip(seconds, costs, strict=True)]
    theirs = f"{program} {shown[1]}" if len(shown) > 1 else ""
    ratio = f"{seconds[1] / seconds[0]:.1f}" if len(shown) > 1 else ""
    return f"| {what} | {shown[0]} | {theirs} | {ratio} |"


def _alone(printed: str) -> float:
    """The least seconds that a driver printed."""
    return min(float(line.split()[1]) for line in printed.splitlines() if line.startswith("alone "))


if __name__ == "__main__":
    main()
