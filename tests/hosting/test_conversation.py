"""What a method is told and when: the horizon, the laps, the end; the same wherever it is asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import Method, Snapshot, stage
from harness.api.errors import CausalityError, ContractError, DataError
from harness.api.tasks import TASKS
from harness.api.video import Horizon, Prompts, Video
from harness.hosting.conversation import (
    CheckedConversation,
    Conversation,
    FramesWhenRead,
    Untimed,
    View,
    converse,
    lookahead,
    open_view,
)
from harness.hosting.here import Hosted, add_arrival
from harness.planning.plan import Request, resolve


def view_of(length=3):
    horizon = Horizon(last=-1)

    def read(frame):
        return torch.full((4, 4, 3), frame, dtype=torch.uint8)

    video = Video(name="v", length=length, height=4, width=4, read=read, horizon=horizon)
    return View(video, Prompts({0: torch.ones(4, 4, dtype=torch.uint8)}, horizon=horizon), horizon)


class Follows:
    def propagate(self, video, prompts):
        for t in range(len(video)):
            assert int(video[t][0, 0, 0]) == t
            yield prompts[0] * t


def ask(method, view, clocks=None):
    return Conversation(method, TASKS["one-shot"], view, clocks or Untimed())


def test_masks_come_one_at_a_time_and_none_at_the_end():
    talk = ask(Follows(), view_of())
    assert [int(talk.ask_mask(t).max()) for t in range(3)] == [0, 1, 2]
    assert talk.ask_beyond(2) is None


def test_a_frame_beyond_the_reach_of_an_ask_is_refused():
    class Looks:
        def propagate(self, video, prompts):
            yield prompts[0]
            video[2]
            yield prompts[0]

    talk = ask(Looks(), view_of())
    assert talk.ask_mask(0) is not None
    with pytest.raises(CausalityError, match="read frame 2 while only frames up to 1"):
        talk.ask_mask(1)


def test_a_method_is_called_with_the_first_ask_and_inside_its_lap():
    class Eager:
        called = False

        def propagate(self, video, prompts):
            self.called = True
            with stage("all at once"):
                masks = [prompts[0]] * len(video)
            return masks

    method, clocks = Eager(), Hosted(None, "cpu", 0).clocks(4, 4, 1)
    talk = ask(method, view_of(), clocks)
    assert not method.called
    for t in range(3):
        talk.ask_mask(t)
    timing = clocks.timing({})
    assert len(timing.model) == 3
    assert timing.stages["all at once"].calls == 1


def test_the_method_s_generator_is_ended_with_the_conversation():
    ended = []

    class Holds:
        def propagate(self, video, prompts):
            try:
                while True:
                    yield prompts[0]
            finally:
                ended.append(True)

    with ask(Holds(), view_of()) as talk:
        talk.ask_mask(0)
        assert not ended
    assert ended == [True]


def test_what_ends_a_conversation_is_not_hidden_by_a_method_that_ends_badly():
    class EndsBadly:
        def propagate(self, video, prompts):
            try:
                yield prompts[0]
            finally:
                raise RuntimeError("while it was ended")

    with pytest.raises(KeyError, match="the first"), ask(EndsBadly(), view_of()) as talk:
        talk.ask_mask(0)
        raise KeyError("the first")
    with pytest.raises(RuntimeError, match="while it was ended"), ask(EndsBadly(), view_of()) as talk:
        talk.ask_mask(0)


@pytest.mark.parametrize(
    ("card", "ahead"), [({}, 0), ({"causality": "window", "lookahead": 2}, 2), ({"causality": "offline"}, 9)]
)
def test_how_far_a_card_may_look(card, ahead):
    assert lookahead(Method("m", ("one-shot",), build=lambda context: None, **card), 9) == ahead


def plan_follows(tools, method, **changes):
    card = Method("follows", ("one-shot",), build=lambda context: method, **changes)
    catalog = tools.catalog_of(card)
    return resolve(Request(plugin="follows", bench="tiny"), catalog)


def test_a_video_is_asked_to_its_end_under_a_made_up_name(tests_tools):
    names = []

    class Names:
        def propagate(self, video, prompts):
            names.append((video.name, video.frame_names[0]))
            for _ in range(len(video)):
                yield prompts[0]

    plan = plan_follows(tests_tools, Names())
    host = Hosted(Names(), "cpu", 0)
    with converse(host, plan, plan.samples[1]) as talk:
        masks = [mask.copy() for mask in talk.ask_masks()]
        timing = talk.timing()
    assert names == [("video-0001", "00000")]
    assert all(np.array_equal(mask, tests_tools.moving_square(0)) for mask in masks)
    assert len(masks) == len(timing.model) == len(timing.e2e) == 5
    assert all(e2e > model for e2e, model in zip(timing.e2e, timing.model, strict=True))


def test_a_part_of_a_video_may_be_asked_for(tests_tools):
    plan = plan_follows(tests_tools, Follows())
    sample = plan.samples[0]
    frames = FramesWhenRead(sample, "cpu")
    view = open_view(plan, sample, frames.read, "cpu", name="v")

    class Copies:
        def propagate(self, video, prompts):
            for t in range(len(video)):
                assert t < 3
                yield prompts[0]

    with CheckedConversation(Copies(), plan, sample, view, Untimed(), frames) as talk:
        assert len(list(talk.ask_masks(until=3))) == 3


def test_a_prompted_task_needs_a_first_mask(tests_tools):
    plan = plan_follows(tests_tools, Follows())
    sample = replace(plan.samples[0], read_prompt=None)
    with pytest.raises(DataError, match="video first of tiny has no first mask"):
        open_view(plan, sample, FramesWhenRead(sample, "cpu").read, "cpu", name="v")


def test_snapshots_are_checked_like_masks(tests_tools):
    class Shows:
        def snapshots(self, video, prompts, every):
            assert video[4] is not None  # every frame may be looked at
            yield Snapshot(0, [prompts[0]] * 5)
            yield Snapshot(every, [prompts[0] * 9] * 5)

        def propagate(self, video, prompts):
            yield

    plan = plan_follows(tests_tools, Shows())
    with converse(Hosted(Shows(), "cpu", 0), plan, plan.samples[0]) as talk:
        shots = talk.ask_snapshots(2)
        assert next(shots).iteration == 0
        with pytest.raises(ContractError, match=r"frame 0: yielded ids \[9\]"):
            next(shots)


def test_arrival_is_added_to_each_answer_and_all_of_it_to_one_for_the_whole_video():
    assert add_arrival([1.0, 2.0], {0: 0.5, 1: 0.25}) == [1.5, 2.25]
    assert add_arrival([1.0], {0: 0.5, 1: 0.25}) == [1.75]
    assert add_arrival([1.0, 2.0], {}) == [1.0, 2.0]
