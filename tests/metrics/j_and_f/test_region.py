"""J from pixel counts, checked by hand."""

import numpy as np

from harness.metrics.j_and_f.region import region_similarity


def test_similarity_is_intersection_over_union():
    assert region_similarity(np.array([3, 0, 7]), np.array([12, 5, 7])).tolist() == [3 / 12, 0.0, 1.0]


def test_two_empty_masks_score_one():
    assert region_similarity(np.array([0]), np.array([0])).tolist() == [1.0]


def test_any_shape_of_counts_is_kept():
    assert region_similarity(np.zeros((2, 3, 4), np.int64), np.ones((2, 3, 4), np.int64)).shape == (2, 3, 4)
