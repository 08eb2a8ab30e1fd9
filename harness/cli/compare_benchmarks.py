"""What ``harness compare --import pytest-benchmark`` prints: the benchmarks of two files beside each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from harness.cli.terminal import one_line, say, table
from harness.ranking.benchmark_files import BenchmarkComparison, compare_benchmarks, read_rounds
from harness.ranking.gate import Gate


def compare_files(base: Path, head: Path, gate: Gate | None, *, as_json: bool) -> BenchmarkComparison:
    """Compare two files and print what changed."""
    found = compare_benchmarks(read_rounds(base), read_rounds(head), gate)
    say(json.dumps(asdict(found) | {"passed": found.passed}, indent=2) if as_json else describe_benchmarks(found))
    return found


def describe_benchmarks(found: BenchmarkComparison) -> str:
    """The comparison as tables for people."""
    rows = [
        [
            change.name,
            f"{change.base:.4g}",
            f"{change.head:.4g}",
            f"{change.ratio:.3f}",
            "-" if change.p is None else f"{change.p:.2g}",
            "/".join(map(str, change.rounds)),
        ]
        for change in found.changes
    ]
    parts = [table(rows, ["benchmark", "base ms", "head ms", "head / base", "p", "rounds"])]
    if found.rulings:
        rules = [["pass" if ruling.passed else "FAIL", ruling.rule, ruling.found] for ruling in found.rulings]
        parts.append(table(rules, ["gate", "rule", "found"]))
    notes = ["medians; p by Brunner and Munzel, for all benchmarks together by Holm"]
    notes.append("note: the files were not measured in turns: a load that came or went between them is in the ratio")
    only = {"base": found.only_base, "head": found.only_head}
    notes += [f"only in {side}: {one_line(', '.join(names))}" for side, names in only.items() if names]
    return "\n\n".join([*parts, "\n".join(notes)])
