"""The fit finds what double backward finds, in double precision to the last digits, and never a NaN."""

import pytest
import torch

from harness_dtnet.target.bilinear import Bilinear
from harness_dtnet.target.gauss_newton import Penalty, conjugate_gradient, fit, refit
from harness_dtnet.target.normal_equations import normal_equations, solve
from harness_dtnet.target.plain import energy, fit_plain

GRID, SIZE = (6, 7), (45, 58)


def problem(targets=2, samples=3, depth=10, channels=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    labels = torch.zeros(targets, samples, *SIZE, dtype=dtype)
    for n in range(targets):
        labels[n, :, 10 + n : 25, 12 : 30 + 2 * n] = 1
    features = draw(targets, depth, samples, *GRID).relu()
    importance = draw(targets, samples, *SIZE).square() + 0.1
    return features, labels, importance, draw(targets, channels, depth) / 3, draw(targets, channels, 9) / 6


def pieces(labels, importance):
    bilinear = Bilinear(GRID, SIZE, labels)
    return bilinear.stencil(importance).transpose(1, 2), bilinear.down(importance * labels)


@pytest.mark.parametrize("penalty", [Penalty(), Penalty(is_inside=False), Penalty((0.3, 0.2), (1.0, 1.0))])
def test_all_targets_at_once_equal_one_by_one_by_double_backward(penalty):
    features, labels, importance, w1, w2 = problem()
    found = fit(features, *pieces(labels, importance), w1, w2, (3, 4, 4), penalty)
    expected = fit_plain(features, labels, importance, w1, w2, iterations=(3, 4, 4), penalty=penalty)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-10)


def test_the_energy_goes_down_to_where_its_gradient_vanishes():
    features, labels, importance, w1, w2 = problem(targets=1, samples=1, depth=5, channels=2)
    penalty = Penalty((0.5, 0.5), (1.0, 1.0))
    found = fit(features, *pieces(labels, importance), w1, w2, (12,) * 25, penalty)
    (before, steep), (after, flat) = (
        energy_and_slope(features, labels, importance, weights, penalty) for weights in ((w1, w2), found)
    )
    assert after < before
    assert flat < 1e-3 * steep


def energy_and_slope(features, labels, importance, weights, penalty):
    """Of the first target; the slope is the largest entry of the gradient."""
    leaves = tuple(part[0].clone().requires_grad_() for part in weights)
    reached = energy(features[0], labels[0], importance[0], leaves, penalty)
    slope = torch.autograd.grad(reached, leaves)
    return float(reached.detach()), max(float(part.abs().max()) for part in slope)


def test_single_precision_is_as_good_as_double_to_three_digits():
    exact = problem()
    rounded = tuple(part.float() for part in exact)
    single = fit(rounded[0], *pieces(*rounded[1:3]), *rounded[3:], (3, 3), Penalty())
    double = fit(exact[0], *pieces(*exact[1:3]), *exact[3:], (3, 3), Penalty())
    for one, other in zip(single, double, strict=True):
        assert float((one - other).abs().max() / other.abs().max()) < 1e-3


def test_conjugate_gradient_solves_two_unknowns_in_two_steps_and_then_stays():
    matrix = torch.tensor([[[4.0, 1.0], [1.0, 3.0]]], dtype=torch.float64)
    right = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64)
    found = conjugate_gradient(lambda d: (matrix @ d,), (right,), (1.0,), 6)[0]
    assert torch.allclose(found[0, :, 0], torch.tensor([1 / 11, 7 / 11], dtype=torch.float64))


def test_the_update_and_the_normal_equations_have_one_minimum():
    features, labels, importance, w1, w2 = problem()
    stencil, target = pieces(labels, importance)
    projected = torch.einsum("ncd,ndkhw->nckhw", w1, features)
    penalty = Penalty((1e-4, 0.3), (1e-4, 1.0))
    by_steps = refit(projected, stencil, target, w2, 60, penalty)
    exactly = solve(*normal_equations(projected, stencil, target), penalty.factors[1], w2)
    assert torch.allclose(by_steps, exactly, atol=1e-6)


def test_features_of_zero_leave_the_filters_at_numbers():
    features, labels, importance, w1, w2 = problem()
    found = fit(torch.zeros_like(features), *pieces(labels, importance), w1, w2, (5, 5), Penalty())
    assert all(part.isfinite().all() for part in found)


def test_nothing_to_learn_and_no_penalty_change_nothing():
    features, labels, importance, w1, w2 = problem()
    found = fit(features, *pieces(labels, 0 * importance), w1, w2, (5, 5), Penalty((0.0, 0.0)))
    assert torch.equal(found[0], w1)
    assert torch.equal(found[1], w2)


def test_a_singular_system_keeps_the_filters_that_were_there_and_solves_the_others():
    _, _, _, _, w2 = problem()
    matrix = torch.zeros(2, 36, 36, dtype=torch.float64)
    matrix[1] = torch.eye(36)
    right = torch.ones(2, 36, dtype=torch.float64)
    found = solve(matrix, right, 0.0, w2)
    assert torch.equal(found[0], w2[0])
    assert torch.equal(found[1], torch.ones(4, 9, dtype=torch.float64))
    assert torch.equal(solve(matrix - 2, right, 0.0, w2)[1], w2[1])
