"""Mean, recall and decay over frames, checked by hand, with the 8-bit quirk of the official decay."""

import math

import numpy as np
import pytest

from harness.metrics.j_and_f.statistics import decay, mean, recall, summarise_series


def test_a_value_of_one_half_is_not_recalled():
    assert recall(np.array([0.5, 0.51, 0.2, 1.0])) == 2 / 4


def test_without_a_frame_everything_is_undefined():
    figures = summarise_series(np.empty(0), np.empty(0), "official")
    assert all(math.isnan(value) for value in figures.values())
    assert math.isnan(mean(np.empty(0)))


def test_one_frame_has_no_decay():
    assert decay(np.array([0.7])) == 0


def test_two_frames_decay_from_the_first_to_the_last():
    # edges 1, 1.25, 1.5, 1.75, 2 round half to even (1e-10 added) to 1, 1, 2, 2, 2
    assert decay(np.array([0.75, 0.25])) == 0.5


def test_neighbouring_quarters_share_their_edge_frame():
    # edges 1, 3, 5, 7, 9: frames 1..3 against frames 7..9
    values = np.array([9, 6, 3, 0, 0, 0, 1, 2, 6], np.float64)
    assert decay(values) == (9 + 6 + 3) / 3 - (1 + 2 + 6) / 3


def test_an_edge_on_a_half_is_rounded_up():
    # seven frames: edges 1, 2.5, 4, 5.5, 7; the added 1e-10 makes 2.5 a 3 where half to even would make it a 2
    values = np.array([1, 1, 0, 0, 0, 0, 0], np.float64)
    assert decay(values) == pytest.approx(2 / 3, abs=1e-15)


def test_official_decay_is_undefined_where_eight_bits_overflow():
    values = np.linspace(1, 0, 298)
    assert math.isnan(decay(values))  # edges 0, 74, 149, 223, 297 - 256 = 41
    assert decay(values, "fixed") == pytest.approx(values[:75].mean() - values[223:].mean(), abs=1e-15)


def test_both_forms_of_decay_agree_up_to_256_frames():
    for length in (1, 2, 3, 4, 5, 50, 255, 256):
        values = np.random.default_rng(length).random(length)
        assert decay(values, "fixed") == decay(values, "official")
    assert math.isnan(decay(np.ones(257)))


def test_figures_carry_the_names_of_the_columns():
    figures = summarise_series(np.array([1.0, 0.0]), np.array([0.5, 1.0]), "official")
    assert figures == {
        "J&F": (1 / 2 + 3 / 4) / 2,
        "J-mean": 1 / 2,
        "J-recall": 1 / 2,
        "J-decay": 1.0,
        "F-mean": 3 / 4,
        "F-recall": 1 / 2,
        "F-decay": -0.5,
    }
