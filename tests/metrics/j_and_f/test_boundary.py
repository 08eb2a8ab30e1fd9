"""Boundary maps, radius, disk and F, checked by hand."""

import numpy as np
import pytest

from harness.metrics.j_and_f.boundary import (
    boundary_accuracy,
    boundary_radius,
    differing_blocks,
    disk,
    disk_half_widths,
)


@pytest.mark.parametrize(
    ("height", "width", "radius"), [(480, 854, 8), (1, 1, 1), (100, 75, 1), (100, 76, 2), (4320, 7680, 71)]
)
def test_radius_is_a_part_of_the_diagonal_rounded_up(height, width, radius):
    assert boundary_radius(height, width) == radius


def test_disk_has_every_pixel_within_the_radius():
    assert disk_half_widths(2).tolist() == [2, 1, 0]
    assert disk(2).tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]


def test_disk_and_its_half_widths_agree():
    for radius in range(1, 20):
        rows = disk(radius)[radius:].sum(axis=1)
        assert rows.tolist() == (2 * disk_half_widths(radius) + 1).tolist()


def test_one_pixel_has_a_boundary_up_and_left_of_it():
    masks = np.zeros((4, 5), np.uint8)
    masks[2, 3] = 1
    assert np.argwhere(differing_blocks(masks)).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_an_object_that_fills_the_image_has_no_boundary():
    assert not differing_blocks(np.ones((4, 5), np.uint8)).any()


def test_the_last_row_looks_right_only_and_the_last_column_down_only():
    masks = np.zeros((3, 4), np.uint8)
    masks[2, :2] = 1  # left half of the last row
    masks[0, 3] = 2  # top of the last column
    assert np.argwhere(differing_blocks(masks)[2]).tolist() == [[1]]
    assert np.argwhere(differing_blocks(masks)[:, 3]).tolist() == [[0]]


def test_the_last_corner_pixel_is_never_boundary():
    masks = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.argwhere(~differing_blocks(masks)).tolist() == [[2, 3]]


def _accuracy(predicted, true, predicted_near_true, true_near_predicted):
    return boundary_accuracy(*(np.array([n]) for n in (predicted, true, predicted_near_true, true_near_predicted)))[0]


def test_accuracy_is_the_harmonic_mean_of_precision_and_recall():
    assert _accuracy(4, 8, 2, 2) == pytest.approx(2 * (1 / 2) * (1 / 4) / (1 / 2 + 1 / 4), abs=1e-15)


def test_two_empty_boundaries_score_one_and_one_empty_boundary_scores_zero():
    assert _accuracy(0, 0, 0, 0) == 1
    assert _accuracy(5, 0, 0, 0) == 0
    assert _accuracy(0, 5, 0, 0) == 0


def test_boundaries_that_never_meet_score_zero():
    assert _accuracy(5, 7, 0, 0) == 0
