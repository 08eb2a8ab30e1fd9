"""Normalised cuts: a value that can be checked on paper, and a mask that moves to the right parting."""

import pytest
import torch

from harness_imas.training.cuts import APART, cut_value, move_to_cut, ties_of


def two_kinds(columns=4):
    """Features (2, 4, 8): the left half of one kind, the right of another."""
    features = torch.zeros(2, 4, 2 * columns)
    features[0, :, :columns] = 1
    features[1, :, columns:] = 1
    return features


def test_cells_are_tied_where_they_are_alike_and_hardly_where_not():
    ties = ties_of(torch.tensor([[[1.0, 2.0, 0.0]], [[0.0, 0.0, 1.0]]]))
    assert ties.tolist() == [
        [1, 1, pytest.approx(APART)],
        [1, 1, pytest.approx(APART)],
        [pytest.approx(APART)] * 2 + [1],
    ]


def test_the_value_is_what_ties_both_as_a_share_of_what_ties_each_to_all():
    ties = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    assert cut_value(ties, torch.tensor([1.0, 0.0])) == pytest.approx(0.5 / 1.5 + 0.5 / 1.5)
    whole = cut_value(ties_of(two_kinds()), two_kinds()[0].flatten())
    torn = cut_value(ties_of(two_kinds()), torch.tensor([1.0, 0.0]).repeat(16))
    assert whole < 1e-4 < torn


def test_the_gradient_of_the_value_is_that_of_finite_differences():
    ties = ties_of(two_kinds()).double()
    mask = torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: cut_value(ties, each), (mask,))


def test_a_mask_with_a_hole_and_a_stray_moves_to_the_whole_of_its_kind():
    mask = two_kinds()[0].clone()
    mask[1, 1] = 0
    mask[2, 6] = 1
    moved = move_to_cut(two_kinds(), mask)
    assert torch.equal((moved > 0.5).float(), two_kinds()[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_all_or_nothing_stays(value):
    mask = torch.full((8, 16), value)
    assert torch.equal(move_to_cut(two_kinds(), mask), torch.full((4, 8), value))
