"""The one assignment of proposals to true objects."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from harness.metrics.j_and_f.matching import match_proposals


def test_swapped_proposals_are_matched_back():
    J = np.zeros((2, 2, 3))
    J[0, 1] = J[1, 0] = 1
    assert match_proposals(J, J).tolist() == [1, 0]


def test_the_sum_over_objects_is_maximised_not_each_choice():
    J = np.array([[0.9, 0.8], [0.7, 0.0]])[..., None]  # taking 0.9 first would leave 0.0
    assert match_proposals(J, J).tolist() == [1, 0]


def test_mean_J_and_mean_F_weigh_the_same():
    J, F = np.zeros((2, 1, 2)), np.zeros((2, 1, 2))
    J[0, 0] = [0.6, 0.6]
    F[1, 0] = [1.0, 0.4]
    assert match_proposals(J, F).tolist() == [1]


def test_surplus_proposals_are_left_over():
    J = np.zeros((5, 2, 1))
    J[4, 0] = J[2, 1] = 1
    assert match_proposals(J, J).tolist() == [4, 2]


@pytest.mark.parametrize("levels", [1, 2, 3, 10, 10**9], ids=lambda levels: f"{levels} levels")
def test_of_equal_assignments_scipys_is_found(levels: int) -> None:
    """The official toolkit calls scipy; on few levels nearly every assignment has equals."""
    rng = np.random.default_rng(levels)
    for _ in range(300):
        objects = int(rng.integers(1, 8))
        proposals = objects + int(rng.integers(0, 4)) * int(rng.integers(0, 6))
        J, F = rng.integers(0, levels, (2, proposals, objects, 3)) / levels
        agreement = (J.mean(axis=2) + F.mean(axis=2)) / 2
        expected, order = linear_sum_assignment(-agreement)
        assert match_proposals(J, F).tolist() == expected[np.argsort(order)].tolist()
