"""Sign flips by hand and beside scipy, the t interval, what could be seen, verdicts, Holm."""

import itertools

import numpy as np
import pytest
from scipy import stats

from harness.ranking.significance import Shares, adjust_by_holm, assess, flip_signs, judge_shares, quantile


def rows(*figures):
    return {f"v{place:02}": [figure] for place, figure in enumerate(figures)}


def differ(*differences):
    """A significance of these differences, head minus base, one a video."""
    return assess(rows(*[0.5] * len(differences)), rows(*(0.5 + by for by in differences)), average="objects")


@pytest.mark.parametrize(
    ("shares", "p"),
    [
        ([3.0], 2 / 2),
        ([1.0, 2.0], 2 / 4),  # |3| of 3, 1, -1, -3
        ([1.0, -2.0], 4 / 4),
        ([1.0, 2.0, 4.0], 2 / 8),
        ([1.0, 2.0, -4.0], 8 / 8),  # |-1|: all sums are odd
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # |2| or more: 2 of sum 4, 8 of sum 2
        ([0.0, 1.0, 2.0, 4.0, 0.0], 2 / 8),  # what does not move counts for nothing
        ([0.0, 0.0], 1.0),
    ],
)
def test_p_is_the_share_of_flips_as_far_from_zero(shares, p):
    found = flip_signs(np.array(shares))
    assert (found.p, found.flips, found.is_exact) == (p, 2 ** len(shares), True)


@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_exact_flips_are_those_of_scipy(count):
    draw = np.random.default_rng(count)
    for shares in (draw.normal(0.3, 1, count), draw.integers(-2, 3, count) / 10):  # the second with many ties
        given = {"permutation_type": "samples", "n_resamples": 2**count, "vectorized": True}
        sides = (shares, np.zeros(count))
        expected = stats.permutation_test(sides, lambda x, y, axis: (x - y).sum(axis), **given).pvalue
        assert flip_signs(shares).p == pytest.approx(expected, abs=1e-12)


def test_thirty_videos_are_counted_whole_and_drawn_flips_come_near():
    shares = np.random.default_rng(0).normal(0.3, 1, 30)
    exact, drawn = flip_signs(shares), flip_signs(shares, most_exact=20)
    assert (exact.flips, exact.is_exact) == (2**30, True)
    assert (drawn.flips, drawn.is_exact) == (9_999, False)
    assert abs(exact.p - drawn.p) < 4 * np.sqrt(exact.p / 9_999)
    assert drawn == flip_signs(shares, most_exact=20)


def test_the_interval_is_that_of_a_paired_t_test():
    draw = np.random.default_rng(1)
    base, head = draw.random(9), draw.random(9)
    expected = stats.ttest_rel(head, base).confidence_interval(0.95)
    found = assess(rows(*base), rows(*head), average="objects")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    error = np.std(head - base, ddof=1) / 3
    assert found.detectable == pytest.approx((stats.t.ppf(0.975, 8) + stats.t.ppf(0.8, 8)) * error)
    assert found.equal_within == pytest.approx(max(abs(found.low), abs(found.high)))


def test_the_sides_change_places_and_nothing_else():
    draw = np.random.default_rng(2)
    base, head = rows(*draw.random(8)), rows(*draw.random(8))
    there, back = assess(base, head, average="objects"), assess(head, base, average="objects")
    assert (there.p, there.detectable, there.equal_within) == (back.p, back.detectable, back.equal_within)
    assert (there.low, there.high) == (-back.high, -back.low)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, 0.11, 0.12, 0.1, 0.11, 0.13], "better"),
        ([-0.1, -0.11, -0.12, -0.1, -0.11, -0.13], "worse"),
        ([0.1, 0.11, 0.12, 0.1, 0.11], "no difference shown"),  # p is .0625, whatever the interval says
        ([0.1, -0.11, 0.12, -0.1, 0.11, 0.02], "no difference shown"),
        ([0.0] * 8, "no difference shown"),
        ([0.2] * 8, "better"),
    ],
)
def test_there_are_three_verdicts(differences, verdict):
    found = differ(*differences)
    assert found.judge(higher_is_better=True) == verdict
    opposite = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    assert found.judge(higher_is_better=False) == opposite


def test_equal_runs_are_equal_within_nothing():
    found = differ(*[0.0] * 8)
    assert (found.p, found.low, found.high, found.equal_within, found.detectable) == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_one_video_has_no_interval_and_none_has_nothing():
    one = differ(0.3)
    assert (one.videos, one.p, one.low, one.detectable) == (1, 1.0, None, None)
    none = assess({"a": [None]}, {"a": [0.5]}, average="objects")
    assert (none.videos, none.p, none.judge(higher_is_better=True)) == (0, None, "no difference shown")


def test_two_videos_have_the_widest_of_intervals():
    found = differ(0.1, 0.3)
    assert (found.low, found.high) == (
        pytest.approx(0.2 - 12.7062 * 0.1, abs=1e-5),
        pytest.approx(0.2 + 1.27062, abs=1e-5),
    )
    assert found.p == 2 / 4


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="no number"):
        judge_shares(0.1, np.array([0.1, wrong]), np.zeros(2))


def test_a_gain_of_every_object_is_sure_however_many_each_video_has():
    base = {"a": [0.1, 0.3], "b": [0.9], "c": [0.5, 0.7, 0.6], "d": [0.2]}
    head = {video: [figure + 0.05 for figure in figures] for video, figures in base.items()}
    found = assess(base, head, average="objects")
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.05))


def test_a_ratio_of_sums_has_the_error_of_its_jackknife():
    draw = np.random.default_rng(3)
    base = {f"v{place:02}": list(draw.random(1 + place % 3)) for place in range(40)}
    interval = Shares.of_rows(base, average="objects").interval()
    without = []
    for left_out in base:
        kept = list(itertools.chain.from_iterable(figures for video, figures in base.items() if video != left_out))
        without.append(np.mean(kept))
    error = np.sqrt(39 / 40 * np.square(np.array(without) - np.mean(without)).sum())
    assert (interval.high - interval.low) / 2 == pytest.approx(stats.t.ppf(0.975, 39) * error, rel=0.05)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert adjust_by_holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert adjust_by_holm([0.9, 0.6]) == [1.0, 1.0]
    assert adjust_by_holm([]) == []


def test_no_runs_are_compared_across_other_videos():
    with pytest.raises(ValueError, match="needs the same videos"):
        assess(rows(0.1, 0.2), rows(0.1), average="objects")


@pytest.mark.parametrize(
    ("share", "count", "known"), [(0.975, 4, 3.18244630528), (0.975, 10, 2.26215716280), (0.8, 10, 0.883403859686)]
)
def test_quantiles_have_the_digits_that_every_cpu_agrees_on(share, count, known):
    assert quantile(share, count) == known
