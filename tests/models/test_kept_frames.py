"""Frames are decoded once, by whichever worker comes first, and never more of them kept than was said."""

import dataclasses
import multiprocessing
import os

import numpy as np
import pytest

from harness import DataError
from harness.models import kept_frames
from harness.models.kept_frames import keep_frames

MIB = 1 << 20


def make_sample(tests_tools, decoded, *, length=4, height=512, width=512):
    """Frames of one grey each, 3/4 MiB; ``decoded`` takes down which were asked for."""

    def read_frame(t):
        decoded.append(t)
        return np.full((height, width, 3), 10 * t, np.uint8)

    sample = tests_tools.tiny_sample(length=length)
    return dataclasses.replace(sample, height=height, width=width, read_frame=read_frame)


def test_a_frame_is_decoded_once_and_stays_what_it_was(tests_tools):
    decoded = []
    (kept,) = keep_frames([make_sample(tests_tools, decoded)], limit_mib=3)
    for t in (2, 0, 2, 0, 2):
        frame = kept.read_frame(t)
        assert (frame == 10 * t).all()
        frame[:] = 99  # it is the reader's own
    assert decoded == [2, 0]


def test_the_limit_holds_over_all_videos_and_the_rest_is_decoded_each_time(tests_tools):
    """Of frames of 3/4 MiB two fit into 2 MiB; what is left holds none of the second video."""
    decoded, others = [], []
    first, second = keep_frames([make_sample(tests_tools, decoded), make_sample(tests_tools, others)], limit_mib=2)
    for _ in range(2):
        for t in range(4):
            assert (first.read_frame(t) == 10 * t).all()
            assert (second.read_frame(t) == 10 * t).all()
    assert decoded == [0, 1, 2, 3, 2, 3]
    assert others == [0, 1, 2, 3] * 2


def test_what_a_forked_worker_decodes_its_parent_has(tests_tools):
    decoded = []
    (kept,) = keep_frames([make_sample(tests_tools, decoded)], limit_mib=3)
    worker = multiprocessing.get_context("fork").Process(target=kept.read_frame, args=(1,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert (kept.read_frame(1) == 10).all()
    assert decoded == []


def test_a_worker_killed_while_it_writes_leaves_no_half_frame(tests_tools, monkeypatch):
    decoded = []
    (kept,) = keep_frames([make_sample(tests_tools, decoded)], limit_mib=3)

    def die(frame):
        os._exit(1)

    context = multiprocessing.get_context("fork")
    with monkeypatch.context() as patch:
        patch.setattr(kept_frames, "_checksum", die)
        worker = context.Process(target=kept.read_frame, args=(3,))
        worker.start()
        worker.join()
    assert worker.exitcode == 1
    assert (kept.read_frame(3) == 30).all()
    assert decoded == [3]


def test_a_frame_that_is_changed_in_memory_is_decoded_again(tests_tools):
    decoded = []
    (kept,) = keep_frames([make_sample(tests_tools, decoded)], limit_mib=3)
    kept.read_frame(1)
    kept.read_frame.__self__._pixels[1, 5, 5, 0] = 77
    assert (kept.read_frame(1) == 10).all()
    assert decoded == [1, 1]


def test_a_frame_of_another_size_than_its_video_is_named(tests_tools):
    sample = dataclasses.replace(make_sample(tests_tools, []), height=300)
    (kept,) = keep_frames([sample], limit_mib=4)
    with pytest.raises(DataError, match=r"frame 2: found \(512, 512, 3\), expected \(300, 512, 3\)"):
        kept.read_frame(2)


def test_a_claimed_size_beyond_all_memory_takes_none(tests_tools):
    sample = dataclasses.replace(make_sample(tests_tools, []), height=1 << 30, width=1 << 30)
    (kept,) = keep_frames([sample], limit_mib=4)
    assert kept.read_frame is sample.read_frame


def test_a_limit_below_nothing_is_refused():
    with pytest.raises(ValueError, match="-1 MiB"):
        keep_frames([], limit_mib=-1)
