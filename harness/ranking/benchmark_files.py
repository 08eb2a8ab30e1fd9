"""Two files of ``pytest --benchmark-json``, compared by their raw rounds: by how much, and whether that is chance.

Base and head ran one after the other, so a load that came or went lies in the difference; the test knows only how much
the rounds of one file scatter.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import brunnermunzel

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.files import read_json
from harness.ranking.compare import Ruling
from harness.ranking.gate import Gate

LARGEST = 1 << 28
"""Bytes; a million rounds take some twenty."""
FEWEST_ROUNDS = 5
"""Of each side, for a test that could find anything."""
DOUBT = 0.05
CLOCK = "benchmark_ms"

Rounds = Mapping[str, Sequence[float]]
"""Full name of a benchmark -> seconds of each round."""


@dataclass(frozen=True)
class BenchmarkChange:
    """One benchmark of both files; medians in milliseconds, ``ratio`` is head / base.

    ``p`` is that of Brunner and Munzel's test (2000), times what Holm asks for so many benchmarks; None where a side
    has too few rounds to tell.
    """

    name: str
    base: float
    head: float
    ratio: float
    rounds: tuple[int, int]
    p: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the difference is more than the rounds scatter."""
        return self.p is not None and self.p < DOUBT


@dataclass(frozen=True)
class BenchmarkComparison:
    """Every benchmark of both files, the rules on them, and what only one file has."""

    changes: tuple[BenchmarkChange, ...]
    rulings: tuple[Ruling, ...]
    only_base: tuple[str, ...]
    only_head: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every rule of the gate holds."""
        return all(ruling.passed for ruling in self.rulings)


def read_rounds(path: Path) -> dict[str, list[float]]:
    """The raw rounds of each benchmark; UsageError where the file is another, or keeps summaries alone."""
    data = read_json(path, largest=LARGEST)
    benchmarks = data.get("benchmarks") if isinstance(data, dict) else None
    if not isinstance(benchmarks, list):
        raise UsageError(f"{path}: found no benchmarks, expected a file of pytest --benchmark-json")
    return {str(found.get("fullname")): _rounds_of(found, path) for found in benchmarks if isinstance(found, dict)}


def _rounds_of(found: Mapping[str, Any], path: Path) -> list[float]:
    stats = found.get("stats")
    rounds = stats.get("data") if isinstance(stats, dict) else None
    if not isinstance(rounds, list) or not rounds or not all(_is_time(value) for value in rounds):
        raise UsageError(
            f"{path}: {found.get('fullname')}: found no raw rounds (stats.data), expected seconds of each",
            hint="write it by pytest --benchmark-json=FILE, which keeps them",
        )
    return rounds


def _is_time(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value) and value > 0


def compare_benchmarks(base: Rounds, head: Rounds, gate: Gate | None = None) -> BenchmarkComparison:
    """Compare what both files have; UsageError where that is nothing."""
    shared = [name for name in base if name in head]
    if not shared:
        raise UsageError("the two files have no benchmark in common", hint="compare files of the same tests")
    changes = _adjust([_compare(name, base[name], head[name]) for name in shared])
    return BenchmarkComparison(
        changes=tuple(changes),
        rulings=tuple(_rule(gate or Gate(), changes)),
        only_base=tuple(name for name in base if name not in head),
        only_head=tuple(name for name in head if name not in base),
    )


def _compare(name: str, base: Sequence[float], head: Sequence[float]) -> BenchmarkChange:
    before, after = (1000 * statistics.median(rounds) for rounds in (base, head))
    return BenchmarkChange(name, before, after, after / before, (len(base), len(head)), _test(base, head))


def _test(base: Sequence[float], head: Sequence[float]) -> float | None:
    """Two-sided p; where no round of the one side is as long as one of the other, of such an order by chance."""
    if min(len(base), len(head)) < FEWEST_ROUNDS:
        return None
    if max(base) < min(head) or max(head) < min(base):
        return min(1.0, 2 / math.comb(len(base) + len(head), len(base)))
    if min(base) == max(base) == min(head) == max(head):
        return 1.0
    return float(brunnermunzel(base, head).pvalue)


def _adjust(changes: Sequence[BenchmarkChange]) -> list[BenchmarkChange]:
    """Holm 1979: the smallest p times the number of tests, the next times one fewer, and never less than before."""
    tested = sorted((change.p, place) for place, change in enumerate(changes) if change.p is not None)
    adjusted, least = list(changes), 0.0
    for order, (p, place) in enumerate(tested):
        least = max(least, min(1.0, p * (len(tested) - order)))
        adjusted[place] = replace(changes[place], p=least)
    return adjusted


def _rule(gate: Gate, changes: Sequence[BenchmarkChange]) -> Iterator[Ruling]:
    for figure in gate.accuracy:
        yield Ruling(f"{figure} is there", False, "not in files of pytest-benchmark")
    for clock, rule in gate.speed.items():
        words = f"{clock} worse by at most {100 * rule.max_loss:.3g} %, if clear"
        if clock != CLOCK:
            yield Ruling(words, gate.when_not_comparable == "skip", f"not in files of pytest-benchmark; {CLOCK} is")
            continue
        worse = [change for change in changes if change.ratio > 1 + rule.max_loss and change.is_clear]
        for change in worse:
            yield Ruling(f"{change.name}: {words}", False, f"takes {change.ratio:.3f} times as long, p {change.p:.2g}")
        if not worse:
            yield Ruling(words, True, f"{len(changes)} benchmarks")
