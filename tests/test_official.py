"""The table beside the official programs: the same minimum on both sides, and what a program that fails says."""

import sys

import numpy as np
import pytest

from benchmarks.official import boundaries
from benchmarks.official.__main__ import line
from benchmarks.official.race import Command
from harness.metrics.j_and_f.pair_counts import PlainCounter

COUNTS = """
import pathlib, sys
past = pathlib.Path(sys.argv[1])
number = int(past.read_text()) if past.exists() else 0
past.write_text(str(number + 1))
print("alone", sys.argv[2].split(",")[2 * number])
print("alone", sys.argv[2].split(",")[2 * number + 1])
"""


def count(folder, name, seconds):
    return Command((sys.executable, "-c", COUNTS, str(folder / name), seconds), folder, {})


def test_scoring_alone_is_the_least_of_all_rounds_and_repeats_but_the_first_round_on_both_sides(tmp_path):
    ours, theirs = count(tmp_path, "ours", "0.1,0.1,4,3,9,2"), count(tmp_path, "theirs", "1,1,8,9,7,6")
    row = line("a work: scoring alone", [ours, theirs], 2, tmp_path / "byte-code", "a program")
    assert row.startswith("| a work: scoring alone | 2.000 s, ")
    assert "| a program 6.000 s, " in row
    assert row.endswith("| 3.0 |")


def test_a_whole_command_is_its_cpu_seconds_and_one_that_fails_is_told(tmp_path):
    spins = Command((sys.executable, "-c", "sum(range(3_000_000)); print('alone 0.0')"), tmp_path, {})
    row = line("a work: whole", [spins], 1, tmp_path / "byte-code", "")
    assert float(row.split("|")[2].split(" s")[0]) > 0
    with pytest.raises(RuntimeError, match="ended with 3: gone wrong"):
        line("a work", [Command(("sh", "-c", "echo gone wrong; exit 3"), tmp_path, {})], 1, tmp_path / "byte-code", "")


def test_ellipses_across_a_border_are_measured_as_by_the_plain_form(monkeypatch):
    rng = np.random.default_rng(0)
    pairs = [boundaries.draw_pair((540, 960), rng) for _ in range(16)]  # a boundary once grew with a gap in the 13th
    predicted, true = np.moveaxis(pairs, 1, 0)
    found = boundaries.measure(predicted, true)
    monkeypatch.setattr(boundaries, "new_counter", PlainCounter)
    assert (found == boundaries.measure(predicted, true)).all()
