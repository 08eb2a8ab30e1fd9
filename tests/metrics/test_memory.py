"""Measuring a video takes the memory of a few frames, however long the video is."""

import tracemalloc

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2016, DAVIS_2017, DAVIS_2017_UNSUPERVISED
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF
from harness.metrics.stability import Stability

HEIGHT, WIDTH = 240, 427


def masks_of(frame):
    masks = np.zeros((HEIGHT, WIDTH), np.uint8)
    masks[20:60, 10 + frame % 40 : 60 + frame % 40] = 1
    masks[50:80, 70:120] = 2
    return masks


def peak_of(metric, rule, length):
    sample = Sample(
        name="long",
        length=length,
        height=HEIGHT,
        width=WIDTH,
        frame_names=tuple(f"{t:05d}" for t in range(length)),
        read_frame=lambda t: np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        digest=lambda: "0" * 64,
        read_truth=masks_of,
    )
    tracemalloc.start()
    try:
        measurement = metric.start(sample, rule)
        for frame in range(length):
            measurement.add(frame, masks_of(frame), masks_of(frame))
        measurement.finish()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("metric", "rule"),
    [(JAndF(), DAVIS_2017), (JAndF(), DAVIS_2017_UNSUPERVISED), (Stability(), DAVIS_2016)],
    ids=["one-shot", "unsupervised", "stability"],
)
def test_a_longer_video_takes_a_small_part_of_a_mask_a_frame_more(metric, rule):
    peak_of(metric, rule, 8)  # imports and compiles
    short, long = (peak_of(metric, rule, length) for length in (16, 80))
    assert (long - short) / 64 < HEIGHT * WIDTH / 10
