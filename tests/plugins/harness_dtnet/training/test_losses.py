"""Targets and losses of D-Net by numbers that can be checked on paper."""

import math

import pytest
import torch

from harness_dtnet.training.losses import centre_loss, foreground_loss, offset_loss
from harness_dtnet.training.targets import MOST, UNKNOWN, VOID, Targets, class_map, instance_targets


def ids_of(side, *boxes):
    ids = torch.zeros(1, side, side, dtype=torch.uint8)
    for name, top, left, height, width in boxes:
        ids[0, top : top + height, left : left + width] = name
    return ids


def test_a_centre_is_one_at_its_cell_and_falls_by_the_gaussian():
    ids = ids_of(32, (1, 12, 12, 4, 4))  # the pixels of cell (3, 3), whose centre is 13.5
    found = instance_targets(ids, sigma=8.0)
    assert found.heatmap.shape == (1, 8, 8)
    assert found.heatmap[0, 3, 3] == 1
    assert found.heatmap[0, 3, 5] == pytest.approx(math.exp(-1 / 2))  # 8 pixels away
    assert found.heatmap[0, 4, 4] == pytest.approx(math.exp(-(16 + 16) / 128))


def test_where_two_gaussians_meet_the_higher_one_holds():
    both = instance_targets(ids_of(32, (1, 12, 4, 4, 4), (2, 12, 20, 4, 4)), sigma=8.0).heatmap
    one, other = (instance_targets(ids_of(32, box), sigma=8.0).heatmap for box in ((1, 12, 4, 4, 4), (1, 12, 20, 4, 4)))
    assert torch.equal(both, torch.maximum(one, other))


def test_offsets_lead_from_the_middle_of_a_cell_to_the_centre_of_mass():
    found = instance_targets(ids_of(16, (3, 0, 0, 8, 16)), sigma=5.0)  # mass at (3.5, 7.5); cells at 1.5, 5.5, ...
    assert found.offsets[0, :, 0, 0].tolist() == [2, 6]
    assert found.offsets[0, :, 1, 3].tolist() == [-2, -6]
    assert found.is_object[0].tolist() == [[True] * 4, [True] * 4, [False] * 4, [False] * 4]
    assert (found.offsets[0, :, 2:] == 0).all()


def test_objects_that_nobody_told_apart_and_void_teach_neither_centres_nor_offsets():
    ids = ids_of(16, (UNKNOWN, 0, 0, 8, 16), (VOID, 8, 0, 4, 16))
    found = instance_targets(ids, sigma=5.0)
    assert not found.is_object.any()
    assert found.is_told[0].sum(1).tolist() == [0, 0, 0, 4]
    assert (found.heatmap == 0).all()


def test_classes_follow_ids_and_unknown_stays_unknown():
    ids = torch.tensor([[[0, 1, 2, 7, UNKNOWN, VOID]]], dtype=torch.uint8)
    classes = torch.full((1, MOST + 1), UNKNOWN, dtype=torch.uint8)
    classes[0, :3] = torch.tensor([0, 5, 3])
    assert class_map(ids, classes).tolist() == [[[0, 5, 3, UNKNOWN, UNKNOWN, VOID]]]


def test_foreground_is_the_binary_cross_entropy_and_void_does_not_count():
    logits = torch.tensor([[[[0.0, math.log(3), 9.0]]]])  # probabilities 1/2, 3/4
    classes = torch.tensor([[[0, 1, VOID]]], dtype=torch.uint8)
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert foreground_loss(logits, classes).item() == pytest.approx(expected)
    assert foreground_loss(logits, torch.full_like(classes, VOID)).item() == 0


def test_the_hardest_half_of_the_pixels_is_the_mean_of_the_larger_losses():
    logits = torch.tensor([[[[0.0, math.log(3), math.log(3), -math.log(3)]]]])
    classes = torch.tensor([[[1, 1, 0, 1]]], dtype=torch.uint8)  # losses log 2, log 4/3, log 4, log 4
    assert foreground_loss(logits, classes, 0.5).item() == pytest.approx(math.log(4))
    assert foreground_loss(logits, torch.full_like(classes, VOID), 0.5).item() == 0


def test_an_object_of_no_known_category_is_any_of_them():
    logits = torch.tensor([1 / 2, 1 / 4, 1 / 4]).log().view(1, 3, 1, 1)
    for name, share in ((0, 1 / 2), (1, 1 / 4), (2, 1 / 4), (UNKNOWN, 1 / 2)):
        classes = torch.full((1, 1, 1), name, dtype=torch.uint8)
        assert foreground_loss(logits, classes).item() == pytest.approx(-math.log(share))


def make_targets(heatmap, offsets, is_told, is_object):
    return Targets(torch.tensor([heatmap]), torch.tensor([offsets]), torch.tensor([is_told]), torch.tensor([is_object]))


def test_centres_cost_their_squared_error_where_they_are_told():
    targets = make_targets([[1.0, 0.0, 0.0]], [[[0.0] * 3]] * 2, [[True, True, False]], [[False] * 3])
    found = centre_loss(torch.tensor([[[0.5, 0.25, 9.0]]]), targets)
    assert found.item() == pytest.approx((1 / 4 + 1 / 16) / 2)


def test_offsets_cost_their_absolute_error_on_objects_alone():
    targets = make_targets([[0.0] * 3], [[[3.0, -1.0, 0.0]], [[0.0, 2.0, 0.0]]], [[True] * 3], [[True, True, False]])
    found = offset_loss(torch.tensor([[[[1.0, -1.0, 50.0]], [[0.0, 5.0, 50.0]]]]), targets)
    assert found.item() == pytest.approx((2 + 0 + 0 + 3) / 4)
    nothing = make_targets([[0.0]], [[[0.0]], [[0.0]]], [[True]], [[False]])
    assert offset_loss(torch.ones(1, 2, 1, 1), nothing).item() == 0


def test_right_answers_are_the_minimum_of_every_loss():
    ids = ids_of(16, (1, 0, 0, 8, 8), (2, 8, 4, 8, 8))
    targets, classes = instance_targets(ids, 5.0), (ids > 0).to(torch.uint8)
    heatmap, offsets = targets.heatmap.clone().requires_grad_(), targets.offsets.clone().requires_grad_()
    logits = (40.0 * (2 * (ids > 0).float() - 1))[:, None].requires_grad_()
    loss = foreground_loss(logits, classes) + centre_loss(heatmap, targets)
    loss.backward()
    assert loss.item() < 1e-12
    assert heatmap.grad.abs().max() == 0
    assert logits.grad.abs().max() < 1e-12
    assert offset_loss(offsets, targets).item() == 0


def test_gradients_are_those_of_finite_differences():
    ids = ids_of(8, (1, 0, 0, 8, 4), (UNKNOWN, 0, 4, 4, 4))
    targets = Targets(*(part.double() if part.is_floating_point() else part for part in instance_targets(ids, 5.0)))
    classes = class_map(ids, torch.tensor([[0, 2, *[UNKNOWN] * (MOST - 1)]], dtype=torch.uint8))
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 8, 8, generator=draw, dtype=torch.double).requires_grad_()
    heatmap = torch.randn(1, 2, 2, generator=draw, dtype=torch.double).requires_grad_()
    offsets = torch.randn(1, 2, 2, 2, generator=draw, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: foreground_loss(x, classes), logits)
    assert torch.autograd.gradcheck(lambda x: centre_loss(x, targets), heatmap)
    assert torch.autograd.gradcheck(lambda x: offset_loss(x, targets), offsets)
