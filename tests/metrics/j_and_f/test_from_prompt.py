"""Objects that are scored after their prompt: what lies before is no failure, and no mask is asked for there."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import RULES
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF
from harness.predictions.scoring import list_scored_frames

RULE = RULES["from-prompt"]


def paint(*ids):
    mask = np.zeros((6, 6), np.uint8)
    for id_ in ids:
        mask[:, 2 * (id_ - 1) : 2 * id_] = id_
    return mask


@pytest.fixture
def sample():
    """Six frames with both objects on all of them; 1 is prompted on frame 2, 2 on frame 4; frame 3 has no truth."""
    return Sample(
        name="late",
        length=6,
        height=6,
        width=6,
        frame_names=tuple(f"{t:05}" for t in range(6)),
        read_frame=lambda t: np.zeros((6, 6, 3), np.uint8),
        read_truth=lambda t: None if t == 3 else paint(1, 2),
        truth_frames=(0, 1, 2, 4, 5),
        read_prompt=lambda t: paint(1) if t == 2 else paint(2),
        prompt_frames=(2, 4),
        digest=lambda: "0" * 64,
    )


def measure(sample, predictions):
    measurement = JAndF().start(sample, RULE)
    for frame, mask in enumerate(predictions):
        measurement.add(frame, mask, sample.read_truth(frame))
    return measurement.finish()


def test_each_object_counts_after_its_own_prompt(sample):
    scores = measure(sample, [paint(), paint(), paint(1), paint(1), paint(1), paint(1)])
    assert scores.frames == [0, 1, 2, 4, 5]
    assert scores.series["J"] == {"1": [None, None, None, 1.0, 1.0], "2": [None, None, None, None, 0.0]}
    assert (scores.summary["1"]["J-mean"], scores.summary["2"]["J-mean"]) == (1.0, 0.0)


def test_a_prompt_on_a_frame_that_is_left_out_counts_all_the_same(sample):
    measurement = JAndF().start(sample, RULE)
    for frame in (4, 5):
        measurement.add(frame, paint(1), sample.read_truth(frame))
    assert measurement.finish().series["J"] == {"1": [1.0, 1.0], "2": [None, 0.0]}


def test_a_prompt_on_a_frame_without_truth_counts(sample):
    sample = replace(sample, prompt_frames=(3,), read_prompt=lambda t: paint(1, 2))
    scores = measure(sample, [paint()] * 6)
    assert scores.series["J"] == {"1": [None, None, None, 0.0, 0.0], "2": [None, None, None, 0.0, 0.0]}


def test_no_mask_is_asked_for_before_the_first_prompt(sample):
    assert list(list_scored_frames(sample, RULE)) == [4, 5]
    assert list(list_scored_frames(replace(sample, truth_frames=None), RULE)) == [3, 4, 5]
    assert list(list_scored_frames(sample, RULES["youtube-vos-objects"])) == [0, 1, 2, 4, 5]
