"""Records of corrupted benchmarks become curves over severity, apart from the clean board, other seeds and tasks."""

import pytest

from harness.ranking.robustness import robustness_of
from harness.ranking.standings import standings


def curves_of(records):
    (found,) = robustness_of(records)
    return {
        (curve.method.partition(",")[0], curve.corruption, curve.seed): [(p.severity, p.value) for p in curve.points]
        for curve in found.curves
    }


def test_a_curve_begins_at_the_clean_benchmark_and_goes_on_by_severity(make_record):
    records = [
        make_record({"a": [(value, value)]}, bench=bench, method="ours")
        for bench, value in (("toy-val+blur-3", 0.4), ("toy-val", 0.8), ("toy-val+blur-1", 0.6))
    ]
    records.append(make_record({"a": [(0.5, 0.5)]}, bench="toy-val+noise-2-s7", method="other"))
    assert curves_of(records) == {
        ("ours", "blur", 0): [(0, 0.8), (1, pytest.approx(0.6)), (3, 0.4)],
        ("other", "noise", 7): [(2, 0.5)],  # its clean video was not run
    }
    assert [found.benchmark for found in standings(records)] == [
        "toy-val",
        "toy-val+blur-1",
        "toy-val+blur-3",
        "toy-val+noise-2-s7",
    ]


def test_the_latest_of_an_entry_counts_and_partial_ones_are_left_out(make_record):
    old = make_record({"a": [(0.4, 0.4)]}, bench="toy-val+jpeg-5", created="2026-01-01T00:00:00+00:00")
    new = make_record({"a": [(0.5, 0.5)]}, bench="toy-val+jpeg-5", created="2026-01-02T00:00:00+00:00")
    part = make_record({"a": [(0.9, 0.9)]}, bench="toy-val+jpeg-4", expected=3)
    (found,) = robustness_of([old, new, part])
    assert [(point.severity, point.value) for curve in found.curves for point in curve.points] == [(5, 0.5)]
    assert found.partial == 1


def test_without_a_corrupted_record_there_is_nothing(make_record):
    assert robustness_of([make_record({"a": [(0.5, 0.5)]})]) == []
