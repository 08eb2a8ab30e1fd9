"""A training in two stages, killed by SIGKILL at seeded moments, ends with the same bytes."""

import functools
import os
import random
import signal
import sys

import pytest

OURS = ("harness/training/", "harness/files", "whole_files", "two_rounds")
"""Where a kill may fall: in what decides and writes, each call of the system in it included, not inside torch."""


@functools.cache
def is_ours(file):
    return any(part in file for part in OURS)


def in_a_child(work, *, kill_at=None):
    """Run ``work`` in a forked process, killed by SIGKILL at the ``kill_at``-th call to or from code in OURS.

    Returns (whether it was killed, how many calls it made).
    """
    here, there = os.pipe()
    child = os.fork()
    if not child:
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            if event in ("call", "c_call") and is_ours(frame.f_code.co_filename):
                calls += 1
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.setprofile(count)
            work()
            status = 0
        finally:
            sys.setprofile(None)
            os.write(there, str(calls).encode())
            os._exit(status)
    os.close(there)
    with os.fdopen(here) as told:
        calls = told.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status), int(calls or 0)


def kill_often(rounds, folder, kills, seed):
    """Train and kill until there were so many kills; every training that got to its end is compared with the whole."""
    draw = random.Random(seed)
    _, calls = in_a_child(lambda: rounds.train(out="whole"))
    whole = rounds.content_of(folder / "whole")
    stages_hit, done, ended = [], 0, 0
    while done < kills or ended == 0:
        kill_at = draw.randint(1, calls) if done < kills else None
        place = folder / f"killed-{ended}"
        killed, _ = in_a_child(functools.partial(rounds.train, out=place.name), kill_at=kill_at)
        done += killed
        stages_hit += [where_it_was(place)] if killed else []
        if not killed:
            assert rounds.content_of(place) == whole
            ended += 1
    if (folder / f"killed-{ended}").exists():
        rounds.train(out=f"killed-{ended}")
        assert rounds.content_of(folder / f"killed-{ended}") == whole
    return stages_hit


def where_it_was(folder):
    """What a killed training was about."""
    for stage in ("again", "motion"):
        if (folder / f"artefacts/{stage}.begun").exists():
            return f"preparing {stage}"
        if (folder / f"artefacts/{stage}.done").exists():
            return stage
    return "beginning"


def test_a_training_killed_at_four_moments_ends_with_the_same_bytes(rounds, tmp_path):
    assert len(kill_often(rounds, tmp_path, kills=4, seed=0)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_training_killed_at_twenty_moments_in_every_stage_ends_with_the_same_bytes(rounds, tmp_path, seed):
    hit = kill_often(rounds, tmp_path, kills=20, seed=seed)
    assert len(hit) == 20
    assert {"motion", "again"} <= set(hit)
