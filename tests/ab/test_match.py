"""A match: who plays when, who rests, what is decoded how often, and what is left where one side fails."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.ab.match import Terms, _KeptFrames, _play_round, order_of
from harness.ab.player import Player
from harness.hosting.worker.process import WorkerProcess


class Told:
    """A player that tells of everything it does; ``fails_at`` a mask it raises."""

    def __init__(self, name, heard, masks=3, fails_at=None):
        self.name, self.heard, self.masks, self.fails_at = name, heard, masks, fails_at
        self.host = self
        self.awake = True

    def resume(self):
        self.awake = True

    def rest(self):
        self.awake = False

    def stay_on_core(self, turn):
        self.core = turn % 2

    def play_scored(self, sample):
        self.heard.append((self.name, "scored", self.awake))
        yield

    def play_timed(self, sample):
        try:
            for mask in range(self.masks):
                self.heard.append((self.name, mask, self.awake))
                if mask == self.fails_at:
                    raise RuntimeError("a mask too many")
                yield
        finally:
            self.heard.append((self.name, "let go", self.awake))


def two(heard, **options):
    return [Told("base", heard), Told("head", heard, **options)]


def test_masks_are_asked_for_in_alternation_and_one_rests_meanwhile(tests_tools):
    heard = []
    players = two(heard)
    _play_round(tests_tools.tiny_sample("v"), 1, players, Terms(seed=3))
    first, second = (player.name for player in order_of(players, "3 v 1"))
    asked = [(name, mask) for name, mask, _ in heard if mask != "let go"]
    assert asked == [(name, mask) for mask in range(3) for name in (first, second)]
    assert all(awake for _, _, awake in heard)
    assert all(player.awake for player in players)


def test_both_sides_play_a_round_on_the_same_core(tests_tools):
    players = two([])
    for turn in (1, 2, 3):
        _play_round(tests_tools.tiny_sample("v"), turn, players, Terms())
        assert [player.core for player in players] == [turn % 2] * 2


@pytest.mark.parametrize(
    ("threads", "device", "kept"), [(1, "cpu", [{4}, {6}, {4}]), (2, "cpu", []), (1, "cuda:0", [])]
)
def test_only_a_method_of_one_thread_on_a_cpu_is_kept_on_a_core(monkeypatch, threads, device, kept):
    cores = []
    monkeypatch.setattr("harness.ab.player.list_cores", lambda: [4, 6])
    monkeypatch.setattr(Player, "host", SimpleNamespace(worker_device=device, stay_on=cores.append))
    player = object.__new__(Player)
    player.plan = SimpleNamespace(request=SimpleNamespace(threads=threads))
    for turn in range(3):
        player.stay_on_core(turn)
    assert cores == kept


@pytest.mark.skipif(sys.platform != "linux", reason="cores are named on Linux only")
def test_a_worker_stays_on_its_cores_with_all_of_its_threads():
    waiting = "import threading, time; threading.Thread(target=time.sleep, args=(30,)).start(); print(flush=True)"
    core = max(os.sched_getaffinity(0))
    worker = object.__new__(WorkerProcess)
    with subprocess.Popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE) as worker._process:
        worker._process.stdout.readline()
        worker.stay_on({core})
        threads = [int(thread.name) for thread in Path(f"/proc/{worker._process.pid}/task").iterdir()]
        assert [os.sched_getaffinity(thread) for thread in threads] == [{core}] * 2
        worker._process.kill()
    worker.stay_on({core})  # of one that has ended nothing is asked


def test_the_first_round_of_a_video_is_scored(tests_tools):
    heard = []
    _play_round(tests_tools.tiny_sample("v"), 0, two(heard), Terms())
    assert sorted(heard) == [("base", "scored", True), ("head", "scored", True)]


def test_where_one_side_fails_the_other_is_woken_before_it_lets_go(tests_tools):
    heard = []
    players = two(heard, fails_at=1)
    with pytest.raises(RuntimeError, match="a mask too many"):
        _play_round(tests_tools.tiny_sample("v"), 1, players, Terms())
    assert {name for name, what, awake in heard if what == "let go" and awake} == {"base", "head"}
    assert all(player.awake for player in players)


def test_a_side_that_is_longer_goes_on_alone(tests_tools):
    heard = []
    _play_round(tests_tools.tiny_sample("v"), 1, two(heard, masks=5), Terms())
    assert [mask for name, mask, _ in heard if name == "head"] == [0, 1, 2, 3, 4, "let go"]


def test_the_coin_falls_on_both_sides_and_the_same_way_again():
    firsts = [order_of(["base", "head"], f"0 v {turn}")[0] for turn in range(100)]
    assert firsts == [order_of(["base", "head"], f"0 v {turn}")[0] for turn in range(100)]
    assert 30 < firsts.count("base") < 70


def test_a_frame_is_decoded_once_until_the_video_is_over():
    asked = []

    def read(frame):
        asked.append(frame)
        return np.zeros((2, 2, 3), np.uint8)

    frames = _KeptFrames(read)
    assert frames(0) is frames(0)
    frames.forget()
    frames(0)
    assert asked == [0, 0]


def test_frames_beyond_what_is_kept_are_decoded_again(monkeypatch):
    monkeypatch.setattr("harness.ab.match.KEPT_BYTES", 12)
    asked = []
    frames = _KeptFrames(lambda frame: asked.append(frame) or np.zeros((2, 2, 3), np.uint8))
    for frame in (0, 1, 0, 1):
        frames(frame)
    assert asked == [0, 1, 1]
