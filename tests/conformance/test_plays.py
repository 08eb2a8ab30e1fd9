"""A play: one method on one probe under the runner's rules, ended cleanly whatever the method does."""

from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from harness.conformance import CHECKS
from harness.conformance.plays import Player, difference
from harness.conformance.probes import LATE, ORDINARY, PROBES, with_noise_after
from harness.conformance.subject import open_subjects

POINTS = [
    EntryPoint("copyfirst", "harness_copyfirst", "harness"),
    EntryPoint("inline", "harness.executors.inline", "harness"),
]


@pytest.fixture(scope="module")
def plan():
    return open_subjects("copyfirst", CHECKS, points=POINTS)[0].plan


class Reads:
    """It reads every frame and shows the first prompt."""

    def propagate(self, video, prompts):
        with torch.inference_mode():
            for t in range(len(video)):
                assert video[t].shape == (*video.size, 3)
                yield prompts[0].clone()


def test_a_context_is_entered_for_each_mask_and_every_frame_lies_ready_before(plan):
    asked, read = [], []

    @contextmanager
    def around(frame):
        asked.append(frame)
        before = len(read)
        yield
        assert len(read) == before

    def read_frame(frame):
        read.append(frame)
        return ORDINARY.frame(frame)

    play = Player(plan, Reads(), around=around).play(replace(ORDINARY.sample(), read_frame=read_frame))
    assert play.error is None
    assert asked == list(range(8))


def test_what_is_refused_in_a_mask_ends_the_play_there(plan):
    @contextmanager
    def around(frame):
        if frame == 2:
            raise RuntimeError("called a synchronizing CUDA operation")
        yield

    play = Player(plan, Reads(), around=around).play(ORDINARY.sample())
    assert len(play.masks) == 2
    assert "synchronizing" in str(play.error)


def test_a_mode_that_leaked_is_noted_and_gone_after_the_play(plan):
    play = Player(plan, Reads()).play(ORDINARY.sample(), until=3)
    assert play.modes["inference mode"] is True
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    assert len(play.masks) == 3


def test_two_plays_differ_where_their_masks_do(plan):
    one, other = (Player(plan, Reads()).play(ORDINARY.sample()) for _ in range(2))
    assert difference(one, other) is None
    other.masks[5][0, 0] += 1
    assert difference(one, other) == f"1 of {48 * 64} pixels of mask 5"
    assert difference(one, other, frames=5) is None
    other.masks.pop()
    other.masks[5][0, 0] -= 1
    assert difference(one, other) == "8 and 7 masks"


def test_noise_takes_the_place_of_the_future_alone():
    noisy = with_noise_after(LATE.sample(), 4)
    assert np.array_equal(noisy.read_frame(4), LATE.frame(4))
    assert (noisy.read_frame(5) != LATE.frame(5)).mean() > 0.9
    assert noisy.prompt_frames == (0, 3)


@pytest.mark.parametrize("scene", [probe.scene for probe in PROBES], ids=lambda scene: scene.name)
def test_a_probe_prompts_each_object_where_it_is_to_be_seen(scene):
    for actor in scene.actors:
        assert (scene.prompt(actor.prompted) == actor.id).any()
        assert not any((scene.truth(frame) == actor.id).any() for frame in range(actor.prompted))
    assert 0 in scene.prompt_frames
