"""Average precision over resampled videos: by hand, beside repeating the videos, and its interval and differences."""

import numpy as np
import pytest

from harness.api.records import Detections, Matches
from harness.ranking.precision import (
    leave_each_out,
    pool,
    resample_difference,
    resample_figures,
    share_compiled,
    share_plainly,
)
from harness.ranking.significance import Shares


def video(*found, truths=1, order=None, category=-1):
    """Detections of a score and one outcome each, the same at all thresholds and in all ranges of areas."""
    letters = "".join(letter * 10 for _, letter in found)
    group = Matches(
        category=category,
        scores=[score for score, _ in found],
        ranks=list(range(len(found))),
        outcomes=[letters] * 4,
        truths=[truths] * 4,
    )
    return Detections(order=order, groups=[group])


def once(videos):
    return {name: values[0] for name, values in pool(videos, np.ones((1, len(videos)))).items()}


def test_a_true_one_after_a_false_one_has_half_the_precision():
    figures = once([video((0.9, "f"), (0.8, "t"))])
    assert figures["AP"] == pytest.approx(1 / 2)
    assert (figures["AR1"], figures["AR10"]) == (0.0, 1.0)


def test_what_is_ignored_counts_neither_way_and_a_missed_truth_costs_recall():
    assert once([video((0.9, "i"), (0.8, "t"), truths=2)])["AP"] == pytest.approx(51 / 101)
    assert once([video(truths=1)])["AP"] == 0.0
    assert np.isnan(once([video((0.9, "f"), truths=0)])["AP"])


def test_a_video_that_counts_twice_is_a_video_that_stands_twice():
    draw = np.random.default_rng(0)
    videos = [video(*((score, "tfi"[draw.integers(3)]) for score in draw.random(6)), truths=4) for _ in range(4)]
    weights = np.array([[2.0, 0.0, 1.0, 3.0]])
    weighed = pool(videos, weights)
    repeated = once([videos[0]] * 2 + [videos[2]] + [videos[3]] * 3)
    assert {name: values[0] for name, values in weighed.items()} == pytest.approx(repeated, rel=1e-12)


def test_of_equal_scores_the_first_by_the_datasets_order_comes_first():
    good, bad = video((0.5, "t"), order=1), video((0.5, "f"), truths=0, order=2)
    assert once([bad, good])["AP"] == pytest.approx(1.0)
    swapped = [video((0.5, "f"), truths=0, order=1), video((0.5, "t"), order=2)]
    assert once(swapped)["AP"] == pytest.approx(1 / 2)


def test_categories_weigh_the_same_and_one_without_truth_is_left_out():
    videos = [video((0.9, "t"), category=1), video((0.9, "f"), category=2), video((0.9, "f"), truths=0, category=3)]
    assert once(videos)["AP"] == pytest.approx(1 / 2)


def test_the_interval_holds_the_figure_and_equal_videos_leave_none():
    equal = resample_figures([video((0.9, "f"), (0.8, "t"))] * 5)["AP"]
    assert (equal.low, equal.value, equal.high) == pytest.approx((0.5, 0.5, 0.5))
    mixed = resample_figures([video((0.9, "t")), video((0.8, "f")), video((0.7, "t")), video((0.6, "f"))])["AP"]
    assert mixed.low < mixed.value < mixed.high
    assert resample_figures([video((0.9, "t"))])["AP"].low is None
    assert resample_figures([]) == {}


def test_a_difference_is_paired_and_changes_sign_with_its_sides():
    base = [video((0.9 - n / 100, "tf"[n % 2]), truths=1) for n in range(6)]
    head = [video((0.9 - n / 100, "t"), truths=1) for n in range(6)]
    there, back = resample_difference(base, head, "AP"), resample_difference(head, base, "AP")
    assert there.value == pytest.approx(once(head)["AP"] - once(base)["AP"])
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))
    same = resample_difference(base, base, "AP")
    assert (same.value, same.low, same.high, same.doubt) == (0.0, 0.0, 0.0, 1.0)


def test_each_videos_share_is_what_leaving_it_out_changes():
    videos = [video((0.9, "t")), video((0.8, "f")), video((0.7, "t"))]
    value, shares = leave_each_out(videos, "AP")
    without = [once(videos[:n] + videos[n + 1 :])["AP"] for n in range(3)]
    raw = 3 * value - 2 * np.array(without)
    assert shares == pytest.approx(raw + value - raw.mean())
    told = Shares.of_detections({"a": videos[0], "b": videos[1], "c": videos[2]}, "AP").interval()
    assert told.low < told.value < told.high


@pytest.mark.parametrize(("draws", "detections"), [(1, 1), (7, 3), (50, 40), (20, 700)])
@pytest.mark.parametrize("begins", ["true", "false", "neither"])
def test_machine_code_shares_precision_as_plain_numpy_does_to_the_bit(draws, detections, begins):
    rng = np.random.default_rng(detections)
    weights = rng.integers(0, 4, (draws, 5)).astype(np.float64)
    video, kind = rng.integers(0, 5, detections), rng.integers(0, 3, detections)
    kind[0] = ["true", "false", "neither"].index(begins)
    positives = (weights[:, video] * (kind == 0)).sum(axis=1) + rng.integers(1, 4, draws)
    given = (weights, video, kind == 0, kind == 1, positives)
    assert np.array_equal(share_compiled(*given), share_plainly(*given))
