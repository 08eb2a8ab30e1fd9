"""``python -m benchmarks.claims.mug``: the rows it has, and what it says of differences."""

import numpy as np
import pytest

from benchmarks.claims import mug_granularities
from benchmarks.claims.mug import GRANULARITIES, compare, judge, list_rows, table
from harness.catalog import Catalog


def test_every_row_is_a_preset_of_a_card_and_its_base_comes_before_it():
    methods = Catalog.load().methods
    training = methods.get("mug-zvos").training
    seen = []
    for row in list_rows():
        assert not row.preset or row.preset in methods.get(row.card).presets
        assert row.training is None or row.training.preset in training.presets
        assert not row.base or row.base in seen
        seen.append(row.name)
    assert len(seen) == len(set(seen))


def test_a_difference_is_paired_by_video():
    """Differences .1, .2, .3: mean .2, deviation .1, t of two degrees of freedom 4.303."""
    base, head = {"a": 0.1, "b": 0.5, "c": 0.3}, {"a": 0.2, "b": 0.7, "c": 0.6}
    mean, low, high = compare(head, base)
    assert mean == pytest.approx(0.2)
    assert high - mean == mean - low == pytest.approx(4.3027 * 0.1 / np.sqrt(3), rel=1e-4)
    assert judge(low, high) == "no difference shown"
    assert (judge(0.1, 0.2), judge(-0.2, -0.1)) == ("better", "worse")


def test_one_video_shows_nothing():
    assert judge(*compare({"a": 1.0}, {"a": 0.0})[1:]) == "no difference shown"


def test_the_table_has_each_row_and_what_is_left_out_is_averaged_over_seeds():
    rows = list_rows()
    scores = {row.name: {"a": 0.5, "b": 0.3} for row in rows}
    assert len(table(rows, scores)) == len(rows) + 2
    found = {name: [{"a": 0.5, "b": 0.3}, {"a": 0.5, "b": 0.3}] for name in mug_granularities.ROWS}
    found["long"] = [{"a": 0.4, "b": 0.2}, {"a": 0.4, "b": 0.1}]
    lines = mug_granularities.table("toy", found)
    assert len(lines) == 4 + len(GRANULARITIES)
    (line,) = (each for each in lines if each.startswith("| without long"))
    assert "0.275 ± 0.035 | -0.125 [" in line
