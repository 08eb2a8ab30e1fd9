"""Names from before still work, and say what they are called now."""

import pytest

import harness
from harness import DAVIS_2017, Benchmark


def test_a_benchmark_with_its_rules_by_the_earlier_name_loads_and_says_the_new_one():
    with pytest.warns(DeprecationWarning, match=r"Benchmark\(scorings=...\) is called rules= now") as told:
        benchmark = Benchmark(
            name="ours", title="Ours", scorings={"one-shot": DAVIS_2017}, open=lambda root, partial: []
        )
    assert benchmark.rules == {"one-shot": DAVIS_2017}
    assert told[0].filename == __file__


def test_the_rules_given_twice_are_refused():
    with pytest.raises(TypeError, match="both"):
        Benchmark(name="ours", title="Ours", rules={}, scorings={}, open=lambda root, partial: [])


def test_the_class_by_its_earlier_name():
    with pytest.warns(DeprecationWarning, match=r"harness.Scoring is called harness.Rule now"):
        assert harness.Scoring is harness.Rule
