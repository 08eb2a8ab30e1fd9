"""What truth says of candidates, in the two ways that it can be asked."""

import pytest

from harness.models.alignment import Alignment
from harness.tuning.measure import Candidate, rank_correlation


def test_an_object_that_changes_channels_shows_in_the_best_of_each_video():
    candidate = Candidate("file", Alignment(0, (0.5, 0.4)), ((0.9, 0.1), (0.2, 0.8)))
    assert candidate.truth == pytest.approx((0.55, 0.45))
    assert candidate.best_by_video == pytest.approx(0.85)


def test_without_truth_there_is_neither():
    candidate = Candidate("file", Alignment(0, (0.5, 0.4)))
    assert candidate.truth == ()
    assert candidate.best_by_video is None
    assert rank_correlation([candidate]) is None


def test_the_rank_correlation_is_over_all_channels_of_all_candidates():
    first = Candidate("first", Alignment(0, (0.3, 0.1)), ((0.8, 0.2),))
    second = Candidate("second", Alignment(1, (0.2, 0.4)), ((0.4, 0.9),))
    assert rank_correlation([first, second]) == 1.0
