"""``python -m benchmarks.claims.mug``: the rows and claims it has, and what it says of differences."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from benchmarks.claims import mug_granularities
from benchmarks.claims.mug import CLAIMS, FIRST, ROWS, is_shipped, measure, rows_of_granularities, table
from benchmarks.claims.mug_findings import hold_out
from benchmarks.claims.mug_granularities import GRANULARITIES
from benchmarks.claims.paired import compare, judge
from harness.catalog import Catalog
from harness_mug import WEIGHTS

SEEDS = [{"a": 0.5, "b": 0.3}, {"a": 0.3, "b": 0.3}]


def test_every_row_is_a_preset_of_a_card_and_every_claim_compares_two_rows():
    methods = Catalog.load().methods
    for row in ROWS:
        assert not row.preset or row.preset in methods.get(row.card).presets
        assert row.weights in ("shipped", "none", FIRST)
    names = {row.name for row in ROWS} | set(rows_of_granularities(dict.fromkeys(mug_granularities.ROWS, SEEDS)))
    assert {claim.row for claim in CLAIMS} | {claim.base for claim in CLAIMS} <= names
    assert [claim.number for claim in CLAIMS] == [1, 1, 1, 2, 3, 3, 3, 3, 4, 5]


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


def test_the_table_has_a_line_a_claim_that_was_measured():
    scores = {row.name: {"a": 0.5, "b": 0.3} for row in ROWS}
    scores["maps alone"] = {"a": 0.4, "b": 0.2}
    lines = table(scores)
    assert len(lines) == 2 + len(CLAIMS) - len(GRANULARITIES)
    assert lines[2] == "| 1 | full 0.400 | maps alone 0.300 | +0.100 [+0.100, +0.100] | +0.208 | shown |"
    assert "no difference to speak of" in lines[3]
    scores["maps alone"] = {"a": 0.7, "b": 0.2}
    assert "no difference shown" in table(scores)[2]
    scores["maps alone"] = {"a": 0.6, "b": 0.4}
    assert "the opposite is shown" in table(scores)[2]


def test_what_is_left_out_is_averaged_over_seeds():
    found = dict.fromkeys(mug_granularities.ROWS, SEEDS)
    found["long"] = [{"a": 0.4, "b": 0.2}, {"a": 0.4, "b": 0.1}]
    lines = mug_granularities.table("toy", found)
    assert len(lines) == 4 + len(GRANULARITIES)
    (line,) = (each for each in lines if each.startswith("| without long"))
    assert "0.275 ± 0.035 | -0.075 [" in line
    assert rows_of_granularities(found)["one round, without long"] == pytest.approx({"a": 0.4, "b": 0.15})


def test_a_round_that_was_trained_is_taken_for_its_own_recipe_alone(monkeypatch, tmp_path):
    def begin_training(*given, **named):
        raise StopIteration

    monkeypatch.setattr(mug_granularities, "prepare_round", begin_training)
    monkeypatch.setattr(mug_granularities, "code_digest", lambda plugin: "code")
    config, samples = mug_granularities.BEGUN, [SimpleNamespace(name="a")]
    monkeypatch.setattr(mug_granularities, "TrainingContext", lambda **named: None)
    key = mug_granularities.digest_of(config, ["a"], "code")
    kept = tmp_path / f"whole-0-{key}.safetensors"
    kept.touch()
    assert mug_granularities.train("whole", config, 0, samples, tmp_path) == kept
    for changed, seed, videos in (
        (replace(config, iterations=7), 0, samples),
        (replace(config, frozen_stages=3, keep_maps=False), 0, samples),
        (config, 1, samples),
        (config, 0, [SimpleNamespace(name="b")]),
    ):
        with pytest.raises(StopIteration):
            mug_granularities.train("whole", changed, seed, videos, tmp_path)
    monkeypatch.setattr(mug_granularities, "code_digest", lambda plugin: "another loss")
    with pytest.raises(StopIteration):
        mug_granularities.train("whole", config, 0, samples, tmp_path)


def test_a_row_runs_with_whose_weights_it_says(monkeypatch, tmp_path):
    asked = {}

    def run(card, bench, *, task, weights, preset, **settings):
        asked[card, preset] = (task, weights)
        raise StopIteration

    monkeypatch.setattr("benchmarks.claims.mug.harness.run", run)
    for row in ROWS:
        with pytest.raises(StopIteration):
            measure(row, "davis16-val", tmp_path, tmp_path / "out", tmp_path / "trained")
    assert asked["mug-zvos", "small"] == ("object-zvos", WEIGHTS[0].name)
    assert asked["mug-zvos", "maps"] == asked["centre-prior", ""] == ("object-zvos", "none")
    assert asked["mug", "untrained"] == ("one-shot", "none")
    first = next(row for row in ROWS if row.weights == FIRST)
    with pytest.raises(StopIteration):
        measure(first, "davis16-val", tmp_path, tmp_path / "out", tmp_path / "trained")
    assert asked[first.card, first.preset] == ("object-zvos", str(tmp_path / "trained" / FIRST))


def test_a_training_is_told_from_the_shipped_weights_by_what_the_network_has(tmp_path):
    state = load_file(WEIGHTS[0].path)
    kappa = next(iter(state.values())).new_zeros(2)
    save_file({**state, "training.bias": kappa}, tmp_path / "last.safetensors")
    assert is_shipped(tmp_path)
    name = next(name for name, value in state.items() if value.is_floating_point())
    save_file({**state, name: state[name] + 1}, tmp_path / "last.safetensors")
    assert not is_shipped(tmp_path)


def test_splits_hold_out_ten_videos_each_and_none_twice():
    names = [f"video-{number:02}" for number in range(30)]
    splits = [hold_out(names, split) for split in (1, 2, 3)]
    assert [len(split) for split in splits] == [10, 10, 10]
    assert sorted(name for split in splits for name in split) == names
