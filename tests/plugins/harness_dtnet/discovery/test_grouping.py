"""Centres are counted exactly, pixels go to the nearest one, a foreground without centres is taken apart."""

import pytest
import torch

from harness_dtnet.config import DiscoveryConfig
from harness_dtnet.discovery.discover import Discoverer
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.discovery.grouping import find_centres, number_parts
from harness_dtnet.discovery.network import SMALL, Answers, DNet
from harness_dtnet.kernels import group_pixels, group_plain


def test_of_equal_peaks_exactly_as_many_are_taken_as_asked_for():
    heatmap = torch.zeros(5, 9)
    heatmap[2, [1, 4, 7]] = 0.5
    cells, heights = find_centres(heatmap, threshold=0.1, window=3, most=2)
    assert cells.tolist() == [[2, 1], [2, 4]]
    assert heights.tolist() == [0.5, 0.5]


def test_a_plateau_is_one_peak_and_low_peaks_are_none():
    heatmap = torch.zeros(6, 6)
    heatmap[1:3, 1:3] = 0.7
    heatmap[5, 5] = 0.1
    assert find_centres(heatmap, threshold=0.1, window=3, most=20)[0].tolist() == [[1, 1]]


def test_the_highest_peak_comes_first():
    heatmap = torch.zeros(3, 9)
    heatmap[1, 1], heatmap[1, 6] = 0.3, 0.9
    assert find_centres(heatmap, threshold=0.1, window=3, most=20)[0].tolist() == [[1, 6], [1, 1]]


def test_pixels_follow_their_offsets_and_the_first_of_equally_near_centres():
    foreground = torch.ones(1, 5, dtype=torch.bool)
    foreground[0, 4] = False
    offsets = torch.zeros(2, 1, 5)
    offsets[1, 0, 0] = 4  # leads to the other side
    centres = torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    for group in (group_pixels, group_plain):
        assert group(foreground, offsets, centres).tolist() == [[2, 1, 1, 2, 0]]
        assert group(foreground, offsets, centres[:0]).tolist() == [[0, 0, 0, 0, 0]]


def test_parts_are_numbered_by_size():
    foreground = torch.zeros(5, 9, dtype=torch.bool)
    foreground[0, 0] = foreground[2:4, 5:8] = True
    parts = number_parts(foreground)
    assert (parts[0, 0], parts[2, 5], parts[4, 4]) == (2, 1, 0)


def answers(height=8, width=12):
    """One object in the left third of 32 x 48 pixels, with its centre and no offsets."""
    foreground = torch.full((1, height, width), -20.0)
    foreground[:, :, :4] = 20
    return Answers(foreground, torch.zeros(1, height, width), torch.zeros(2, height, width))


def discoverer(**changes):
    network = DNet(SMALL, guidance="off")
    normalise = Normalise(network.mean, network.std, "cpu", torch.float32, torch.contiguous_format)
    return Discoverer(network, normalise, DiscoveryConfig(centre_window=3, **changes))


def test_a_proposal_is_scored_by_its_peak_and_its_foreground():
    given = answers()
    given.heatmap[0, 4, 1] = 0.6
    found = discoverer().propose(given, (32, 48))
    assert len(found.masks) == 1
    assert found.masks[0, :, :14].all()
    assert not found.masks[0, :, 18:].any()
    assert found.scores[0] == pytest.approx(0.6, abs=0.02)


def test_a_foreground_without_centres_becomes_its_parts():
    found = discoverer().propose(answers(), (32, 48))
    assert len(found.masks) == 1
    assert found.scores[0] == pytest.approx(0.1, abs=0.01)


def test_nothing_found_and_what_is_too_small_are_no_proposals():
    empty = Answers(torch.full((1, 8, 12), -20.0), torch.zeros(1, 8, 12), torch.zeros(2, 8, 12))
    assert discoverer().propose(empty, (32, 48)).masks.shape == (0, 32, 48)
    assert len(discoverer(least_proposal=0.6).propose(answers(), (32, 48)).masks) == 0


def test_categories_share_the_foreground():
    logits = torch.zeros(3, 8, 12)
    logits[1] = 5
    found = discoverer().propose(Answers(logits, torch.zeros(1, 8, 12), torch.zeros(2, 8, 12)), (32, 48))
    assert torch.allclose(found.categories.sum(0), found.foreground, atol=1e-6)
    assert (found.categories[0] > found.categories[1]).all()
