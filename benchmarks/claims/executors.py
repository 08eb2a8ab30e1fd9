"""One run inline, by two worker processes and on a Ray cluster of two nodes: the same masks, and what each way takes.

python -m benchmarks.claims.executors --plugin tvos --preset small-videos. The three take turns; CPU time is that of all
processes below this one, from the start of the command to its end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.faults.stage import list_below
from harness.cli.terminal import table
from harness.machine import read_load

TICKS = os.sysconf("SC_CLK_TCK")


class CpuTime:
    """CPU seconds of everything below this process; what lives shorter than a look is missed."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def __enter__(self) -> CpuTime:
        self._before = self._read()
        self._looking.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._looking.join()

    @property
    def seconds(self) -> float:
        """Spent since this began."""
        return sum(spent - self._before.get(process, 0.0) for process, spent in self._seen.items())

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self._seen |= self._read()

    def _read(self) -> dict[int, float]:
        found = {}
        for process in list_below(os.getpid()):
            try:
                stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            found[process] = (int(stat[11]) + int(stat[12])) / TICKS
        return found


def digest(run: Path) -> str:
    """SHA-256 over masks, scores and rows of a run."""
    total = hashlib.sha256()
    for path in sorted((run / "masks").rglob("*.png")):
        total.update(str(path.relative_to(run)).encode() + path.read_bytes())
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    total.update(json.dumps([record["scores"], record["videos"]], sort_keys=True).encode())
    return total.hexdigest()


@click.command()
@click.option("--plugin", default="tvos", show_default=True)
@click.option("--preset", default="small-videos", show_default=True)
@click.option("--bench", default="mini-small", show_default=True)
@click.option("--rounds", default=2, show_default=True)
def main(plugin: str, preset: str, bench: str, rounds: int) -> None:
    """Print a line a way: digest, the least wall and CPU seconds of the rounds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    place = Path(tempfile.mkdtemp(prefix="nodes", dir="/tmp"))  # the paths of sockets hold 107 bytes
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 1 << 27, "temp_dir": str(place)}
    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)  # where Ray notes which cluster was the last
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        ways = {
            "inline": [],
            "process, 2 workers": ["--executor", "process", "--workers", "2"],
            "ray, 2 nodes": ["--executor", "ray", "--workers", "2", "--address", cluster.address],
        }
        asked = ["--plugin", plugin, "--preset", preset, "--bench", bench, "--task", "one-shot", "--threads", "1"]
        rows: dict[str, list[tuple[str, float, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, options in ways.items():
                rows[way].append(play(place, [*asked, *options]))
    finally:
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)
    cells = [
        [way, turns[0][0][:12], f"{min(turn[1] for turn in turns):.1f}", f"{min(turn[2] for turn in turns):.1f}"]
        for way, turns in rows.items()
    ]
    print(table(cells, ["way", "masks and scores", "wall s", "CPU s"]))
    print(f"{rounds} rounds in turns; load {read_load()} on {os.cpu_count()} cores")
    sys.exit(len({turn[0] for turns in rows.values() for turn in turns}) > 1)


def play(place: Path, options: Sequence[str]) -> tuple[str, float, float]:
    """Digest, wall seconds and CPU seconds of one run."""
    out = place / "run"
    began = time.monotonic()
    with CpuTime() as spent:
        subprocess.run(
            [sys.executable, "-m", "harness", "run", *options, "--out", str(out)], check=True, capture_output=True
        )
    seconds = time.monotonic() - began
    found = digest(out)
    shutil.rmtree(out)
    return found, seconds, spent.seconds


if __name__ == "__main__":
    main()
