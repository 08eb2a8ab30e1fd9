"""Video granularity: which video a frame is of, by numbers that can be checked on paper."""

import math

import pytest
import torch

from harness_mug.training.granularities.video import scores, video_loss

OTHERS = torch.arange(4)
"""Batches of videos that are all different."""


def test_the_mean_of_all_products_is_the_product_of_the_means():
    """GAP(r^T r) as eq. 12 prints it, HW x HW, beside what is computed."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 6, 20, generator=generator)  # (D, HW) each
    printed = (one.t() @ other).mean()
    found = scores(one.mean(1)[None], other.mean(1)[None], None)
    assert float(found) == pytest.approx(float(printed), rel=1e-4)


def test_with_a_temperature_scores_are_cosines_over_it():
    found = scores(torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 0.0]]), 0.1)
    assert float(found) == pytest.approx(0.6 / 0.1)


def test_two_videos_that_nobody_can_tell_apart_cost_two_logarithms_of_two():
    """P = 1/2 for both: -log 1/2 for the own one, -log(1 - 1/2) for the other."""
    assert float(video_loss(torch.zeros(2, 2), OTHERS[:2])) == pytest.approx(2 * math.log(2))


def test_three_videos_of_which_each_is_known_by_half():
    """Scores log 2 for the own one, 0 for two others: P = 1/2, 1/4, 1/4."""
    score = math.log(2) * torch.eye(3)
    expected = -math.log(1 / 2) - 2 * math.log(3 / 4)
    assert float(video_loss(score, OTHERS[:3])) == pytest.approx(expected)


def test_a_single_video_has_nothing_to_be_told_from():
    assert float(video_loss(torch.tensor([[3.0]]), OTHERS[:1])) == 0


def test_a_sure_mistake_is_finite():
    assert torch.isfinite(video_loss(torch.tensor([[0.0, 1000.0], [1000.0, 0.0]]), OTHERS[:2]))


def test_a_video_that_a_batch_holds_twice_is_neither_its_own_nor_another():
    """Scores log 2 and log 6 for the own one and the same again, 0 for another: 2/3 and 1/3 for the first two."""
    own, again = math.log(2), math.log(6)
    score = torch.tensor([[own, again, 0.0], [again, own, 0.0], [0.0, 0.0, own]])
    which = torch.tensor([4, 4, 9])
    two = -math.log(2 / 3) - math.log(1 - 1 / 3)
    third = -math.log(1 / 2) - 2 * math.log(1 - 1 / 4)  # 2, 1 and 1 of 4: the others are one video, seen twice
    assert float(video_loss(score, which)) == pytest.approx((2 * two + third) / 3)
    score.requires_grad_()
    video_loss(score, which).backward()
    assert score.grad.isfinite().all()
    assert score.grad[0, 1] == score.grad[1, 0] == 0


def test_its_gradient_is_right():
    score = torch.randn(3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: video_loss(given, OTHERS[:3]), score)


def test_going_down_brings_a_video_s_own_together_and_others_apart():
    generator = torch.Generator().manual_seed(2)
    queries, instances = (torch.randn(4, 6, generator=generator).requires_grad_() for _ in range(2))
    optimizer = torch.optim.Adam([queries, instances], 0.1)
    losses = []
    for _ in range(60):
        loss = video_loss(scores(queries, instances, 0.1), OTHERS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 100
    assert scores(queries, instances, 0.1).argmax(1).tolist() == [0, 1, 2, 3]
