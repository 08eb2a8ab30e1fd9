"""Weights of samples grow, sum to 1, and the first sample stays."""

import pytest
import torch

from harness_dtnet.target.importance import pixel_importance
from harness_dtnet.target.memory import SampleMemory, Shares


def test_the_first_frame_counts_twice_as_much_as_a_copy():
    assert Shares.of_first(5).by_slot == pytest.approx([2 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6])


def test_a_first_new_sample_and_a_reliable_one_after_it():
    shares = Shares.of_first(1)
    gamma = 0.1
    assert shares.add(gamma, 8, is_doubled=False) == (1, pytest.approx(0.09 / 1.09))
    own = 0.09 / 1.09 / 0.9  # of the undoubled weight before it
    slot, share = shares.add(gamma, 8, is_doubled=True)
    assert (slot, share) == (2, pytest.approx(2 * own / (1 + 2 * own)))
    assert sum(shares.by_slot) == pytest.approx(1)
    assert shares.own == pytest.approx(own / (1 + 2 * own))


def test_a_full_memory_gives_away_the_lightest_slot_and_never_the_first():
    shares = Shares.of_first(3)
    slots = [shares.add(0.1, 4, is_doubled=False)[0] for _ in range(60)]
    assert slots[0] == 3
    assert 0 not in slots
    assert len(shares.by_slot) == 4
    assert sum(shares.by_slot) == pytest.approx(1)
    assert all(0 < share < 1 for share in shares.by_slot)


def test_slots_grow_to_what_is_asked_for_and_no_further():
    memory = SampleMemory(2, (3, 4), torch.zeros(1), slots=5)
    memory.add_targets(torch.ones(1, 2, 2, 3, 4), torch.ones(1, 9, 2, 3, 4), torch.ones(1, 2, 3, 4))
    sizes = []
    for slot in range(2, 5):
        memory.write(0, slot, torch.ones(2, 3, 4), torch.ones(9, 3, 4), torch.ones(3, 4))
        sizes.append(memory.targets.shape[1])
    assert sizes == [4, 4, 5]
    assert memory.targets.sum() == 5 * 12
    memory.add_targets(torch.ones(1, 2, 2, 3, 4), torch.ones(1, 9, 2, 3, 4), torch.ones(1, 2, 3, 4))
    assert memory.features.shape == (2, 2, 5, 3, 4)
    assert memory.weigh([[0.5, 0.5]])[0, :, 0, 0].tolist() == [0.5, 0.5, 0, 0, 0]


def test_small_targets_are_lifted_to_a_tenth_of_the_frame():
    labels = torch.zeros(20, 20)
    labels[:5, :4] = 1  # 20 of 400
    found = pixel_importance(labels)
    assert found[0, 0] == pytest.approx(0.1 / 0.05)
    assert found[19, 19] == pytest.approx(0.9 / 0.95)


@pytest.mark.parametrize("rows", [4, 10, 20])
def test_large_targets_count_as_they_are_and_whole_frames_are_numbers(rows):
    labels = torch.zeros(20, 20)
    labels[:rows] = 1
    assert torch.allclose(pixel_importance(labels), torch.ones(20, 20))


def test_a_pixel_and_no_pixel_count_as_a_tenth():
    labels = torch.zeros(2, 10, 10)
    labels[1, 3, 3] = 1
    found = pixel_importance(labels)
    assert found[0].unique().tolist() == [1.0]
    assert found[1].unique().tolist() == [1.0]
