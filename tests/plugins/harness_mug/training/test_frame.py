"""Frame granularity: targets and the cross-entropy, by numbers that can be checked on paper."""

import math

import pytest
import torch

from harness_mug.training.granularities.frame import bootstrap, frame_loss


def test_the_target_is_mostly_what_the_round_before_said():
    initial, predicted = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    target = bootstrap(initial, predicted, 0.05)
    assert target.tolist() == pytest.approx([1, 0.95, 0.05, 0])


def test_in_the_first_round_it_is_the_initial_map():
    initial = torch.tensor([1.0, 0.0])
    assert bootstrap(initial, None, 0.05) is initial


def test_a_cell_that_knows_nothing_costs_the_logarithm_of_two():
    assert float(frame_loss(torch.zeros(3), torch.tensor([0.0, 0.95, 1.0]))) == pytest.approx(math.log(2))


def test_one_sure_cell_and_one_sure_mistake():
    """P = 3/4 where the target is 1, and 1/4 where it is 1: -(log 3/4 + log 1/4) / 2."""
    logits = torch.tensor([math.log(3), -math.log(3)])
    assert float(frame_loss(logits, torch.ones(2))) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_it_is_least_where_the_prediction_is_the_target():
    target = bootstrap(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.05).double()
    logits = torch.logit(target).requires_grad_()
    frame_loss(logits, target).backward()
    assert logits.grad.abs().max() < 1e-12


def test_its_gradient_is_right():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, dtype=torch.double, generator=generator).requires_grad_()
    target = torch.rand(2, 3, 3, dtype=torch.double, generator=generator)
    assert torch.autograd.gradcheck(lambda x: frame_loss(x, target), logits)
