"""Frames that weigh the same: the pooled mean of the zero-shot papers, on videos of unequal length."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2016_FRAME_MEAN, DAVIS_2017_UNSUPERVISED, MERGED_FRAME_MEAN
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF
from harness.metrics.stability import Stability


def square(size):
    mask = np.zeros((8, 8), np.uint8)
    mask[:size, :size] = 1
    return mask


def measure(predicted, true, rule):
    sample = Sample(
        name="toy",
        length=len(true),
        height=8,
        width=8,
        frame_names=tuple(f"{t:05}" for t in range(len(true))),
        read_frame=lambda t: np.zeros((8, 8, 3), np.uint8),
        read_truth=lambda t: square(true[t]),
        digest=lambda: "0" * 64,
    )
    measurement = JAndF().start(sample, rule)
    for frame, size in enumerate(predicted):
        measurement.add(frame, square(size), square(true[frame]))
    return measurement.finish()


def test_every_frame_of_every_video_weighs_the_same_first_and_last_included():
    short = measure([4, 4], [4, 4], DAVIS_2016_FRAME_MEAN)  # J 1, 1
    long = measure([2, 4, 0, 2], [4, 4, 4, 4], DAVIS_2016_FRAME_MEAN)  # J 1 / 4, 1, 0, 1 / 4
    figures = JAndF().summarise([short, long], DAVIS_2016_FRAME_MEAN)
    assert figures["J-mean"] == pytest.approx((2 + 1.5) / 6)
    assert figures["J-recall"] == pytest.approx(3 / 6)
    of_videos = JAndF().summarise([short, long], replace(DAVIS_2016_FRAME_MEAN, average="sequences"))
    assert of_videos["J-mean"] == pytest.approx((1 + 1.5 / 4) / 2)


def test_a_frame_without_object_counts_one_on_davis_and_nothing_on_merged_sets():
    predicted, true = [0, 2, 0], [0, 4, 4]  # J: both empty, 1 / 4, 0
    davis = measure(predicted, true, DAVIS_2016_FRAME_MEAN)
    assert davis.series["J"]["1"] == [1, 0.25, 0]
    merged = measure(predicted, true, MERGED_FRAME_MEAN)
    assert merged.series["J"]["1"] == [None, 0.25, 0]
    assert merged.series["F"]["1"][0] is None
    assert JAndF().summarise([merged], MERGED_FRAME_MEAN)["J-mean"] == pytest.approx(0.25 / 2)


def test_a_video_without_any_object_leaves_the_mean_alone():
    nothing = measure([0, 0], [0, 0], MERGED_FRAME_MEAN)
    something = measure([2, 4], [4, 4], MERGED_FRAME_MEAN)
    assert nothing.summary["1"]["J-mean"] is None
    assert JAndF().summarise([nothing, something], MERGED_FRAME_MEAN)["J-mean"] == pytest.approx(1.25 / 2)
    assert JAndF().summarise([nothing], MERGED_FRAME_MEAN)["J&F"] is None


def test_frames_are_not_left_out_where_proposals_are_matched():
    with pytest.raises(ValueError, match="cannot leave out"):
        measure([4], [4], replace(DAVIS_2017_UNSUPERVISED, both_empty="left-out"))


def test_stability_is_no_mean_of_frames():
    with pytest.raises(ValueError, match="a mean over videos"):
        Stability().summarise([], DAVIS_2016_FRAME_MEAN)
