"""The second stage's targets and loss on hand-made masks."""

import pytest
import torch

from harness.ops.crf import Bilateral, DenseCRF
from harness_imas.training.appearance import appearance_loss, constrain, refine_target, widen


def test_the_loss_is_the_mean_square_and_rcf_weighs_what_is_lacking_twice():
    mask, target = torch.tensor([[[0.5, 1.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 0.5, 0.0, 0.0]]])

    assert appearance_loss(mask, target).item() == pytest.approx((0.25 + 0.25) / 4)
    assert appearance_loss(mask, target, lacking=2.0).item() == pytest.approx((2 * 0.25 + 0.25) / 4)


def test_a_mask_that_is_its_target_costs_nothing():
    mask = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0))

    assert appearance_loss(mask, mask).item() == 0


def test_widening_is_by_a_square():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 2] = True

    assert widen(mask, 3).sum() == 9
    assert widen(mask, 1).sum() == 1


def test_what_does_not_resemble_the_object_is_cut_off():
    """A swan and its mirror image move alike; they do not look alike."""
    swan, mirrored = torch.zeros(8, 10), torch.zeros(8, 10)
    swan[1:4, 3:7], mirrored[5:7, 4:6] = 1, 1
    features = torch.zeros(3, 8, 10)
    features[2] = 1
    for place, part in enumerate((swan, mirrored)):
        features[:, part > 0] = 0
        features[place, part > 0] = 1

    found = constrain(torch.maximum(swan, mirrored), features, threshold=0.5, dilation=1)

    assert torch.equal(found, swan)


def test_a_constraint_as_wide_as_the_frame_is_dropped():
    target = torch.zeros(8, 10)
    target[3:5] = 1
    features = torch.stack([target, 1 - target])

    assert torch.equal(constrain(target, features, threshold=0.5, dilation=3), target)


def test_no_target_stays_none():
    empty = torch.zeros(8, 10)

    assert torch.equal(constrain(empty, torch.ones(2, 8, 10), threshold=0.5, dilation=3), empty)


def test_the_crf_follows_the_colours():
    """A mask that misses a corner of a red square, on grey, gets it back."""
    frame = torch.full((24, 32, 3), 90, dtype=torch.uint8)
    frame[6:18, 8:24] = torch.tensor([210, 30, 30], dtype=torch.uint8)
    mask = torch.full((24, 32), 0.05)
    mask[6:18, 8:24] = 0.9
    mask[6:10, 8:12] = 0.4

    found = refine_target(frame, mask, DenseCRF(Bilateral(3, 5, 5), None, 10), divide=0.7)

    expected = torch.zeros(24, 32)
    expected[6:18, 8:24] = 1
    assert torch.equal(found, expected)
