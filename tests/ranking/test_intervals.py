"""Bootstrap intervals clustered by video: values by hand, weights, pairing, determinism."""

import itertools

import numpy as np
import pytest

from harness.ranking.intervals import TAILS, clustered_interval, paired_difference, tails_of


def test_objects_and_sequences_weigh_differently() -> None:
    rows = {"a": [1.0, 0.0, 0.5], "b": [0.9]}
    assert clustered_interval(rows, average="objects").value == pytest.approx(2.4 / 4, abs=1e-15)
    assert clustered_interval(rows, average="sequences").value == pytest.approx((0.5 + 0.9) / 2, abs=1e-15)


def test_frames_weigh_the_same_wherever_they_lie() -> None:
    rows, frames = {"a": [1.0, 0.5], "b": [0.2]}, {"a": [2, 4], "b": [10]}
    interval = clustered_interval(rows, average="frames", frames=frames)
    assert interval.value == pytest.approx((2 * 1.0 + 4 * 0.5 + 10 * 0.2) / 16)
    assert (interval.low, interval.high) == (0.2, pytest.approx(4 / 6))


def test_an_undefined_figure_takes_its_frames_along() -> None:
    rows, frames = {"a": [None, 0.5], "b": [0.2], "c": [None], "d": []}, {"a": [9, 4], "b": [6], "c": [0], "d": []}
    assert clustered_interval(rows, average="frames", frames=frames).value == pytest.approx((4 * 0.5 + 6 * 0.2) / 10)


def test_a_mean_over_frames_needs_their_numbers() -> None:
    with pytest.raises(ValueError, match="number of frames"):
        clustered_interval({"a": [0.5]}, average="frames")


def test_a_paired_difference_weighs_the_frames_of_each_run() -> None:
    base, head = {"a": [0.5], "b": [0.5]}, {"a": [0.7], "b": [0.3]}
    found = paired_difference(base, head, average="frames", frames=({"a": [3], "b": [1]}, {"a": [3], "b": [1]}))
    assert found.value == pytest.approx((3 * 0.2 - 0.2) / 4)
    assert (found.low, found.high) == (pytest.approx(-0.2), pytest.approx(0.2))


def test_two_videos_span_the_interval_between_them() -> None:
    interval = clustered_interval({"a": [0.2], "b": [0.6]}, average="objects")
    # A quarter of the draws takes video a twice, a quarter video b twice: both lie beyond the 2.5 % tails.
    assert (interval.low, interval.value, interval.high) == (0.2, 0.4, pytest.approx(0.6))


def test_interval_equals_the_exact_bootstrap_of_every_draw() -> None:
    rows = {"a": [0.1, 0.3], "b": [0.9], "c": [0.5, 0.7, 0.6], "d": [0.2]}
    exact = []
    for draw in itertools.product(rows.values(), repeat=4):
        objects = [figure for video in draw for figure in video]
        exact.append(sum(objects) / len(objects))
    interval = clustered_interval(rows, average="objects", samples=200_000)
    assert interval.low == pytest.approx(np.quantile(exact, 0.025), abs=0.01)
    assert interval.high == pytest.approx(np.quantile(exact, 0.975), abs=0.01)


def test_objects_of_one_video_are_drawn_together() -> None:
    # Ten equal objects in each of two videos carry no more evidence than one object in each.
    one = clustered_interval({"a": [0.2], "b": [0.6]}, average="objects")
    ten = clustered_interval({"a": [0.2] * 10, "b": [0.6] * 10}, average="objects")
    assert ten.low == pytest.approx(one.low)
    assert ten.high == pytest.approx(one.high)


def test_same_seed_same_interval_whatever_the_order_of_videos() -> None:
    rows = {f"video-{number}": [number / 10] for number in range(10)}
    backwards = dict(reversed(rows.items()))
    assert clustered_interval(rows, average="objects") == clustered_interval(backwards, average="objects")
    other = clustered_interval(rows, average="objects", seed=1)
    assert other.value == clustered_interval(rows, average="objects").value
    assert other != clustered_interval(rows, average="objects")


def test_the_draws_are_those_of_every_numpy_version() -> None:
    # The raw words of PCG64(0) are promised by NumPy and draw (c b a a), (d d c c), (c d d a) here, for ever. Their
    # means are 0.1875, 0.75 and 0.625; the tails lie 5 % of the way from the ends of the three to the middle one.
    rows = {"a": [0.0], "b": [0.25], "c": [0.5], "d": [1.0]}
    interval = clustered_interval(rows, average="objects", samples=3)
    assert interval.low == pytest.approx(0.95 * 0.1875 + 0.05 * 0.625)
    assert interval.high == pytest.approx(0.95 * 0.75 + 0.05 * 0.625)


def test_one_video_has_a_value_and_no_interval() -> None:
    interval = clustered_interval({"a": [0.25, 0.75]}, average="objects")
    assert (interval.value, interval.low, interval.high) == (0.5, None, None)


def test_undefined_figures_and_empty_videos_are_left_out() -> None:
    rows = {"a": [None, 0.5], "b": [], "c": [None], "d": [float("nan"), 0.7]}
    interval = clustered_interval(rows, average="sequences")
    assert interval.value == pytest.approx(0.6)
    assert clustered_interval({"a": [], "b": [None]}, average="objects").value is None


def test_a_constant_gain_is_clear_even_where_the_runs_overlap() -> None:
    base = {f"video-{number}": [number / 10] for number in range(10)}
    head = {video: [row + 0.01 for row in rows] for video, rows in base.items()}
    difference = paired_difference(base, head, average="objects")
    assert difference.value == pytest.approx(0.01)
    assert difference.low == pytest.approx(0.01)
    assert difference.high == pytest.approx(0.01)
    assert difference.is_clear
    assert difference.doubt == 0
    alone = clustered_interval(base, average="objects")
    assert alone.high - alone.low > 0.2


def test_a_gain_and_an_equal_loss_leave_full_doubt() -> None:
    difference = paired_difference({"a": [0.5], "b": [0.5]}, {"a": [0.6], "b": [0.4]}, average="objects")
    assert difference.value == pytest.approx(0)
    assert (difference.low, difference.high) == (pytest.approx(-0.1), pytest.approx(0.1))
    assert not difference.is_clear
    assert difference.doubt == 1.0


def test_doubt_falls_when_the_gain_holds_on_more_videos() -> None:
    base = {f"video-{number}": [0.5] for number in range(8)}
    mixed = {video: [0.6 if number < 5 else 0.45] for number, video in enumerate(base)}
    steady = {video: [0.6 if number < 7 else 0.45] for number, video in enumerate(base)}
    less = paired_difference(base, mixed, average="objects")
    more = paired_difference(base, steady, average="objects")
    assert 0 <= more.doubt < less.doubt < 1


def test_a_video_undefined_in_one_run_is_left_out_of_both() -> None:
    difference = paired_difference(
        {"a": [0.5], "b": [0.9], "c": [0.1]}, {"a": [0.6], "b": [None], "c": [0.2]}, average="sequences"
    )
    assert difference.value == pytest.approx(0.1)


def test_different_videos_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="only one run has b, c"):
        paired_difference({"a": [0.5], "b": [0.5]}, {"a": [0.5], "c": [0.5]}, average="objects")


@pytest.mark.parametrize("count", [1, 2, 3, 41, 200, 1999, 2000])
def test_the_ends_of_an_interval_are_those_of_numpy_to_the_bit(count):
    rng = np.random.default_rng(count)
    for drawn in (rng.random(count), rng.normal(size=count) * 1e-3, np.full(count, 0.1), rng.integers(0, 3, count) / 3):
        assert tails_of(drawn) == tuple(np.quantile(drawn, TAILS))
