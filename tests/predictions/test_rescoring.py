"""Masks scored again: which figure is named where the record says another."""

import pytest

from harness.api.contracts import DAVIS_2017, RULES
from harness.api.errors import VerificationFailed
from harness.predictions.rescoring import expect_equal, rule_of

VIDEOS = {"a": [(0.5, 0.25)], "b": [(0.75, 0.5)]}


def test_the_same_figures_are_equal(make_record):
    expect_equal(make_record(VIDEOS), make_record(VIDEOS, created="2026-02-02T03:04:05+00:00"), "the masks score")


def test_the_first_figure_that_is_another_is_named(make_record):
    again = make_record({**VIDEOS, "b": [(0.75, 0.75)]})
    with pytest.raises(VerificationFailed, match=r"b, object 1, F-mean: the masks score 0\.75, .* says 0\.5"):
        expect_equal(make_record(VIDEOS).model_copy(update={"scores": again.scores}), again, "the masks score")


def test_other_data_is_named_first(make_record):
    record = make_record(VIDEOS)
    other = record.benchmark.model_copy(update={"fingerprint": "3" * 64})
    with pytest.raises(VerificationFailed, match="other data"):
        expect_equal(record, record.model_copy(update={"benchmark": other}), "the masks score")


def test_the_rule_is_that_of_the_record(make_record):
    record = make_record(VIDEOS)
    assert rule_of(record, DAVIS_2017) is None
    name, rule = next((name, rule) for name, rule in RULES.items() if rule.version != DAVIS_2017.version)
    scored = record.benchmark.model_copy(update={"scoring": rule.version})
    assert rule_of(record.model_copy(update={"benchmark": scored}), DAVIS_2017) is rule, name
    unknown = record.benchmark.model_copy(update={"scoring": "nobody/9"})
    with pytest.raises(VerificationFailed, match="nobody/9"):
        rule_of(record.model_copy(update={"benchmark": unknown}), DAVIS_2017)
