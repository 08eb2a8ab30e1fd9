"""Which masks made elsewhere must be there: those of frames that are scored, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017
from harness.api.errors import IncompletePredictions
from harness.api.mask_files import write_mask
from harness.api.video import Sample
from harness.predictions.scoring import list_scored_frames, look_over

ALL = replace(DAVIS_2017, frames="all")


def video(truth_frames=None):
    return Sample(
        name="shot",
        length=5,
        height=4,
        width=6,
        frame_names=("a", "b", "c", "d", "e"),
        read_frame=lambda t: np.zeros((4, 6, 3), np.uint8),
        digest=lambda: "0" * 64,
        truth_frames=truth_frames,
    )


def test_frames_without_a_truth_need_no_prediction():
    assert list(list_scored_frames(video(), ALL)) == [0, 1, 2, 3, 4]
    assert list(list_scored_frames(video((1, 3)), ALL)) == [1, 3]
    assert list(list_scored_frames(video((1, 3)), replace(ALL, frames="annotated"))) == [1, 3]


def test_the_inner_frames_are_needed_whole_because_t_looks_at_all_of_them():
    assert list(list_scored_frames(video(), DAVIS_2017)) == [1, 2, 3]
    assert list(list_scored_frames(video((0, 2)), DAVIS_2017)) == [1, 2, 3]


def test_a_missing_mask_of_a_frame_with_truth_is_still_named(tmp_path):
    (tmp_path / "shot").mkdir()
    write_mask(tmp_path / "shot/b.png", np.zeros((4, 6), np.uint8))
    look_over(tmp_path, [video((1,))], lambda sample: list_scored_frames(sample, ALL))
    with pytest.raises(IncompletePredictions, match=r"1 masks are missing in .*: shot/d\.png"):
        look_over(tmp_path, [video((1, 3))], lambda sample: list_scored_frames(sample, ALL))
