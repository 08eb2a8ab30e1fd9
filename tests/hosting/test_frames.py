"""Frames are decoded ahead, once, in order; what goes wrong in the thread is raised where it is waited for."""

import threading

import numpy as np
import pytest
import torch

from harness.api.errors import DataError
from harness.hosting.frames import FrameRing, FrameSource, hands_for


def sample_of(tools, read, length=12):
    return tools.tiny_sample("ahead", length, read_frame=read)


def frame_of(t):
    return np.full((8, 8, 3), t % 256, np.uint8)


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


def test_what_decoding_took_of_the_cpu_is_known_while_it_goes_on_and_when_it_is_over(tests_tools, monkeypatch):
    monkeypatch.setattr("harness.hosting.frames.time.pthread_getcpuclockid", lambda thread: "a thread's")
    monkeypatch.setattr("harness.hosting.frames.time.clock_gettime", lambda clock: {"a thread's": 0.25}[clock])
    monkeypatch.setattr("harness.hosting.frames.time.thread_time", lambda: 0.5)
    with FrameSource(sample_of(tests_tools, frame_of, length=30), "cpu") as frames:
        frames.wait_for(3)
        assert frames.cpu_seconds() == 0.25
    assert frames.cpu_seconds() == 0.5


def test_no_more_than_a_few_frames_are_read_ahead(tests_tools):
    reached = threading.Event()

    def read(t):
        if t == 3:
            reached.set()
        assert t <= 3
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu", ahead=2) as frames:
        frames.wait_for(1)
        assert reached.wait(60)


def test_an_old_frame_is_decoded_again_when_memory_is_short(tests_tools):
    with FrameSource(sample_of(tests_tools, frame_of), "cpu", ahead=1, kept_bytes=1) as frames:
        frames.wait_for(11)
        assert int(frames.read(0)[0, 0, 0]) == 0


def test_where_no_more_threads_may_be_started_those_there_are_go_on(tests_tools, monkeypatch):
    start = threading.Thread.start

    def first_only(thread):
        if thread.name != "harness-frames-0":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", first_only)
    with FrameSource(sample_of(tests_tools, frame_of), "cpu", hands=3) as frames:
        frames.wait_for(11)
        assert int(frames.read(11)[0, 0, 0]) == 11


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
    assert threads_of(frames) == []


def threads_of(frames):
    return [hand for hand in frames._hands if hand.is_alive()]


def test_another_thread_joins_where_a_frame_is_late_and_the_order_is_kept(tests_tools):
    together = threading.Barrier(2, timeout=60)
    asked = []

    def read(t):
        asked.append(t)
        if t in (2, 3):
            together.wait()  # passes only where two frames are being decoded at once
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu", hands=2) as frames:
        for t in range(12):
            frames.wait_for(t)
            assert int(frames.read(t)[0, 0, 0]) == t
    assert sorted(asked) == list(range(12))
    assert sorted(frames.seconds) == list(range(12))
    assert threads_of(frames) == []


def test_many_frames_that_are_waited_for_get_all_threads_at_once(tests_tools):
    with FrameSource(sample_of(tests_tools, frame_of, 500), "cpu", hands=3) as frames:
        frames.wait_for(499)
        assert len(frames._hands) == 3
        assert int(frames.read(499)[0, 0, 0]) == 499 % 256


def test_a_method_that_never_waits_has_one_thread(tests_tools):
    ready = threading.Event()

    def read(t):
        if t == 5:
            ready.set()
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu", hands=4) as frames:
        frames.wait_for(0)
        assert ready.wait(60)
        frames.wait_for(4)
        assert len(frames._hands) == 1


def test_a_gpu_gets_the_cores_that_are_left_and_a_cpu_method_keeps_its_own(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(16), raising=False)
    assert hands_for("cpu") == 1
    assert hands_for("cuda:0") == 8
    assert hands_for("cuda:0", at_once=4) == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(2), raising=False)
    assert hands_for("cuda:1") == 1


def test_several_threads_read_no_further_ahead_than_their_number_asks_for(tests_tools):
    reached = threading.Event()
    furthest = []

    def read(t):
        furthest.append(t)
        if t == 11:
            reached.set()
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read, 500), "cpu", hands=4) as frames:
        frames.wait_for(3)  # at most 2 x 4 frames more
        assert reached.wait(60)
    assert max(furthest) == 11


def test_the_first_broken_frame_is_named_also_where_a_later_one_breaks_sooner(tests_tools):
    later_broke = threading.Event()

    def read(t):
        if t == 2:
            assert later_broke.wait(60)
            raise DataError("frame 2 is torn")
        if t == 3:
            later_broke.set()
            raise DataError("frame 3 is torn")
        return frame_of(t)

    with FrameSource(sample_of(tests_tools, read), "cpu", hands=2) as frames:
        frames.wait_for(1)
        with pytest.raises(DataError, match="frame 2 is torn"):
            frames.wait_for(11)
    assert threads_of(frames) == []


def test_a_ring_keeps_the_latest_frames_and_no_more_than_fit():
    ring = FrameRing(least=2, kept_bytes=3 * 12)
    for t in range(5):
        ring.keep(t, torch.zeros(2, 2, 3, dtype=torch.uint8))
    assert [t for t in range(5) if ring.get(t) is not None] == [2, 3, 4]
    ring.keep(5, torch.zeros(4, 4, 3, dtype=torch.uint8))
    assert [t for t in range(6) if ring.get(t) is not None] == [4, 5]


def test_a_ring_for_what_goes_forward_keeps_so_many_frames_however_small_they_are():
    ring = FrameRing(least=2, most=3)
    for t in range(5):
        ring.keep(t, torch.zeros(2, 2, 3, dtype=torch.uint8))
    assert [t for t in range(5) if ring.get(t) is not None] == [2, 3, 4]
