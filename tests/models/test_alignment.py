"""The tuner on hand-made masks and features; it cannot reach truth."""

import numpy as np
import pytest
import torch

from harness.api.errors import DataError, PluginError
from harness.api.video import Sample, without_truth
from harness.models.alignment import align, extent, respond

FIRST = torch.zeros(8, 10)
FIRST[2:6, 3:7] = 1


def features_of(*regions):
    """(D, 8, 10): one direction for each region, and one for the rest."""
    features = torch.zeros(len(regions) + 1, 8, 10)
    features[-1] = 1
    for place, region in enumerate(regions):
        features[:, region.bool()] = 0
        features[place, region.bool()] = 1
    return features


def test_a_response_is_what_looks_like_the_masked_pixels():
    response = respond(features_of(FIRST), FIRST)

    assert torch.equal(response, FIRST.bool())


def test_a_part_of_an_object_responds_as_the_whole():
    part = FIRST.clone()
    part[:, 5:] = 0

    assert torch.equal(respond(features_of(FIRST), part), FIRST.bool())


@pytest.mark.parametrize("mask", [1 - FIRST, torch.zeros(8, 10)], ids=["background", "nothing"])
def test_background_and_nothing_respond_with_nothing(mask):
    assert respond(features_of(FIRST), mask) is None


@pytest.mark.parametrize(("columns", "says"), [(8, True), (9, False)])
def test_eighty_per_cent_of_the_width_is_the_limit(columns, says):
    wide = torch.zeros(8, 10)
    wide[3:5, :columns] = 1

    assert (respond(features_of(wide), wide) is not None) is says


def test_extent_is_from_first_to_last():
    assert extent(torch.tensor([0, 1, 0, 1, 0], dtype=torch.bool)) == pytest.approx(3 / 5)
    assert extent(torch.zeros(4, dtype=torch.bool)) == 0


class Fixed:
    """Three channels: the object whole, a part of the ground, the rest of the ground."""

    def __init__(self, channels=3):
        self.count = channels

    def channels(self, frame):
        assert frame.shape == (8, 10, 3)
        assert frame.dtype == torch.uint8
        ground = torch.zeros(8, 10)
        ground[6:, :3] = 1
        found = torch.stack([0.8 * ground, 0.9 * FIRST, 0.05 + 0.0 * FIRST])
        return found[: self.count]

    def semantics(self, frame):
        return features_of(FIRST)


def sample_of(name="a", frames=3, truth=None):
    return Sample(
        name=name,
        length=frames,
        height=8,
        width=10,
        frame_names=tuple(map(str, range(frames))),
        read_frame=lambda t: np.zeros((8, 10, 3), np.uint8),
        digest=lambda: name,
        read_truth=truth,
    )


def test_the_channel_that_is_what_it_looks_like_is_picked():
    found = align(Fixed(), [sample_of("a"), sample_of("b")])

    assert found.channel == 1
    assert found.score == 1.0
    assert found.scores == (0.0, 1.0, 0.0)  # a part of the ground looks like all of it, which is too wide


def test_truth_is_out_of_reach():
    def betray(frame):
        raise AssertionError("truth was read")

    seen = without_truth(sample_of(truth=betray))

    assert seen.read_truth is None
    assert align(Fixed(), [seen]).channel == 1


def test_no_videos_and_changing_channels_are_refused():
    with pytest.raises(DataError, match="no videos to tune on"):
        align(Fixed(), [])

    class Moody(Fixed):
        def channels(self, frame):
            self.count = 5 - self.count
            return super().channels(frame)

    with pytest.raises(PluginError, match="different numbers of channels"):
        align(Moody(), [sample_of(), sample_of()])
