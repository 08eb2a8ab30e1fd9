"""Files of pytest-benchmark compared: by how much, how sure for all of them at once, and what is refused."""

import json
import math

import pytest

from harness.api.errors import UsageError
from harness.ranking.benchmark_files import compare_benchmarks, read_rounds
from harness.ranking.gate import gate_from

STEADY = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99]
GATE = gate_from({"speed": {"benchmark_ms": {"max_loss": 0.1}}}, "gate.toml")


def slower(by):
    return [by * value for value in STEADY]


def write(path, rounds):
    benchmarks = [{"fullname": name, "stats": {"data": data}} for name, data in rounds.items()]
    path.write_text(json.dumps({"version": "5.3.1", "benchmarks": benchmarks}))
    return path


def test_the_same_rounds_are_equal():
    found = compare_benchmarks({"a": STEADY}, {"a": STEADY}, GATE)
    assert (found.changes[0].ratio, found.changes[0].is_clear) == (1.0, False)
    assert found.passed


def test_a_slowdown_beyond_the_limit_is_named():
    found = compare_benchmarks({"a": STEADY, "b": STEADY}, {"a": slower(1.2), "b": STEADY}, GATE)
    assert not found.passed
    (ruling,) = found.rulings
    assert ruling.rule == "a: benchmark_ms worse by at most 10 %, if clear"
    assert ruling.found.startswith("takes 1.200 times as long")


def test_where_no_round_overlaps_p_is_that_of_such_an_order_by_chance():
    (change,) = compare_benchmarks({"a": STEADY}, {"a": slower(1.2)}).changes
    assert change.p == pytest.approx(2 / math.comb(16, 8))


def test_a_difference_within_the_scatter_is_not_clear_though_it_is_beyond_the_limit():
    base = [1.0, 2.0, 1.0, 3.0, 1.2, 2.5]
    head = [2.0, 1.0, 3.0, 1.5, 2.6, 2.4]
    found = compare_benchmarks({"a": base}, {"a": head}, GATE)
    assert found.changes[0].ratio > 1.1
    assert found.passed


def test_a_clear_difference_within_the_limit_passes():
    found = compare_benchmarks({"a": STEADY}, {"a": slower(1.08)}, GATE)
    assert found.changes[0].is_clear
    assert found.passed


def test_each_of_many_needs_more():
    one = compare_benchmarks({"a": STEADY}, {"a": slower(1.02)}).changes[0].p
    names = [f"b{number}" for number in range(9)]
    many = compare_benchmarks(
        {"a": STEADY, **dict.fromkeys(names, STEADY)}, {"a": slower(1.02), **dict.fromkeys(names, STEADY)}
    )
    assert many.changes[0].p == pytest.approx(10 * one)
    assert {change.p for change in many.changes[1:]} == {1.0}


def test_few_rounds_tell_nothing():
    (change,) = compare_benchmarks({"a": [1.0] * 4}, {"a": [9.0] * 8}).changes
    assert (change.p, change.is_clear) == (None, False)


def test_what_only_one_file_has_is_named_and_no_loss():
    found = compare_benchmarks({"a": STEADY, "old": STEADY}, {"a": STEADY, "new": STEADY}, GATE)
    assert (found.only_base, found.only_head, found.passed) == (("old",), ("new",), True)


def test_rules_on_what_such_files_lack_fail():
    gate = gate_from({"accuracy": {"J&F": {"max_loss": 0.1}}, "speed": {"model_fps": {"max_loss": 0.1}}}, "gate.toml")
    found = compare_benchmarks({"a": STEADY}, {"a": STEADY}, gate)
    assert [ruling.passed for ruling in found.rulings] == [False, False]


def test_a_file_is_read_with_its_rounds(tmp_path):
    assert read_rounds(write(tmp_path / "base.json", {"tests/x.py::y": STEADY})) == {"tests/x.py::y": STEADY}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"benchmarks": [{"fullname": "a", "stats": {"median": 1.0}}]}, "no raw rounds"),
        ({"benchmarks": [{"fullname": "a", "stats": {"data": [1.0, -1.0]}}]}, "no raw rounds"),
        ({"benchmarks": [{"fullname": "a", "stats": {"data": ["1"]}}]}, "no raw rounds"),
        ({"benchmarks": [{"fullname": "a", "stats": None}]}, "no raw rounds"),
        ({"schema": "harness.run/1"}, "no benchmarks"),
        ([], "no benchmarks"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "base.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=words):
        read_rounds(path)


def test_files_of_other_tests_are_refused():
    with pytest.raises(UsageError, match="in common"):
        compare_benchmarks({"a": STEADY}, {"b": STEADY})
