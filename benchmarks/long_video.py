"""Memory over a long video and a large one, of every method that answers frame by frame.

``python -m benchmarks.long_video``. Each case is a generated clip in a process of its own, as in ``harness bench
methods``; a row says what the process holds after a quarter, the half, three quarters and all of the frames. What was
measured is kept and not measured again as long as the code is the same. docs/growth.md holds the rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from tabulate import tabulate

from harness.benching.clip import Clip
from harness.benching.kept_points import KeptPoints, key_with
from harness.benching.methods import MethodRow
from harness.benching.point import measure_point
from harness.catalog import Catalog
from harness.planning.request import Request

ROOT = Path(__file__).resolve().parents[1]
SMALL = (32, 57)
LARGE = (2160, 3840)
QUARTERS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Case:
    """One method on one clip; ``overrides`` and ``preset`` where its default would take days."""

    plugin: str
    clip: Clip
    task: str | None = None
    preset: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """As it stands in the table."""
        more = [f"preset `{self.preset}`"] if self.preset else []
        more += [f"`--set {text}`" for text in self.overrides]
        return f"{self.plugin}" + (f" ({', '.join(more)})" if more else "")

    @property
    def request(self) -> Request:
        """What a run is asked for, on one thread."""
        return Request(
            plugin=self.plugin, bench="clip", task=self.task, preset=self.preset, overrides=self.overrides, threads=1
        )


def _long(plugin: str, preset: str = "", objects: int = 2, task: str | None = None) -> Case:
    return Case(plugin, Clip(*SMALL, 10_000, objects), task, preset)


def _large(
    plugin: str, frames: int = 24, preset: str = "", overrides: tuple[str, ...] = (), task: str | None = None
) -> Case:
    return Case(plugin, Clip(*LARGE, frames, 1), task, preset, overrides)


LONG_CASES = (
    _long("copyfirst"),
    _long("centre-prior"),
    _long("boundary-saliency"),
    _long("flow-threshold-online"),
    _long("dnet", task="object-zvos"),
    _long("imas"),
    _long("dtnet", task="instance-zvos"),
    _long("tvos"),
    _long("mug"),
    _long("selfsup"),
    _long("selfsup-causal", preset="smoke"),
)
LARGE_CASES = (
    _large("copyfirst"),
    _large("centre-prior"),
    _large("dnet", task="object-zvos"),
    _large("dtnet", task="instance-zvos"),
    _large("imas"),
    _large("mug"),
    _large("tvos", 12, preset="youtube-vos"),
    _large("selfsup", 24, overrides=("short_side=480",)),
    _large("selfsup-causal", 6, preset="smoke", overrides=("short_side=480",)),
    _large("flow-threshold-online", 22),
    _large("boundary-saliency", 22),
    _large("selfsup", 8),
    _large("tvos", 3),
)
"""As many frames as the harness keeps of this size and a few, where a CPU has the time."""


def describe(case: Case, row: MethodRow) -> list[str]:
    """The cells of one row."""
    clip = f"{case.clip.frames}, {case.clip.width}x{case.clip.height}, {case.clip.objects}"
    if row.timing is None or row.problem:
        return [case.words, clip, *[""] * 4, "", "", row.problem or "nothing was timed"]
    looks = [read_at(row, round(share * case.clip.frames)) for share in QUARTERS]
    added = row.timing.added_memory_mib
    taken = "" if added is None else f"{added:.1f}"
    return [case.words, clip, *(f"{mib:.1f}" for mib in looks), taken, f"{row.cpu_seconds:.0f}", ""]


def read_at(row: MethodRow, frames: int) -> float:
    """What the process held when so many frames were done, or at the last look before."""
    return max((done, mib) for done, mib in row.process_mib if done <= max(frames, row.process_mib[0][0]))[1]


@click.command()
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Default: all.")
@click.option("--kind", type=click.Choice(["long", "large"]), help="10,000 small frames, or some of 3840x2160.")
@click.option("--kept", is_flag=True, help="Only show what is measured already.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "runs/long-video", show_default=True)
def main(methods: Sequence[str], kind: str | None, kept: bool, out: Path) -> None:
    """Measure what is not measured yet, then print the rows as Markdown."""
    points = KeptPoints(out, key_with(Catalog.load()))
    heads = ["method", "frames, size, objects", "MiB at 1/4", "1/2", "3/4", "end", "taken by the method", "CPU s", ""]
    for name, cases in (("long", LONG_CASES), ("large", LARGE_CASES)):
        chosen = [case for case in cases if not methods or case.plugin in methods]
        if kind in (None, name) and chosen:
            rows = [cells for case in chosen if (cells := _row(case, points, kept=kept))]
            click.echo(tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True))
            click.echo()


def _row(case: Case, points: KeptPoints, *, kept: bool) -> list[str] | None:
    found = points.find(case.request, case.clip)
    if found is not None or kept:
        return None if found is None else describe(case, found[0])
    begun = time.monotonic()
    row = measure_point(case.request, case.clip, None)
    points.keep(case.request, case.clip, row, time.monotonic() - begun)
    cells = describe(case, row)
    click.echo(" | ".join(cells), err=True)
    return cells


if __name__ == "__main__":
    main()
