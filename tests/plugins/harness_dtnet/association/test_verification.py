"""Eq. 10, who gets which proposal, what is new, and how replaced results lie over the others."""

import numpy as np
import pytest
import torch

from harness.api.mask_files import RunLength
from harness_dtnet.association.merging import merge
from harness_dtnet.association.tracks import TrackRecord
from harness_dtnet.association.verification import assign, find_new, lay_over, matching_scores
from harness_dtnet.discovery.categories import Categories
from harness_dtnet.target.bilinear import Bilinear
from harness_dtnet.target.features import describe


def boxes(*spans):
    masks = torch.zeros(len(spans), 1, 12, dtype=torch.bool)
    for place, (start, end) in enumerate(spans):
        masks[place, 0, start:end] = True
    return masks


def test_a_score_is_two_cosines_where_the_overlap_is_more_than_half():
    looks = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    iou = torch.tensor([[0.6, 0.5], [0.51, 0.9]])
    found = matching_scores(
        looks, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]]), iou, 0.5
    )
    assert torch.allclose(found, torch.tensor([[1.6, 0.0], [0.6 + 1.0, 0.8 + 0.6]]))


def test_each_track_gets_one_proposal_and_none_below_the_threshold():
    scores = np.array([[1.5, 1.4], [1.2, 0.5]], np.float32)
    assert assign(scores, 1.3, "hungarian") == [(0, 0, pytest.approx(1.5))]
    assert assign(scores, 0.6, "hungarian") == [(1, 0, pytest.approx(1.2)), (0, 1, pytest.approx(1.4))]
    assert assign(scores, 0.6, "argmax") == [(0, 0, pytest.approx(1.5)), (0, 1, pytest.approx(1.4))]
    assert assign(np.zeros((0, 3), np.float32), 0.6, "hungarian") == []


def test_a_negative_score_takes_nothing():
    assert assign(np.array([[-0.5]], np.float32), -1.0, "argmax") == [(0, 0, -0.5)]
    assert assign(np.array([[-0.5]], np.float32), 0.6, "hungarian") == []


def test_new_is_what_scores_nothing_overlaps_little_and_is_large_enough():
    scores = np.array([[0, 0], [0, 1.1], [0, 0], [0, 0]], np.float32)
    iou = np.array([[0.05, 0.0], [0.0, 0.0], [0.1, 0.0], [0.0, 0.0]], np.float64)
    assert find_new(scores, iou, [9, 9, 9, 3], least_area=4.0, most_overlap=0.1) == [0]
    nobody = np.zeros((2, 0))
    assert find_new(nobody.astype(np.float32), nobody, [5, 5], least_area=1.0, most_overlap=0.1) == [0, 1]


def test_replaced_results_lie_over_the_others_and_no_pixel_is_of_two():
    before = boxes((0, 4), (4, 8), (8, 12))
    found = lay_over(before, {0: boxes((2, 6))[0], 2: boxes((5, 10))[0]})
    assert torch.equal(found, boxes((2, 6), (0, 0), (6, 10)))
    assert lay_over(before, {}) is before


def test_a_pixel_is_of_the_target_that_is_surer_than_background_and_the_others():
    scores = torch.tensor([[[0.9, 0.4, 0.7, 2.0, -1.0]], [[0.2, 0.3, 0.8, 0.0, float("0")]]])
    labels, masks = merge(scores, None)
    assert masks[:, 0].tolist() == [[True, False, False, True, False], [False, False, True, False, False]]
    assert labels[0, 0, 0] == pytest.approx((0.9 / 0.1) / (0.9 / 0.1 + 0.2 / 0.8 + 0.1 / 0.9))
    assert labels[1, 0, 0] == 0
    assert labels.isfinite().all()


def test_nothing_lies_outside_the_foreground():
    _, masks = merge(torch.full((1, 1, 3), 0.9), torch.tensor([[True, False, True]]))
    assert masks[0, 0].tolist() == [True, False, True]


def test_a_look_is_of_length_one_and_empty_and_whole_masks_look_like_nothing():
    features = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 24, 32)
    masks[0, 3:9, 4:20] = 1
    masks[2] = 1
    found = describe(features, masks, Bilinear((3, 4), (24, 32), features))
    assert found.norm(dim=1).tolist() == [pytest.approx(1, abs=1e-5), 0, 0]


def test_a_track_has_the_category_with_most_evidence_and_is_absent_before_it_is_born():
    track = TrackRecord(id=1, born=2)
    mask = RunLength.encode(np.ones((2, 2), bool))
    track.note(mask, 0.8, [0.1, 0.5])
    track.note(None, 0.0, [0.9, 0.0])
    track.note(mask, 0.6, [0.3, 0.2])
    found = track.finish(6, Categories((3, 5), ("a", "b")))
    assert (found.category, found.score) == (5, pytest.approx(0.7 * 0.7 / 1.1))
    assert found.masks == [None, None, mask, None, mask, None]


def test_without_categories_a_track_is_of_category_one():
    track = TrackRecord(id=1, born=0)
    track.note(RunLength.encode(np.ones((2, 2), bool)), 0.8, [])
    assert (track.finish(1, Categories()).category, track.finish(1, Categories()).score) == (1, pytest.approx(0.8))
