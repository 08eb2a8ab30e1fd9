"""The dataset's exact flow, there and back, is only given to who has samples that bring it."""

import numpy as np
import pytest
import torch

from harness.api.errors import DataError
from harness.models.flow import flow_provider
from harness.models.flow.truth import invert
from harness.models.frame_files import Place


def square(column: int) -> np.ndarray:
    """A white square of 2 x 2 on a frame of 5 x 8."""
    frame = np.zeros((5, 8, 3), np.uint8)
    frame[1:3, column : column + 2] = 255
    return frame


def flow_of_the_square() -> np.ndarray:
    flow = np.zeros((5, 8, 2), np.float32)
    flow[1:3, 1:3, 0] = 3
    return flow


def places(*frames: int) -> tuple[Place, ...]:
    return tuple(Place("first", f"{frame:05d}") for frame in frames)


def test_the_flow_of_neighbours_is_that_of_the_sample_and_its_inverse(tests_tools):
    sample = tests_tools.tiny_sample("first", read_flow=lambda t: flow_of_the_square())
    provider = flow_provider("truth-flow", samples=[sample])
    first, second = torch.from_numpy(square(1)), torch.from_numpy(square(4))
    there, back = provider.between(first, second, places(0, 1)), provider.between(second, first, places(1, 0))
    assert torch.equal(there, torch.from_numpy(flow_of_the_square()).permute(2, 0, 1))
    expected = torch.zeros(2, 5, 8)
    expected[0, 1:3, 4:6] = -3
    # Where the square was nothing arrives: the flow of the nearest pixel is taken, which is still there.
    assert torch.equal(back, expected)


def test_of_two_pixels_that_land_on_one_the_likest_colour_is_seen():
    first = np.array([[[10] * 3, [200] * 3, [90] * 3]], np.uint8)
    second = np.array([[[0] * 3, [12] * 3, [90] * 3]], np.uint8)
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, 0, 0] = 1  # 10 goes on to 200's place, and 12 is seen there
    assert invert(flow, first, second)[0, 1].tolist() == [-1, 0]


def test_where_everything_leaves_the_flow_is_turned_round():
    flow = np.full((1, 1, 2), 5, np.float32)
    frame = np.zeros((1, 1, 3), np.uint8)
    assert invert(flow, frame, frame).tolist() == [[[-5, -5]]]


def test_a_sample_that_shows_frames_only_is_refused_with_the_reason(tests_tools):
    provider = flow_provider("truth-flow", samples=[tests_tools.tiny_sample("first")])
    frame = torch.zeros(5, 8, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="'first' brings no exact flow: found no flow") as refused:
        provider.between(frame, frame, places(0, 1))
    assert "mini has it" in str(refused.value)
    with pytest.raises(DataError, match="found no such video"):
        flow_provider("truth-flow").between(frame, frame, places(0, 1))


def test_frames_that_are_no_neighbours_or_have_no_place_are_a_mistake(tests_tools):
    provider = flow_provider("truth-flow", samples=[tests_tools.tiny_sample("first", read_flow=len)])
    frame = torch.zeros(5, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="knows neighbouring frames, not 0 and 2"):
        provider.between(frame, frame, places(0, 2))
    with pytest.raises(ValueError, match="has to be given their places"):
        provider.between(frame, frame)
