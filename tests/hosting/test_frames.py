"""Frames are decoded ahead, once, in order; what goes wrong in the thread is raised where it is waited for."""

import threading

import numpy as np
import pytest

from harness.api.errors import DataError
from harness.hosting.frames import FrameSource


def sample_of(tools, read, length=12):
    return tools.tiny_sample("ahead", length, read_frame=read)


def frame_of(t):
    return np.full((8, 8, 3), t, np.uint8)


def test_every_frame_is_decoded_once_and_timed(tests_tools):
    asked = []

    def read(t):
        asked.append(t)
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu") as frames:
        for t in range(12):
            frames.wait_for(t)
            assert int(frames.read(t)[0, 0, 0]) == t
    assert asked == list(range(12))
    assert sorted(frames.seconds) == list(range(12))


def test_no_more_than_a_few_frames_are_read_ahead(tests_tools):
    reached = threading.Event()

    def read(t):
        if t == 3:
            reached.set()
        assert t <= 3
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu", ahead=2) as frames:
        frames.wait_for(1)
        assert reached.wait(10)


def test_an_old_frame_is_decoded_again_when_memory_is_short(tests_tools):
    with FrameSource(sample_of(tests_tools, frame_of), "cpu", ahead=1, kept_bytes=1) as frames:
        frames.wait_for(11)
        assert int(frames.read(0)[0, 0, 0]) == 0


def test_an_error_of_the_thread_is_raised_by_the_one_who_waits(tests_tools):
    def read(t):
        if t == 2:
            raise DataError("frame 2 is torn")
        return frame_of(t)

    frames = FrameSource(sample_of(tests_tools, read), "cpu")
    with frames, pytest.raises(DataError, match="frame 2 is torn"):
        frames.wait_for(2)


def test_leaving_early_ends_the_thread(tests_tools):
    with FrameSource(sample_of(tests_tools, frame_of, 500), "cpu") as frames:
        frames.wait_for(0)
    assert not frames._thread.is_alive()
