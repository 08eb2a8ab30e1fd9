"""Videos dealt to workers that are lost, late or silent: each ends once, whatever happens to whoever had it."""

import random

import pytest

from harness.api.errors import EnvironmentProblem, MethodFailed
from harness.api.records import VideoFailure, VideoResult
from harness.executors.dealing import BACKOFF_SECONDS, MOST_IN_VAIN, PATIENCE_SECONDS, Dealing, Event

VIDEOS = [f"v{number}" for number in range(9)]


class Clock:
    """A clock that goes on only when somebody listens."""

    def __init__(self):
        self.now = 0.0

    def read(self):
        return self.now


class Actors:
    """Workers of which ``fate(worker, step)`` says what becomes: an Event's kind, "hangs", or None for what it should.

    A dismissed worker still speaks, as one behind a broken network does.
    """

    def __init__(self, clock, fate=lambda worker, step: None, *, shuffle=None):
        self.clock, self.fate, self.shuffle = clock, fate, shuffle
        self.steps = []  # (worker, what it does next)
        self.hired = 0
        self.dismissed = []
        self.given = []
        self.notes = []

    def hire(self):
        self.hired += 1
        self.steps.append((self.hired, "placed"))
        return self.hired

    def give(self, worker, video):
        self.given.append((worker, video))
        self.steps.append((worker, video))

    def dismiss(self, worker):
        self.dismissed.append(worker)

    def wait_for_event(self, seconds):
        if not self.steps:
            self.clock.now += seconds
            return None
        worker, step = self.steps.pop(self.shuffle.randrange(len(self.steps)) if self.shuffle else 0)
        fate = self.fate(worker, step)
        if fate == "hangs":
            return None
        if fate == "lost":
            return Event(worker, "lost", why="killed")
        if step == "placed":
            self.steps.append((worker, "ready"))
            return Event(worker, "placed")
        return Event(worker, "ready") if step == "ready" else Event(worker, "answered", answer=step)

    def describe_room(self):
        return "a worker needs 9 CPUs; the cluster has 2"


def result_of(video):
    return VideoResult(video=video, key="0" * 64, digest="0" * 64, length=2, height=8, width=8)


def dealing_with(crew, clock, *, most=2, received=None, limit=lambda video: 100.0 + int(video[1:])):
    def receive(video, answer, files):
        assert answer == video
        if received is not None:
            received.append(video)
        return result_of(video)

    return Dealing(crew, most, "ours", limit, 50.0, receive, crew.notes.append, clock.read)


def test_long_videos_go_first_and_nobody_is_hired_for_nothing():
    clock = Clock()
    crew = Actors(clock)
    ended = [outcome.video for outcome in dealing_with(crew, clock, most=4).deal(VIDEOS[:2])]
    assert crew.hired == 2
    assert [video for _, video in crew.given] == ["v1", "v0"]
    assert sorted(ended) == ["v0", "v1"]


@pytest.mark.parametrize("seed", range(40))
def test_each_video_ends_once_whatever_is_lost(seed):
    draw, clock, received = random.Random(seed), Clock(), []

    def fate(worker, step):
        if step in ("placed", "ready"):
            return None
        return draw.choice([None, None, "lost", "hangs"])

    crew = Actors(clock, fate, shuffle=random.Random(seed + 1))
    outcomes = list(dealing_with(crew, clock, most=3, received=received).deal(VIDEOS))
    assert sorted(outcome.video for outcome in outcomes) == VIDEOS
    assert len(set(received)) == len(received)
    for failure in (outcome for outcome in outcomes if isinstance(outcome, VideoFailure)):
        given = [worker for worker, video in crew.given if video == failure.video]
        assert set(given) <= set(crew.dismissed)
        assert failure.kind == "timed-out" or len(given) == 2


def test_a_video_lost_once_is_given_to_another_and_lost_twice_is_a_crash():
    clock, lost = Clock(), []

    def fate(worker, step):
        if step == "v1" or (step == "v2" and not lost):
            lost.append(step)
            return "lost"
        return None

    crew = Actors(clock, fate)
    outcomes = {outcome.video: outcome for outcome in dealing_with(crew, clock, most=1).deal(["v1", "v2"])}
    assert lost == ["v2", "v1", "v1"]
    assert crew.notes == ["v2 is begun anew elsewhere: killed", "v1 is begun anew elsewhere: killed"]
    assert isinstance(outcomes["v2"], VideoResult)
    assert outcomes["v1"].kind == "crashed"
    assert "ours, video v1: its worker was lost 2 times, at last: killed" in outcomes["v1"].message


def test_the_answer_of_a_worker_that_was_given_up_is_thrown_away():
    clock, received = Clock(), []
    crew = Actors(clock, lambda worker, step: "lost" if (worker, step) == (1, "v0") else None)
    dealing = dealing_with(crew, clock, most=1, received=received)
    outcomes = dealing.deal(["v0"])
    first = crew.wait_for_event
    late = [Event(1, "answered", answer="v0")]
    crew.wait_for_event = lambda seconds: late.pop() if crew.dismissed and late else first(seconds)
    assert [outcome.video for outcome in outcomes] == ["v0"]
    assert received == ["v0"]
    assert late == []


def test_a_video_that_takes_too_long_has_its_worker_ended():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "hangs" if step == "v3" else None)
    outcomes = {outcome.video: outcome for outcome in dealing_with(crew, clock).deal(VIDEOS[:5])}
    assert outcomes["v3"].kind == "timed-out"
    assert "no answer within 103 s" in outcomes["v3"].message
    assert [outcome for outcome in outcomes.values() if isinstance(outcome, VideoFailure)] == [outcomes["v3"]]
    assert next(worker for worker, video in crew.given if video == "v3") in crew.dismissed


def test_workers_that_die_while_they_build_stop_the_run():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "lost" if step == "ready" else None)
    with pytest.raises(MethodFailed, match=f"ours: {MOST_IN_VAIN} workers were lost before they were ready: killed"):
        list(dealing_with(crew, clock).deal(VIDEOS))


def test_workers_that_never_had_a_machine_are_asked_for_again_after_a_while():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "lost" if step == "placed" and worker <= 6 else None)
    outcomes = list(dealing_with(crew, clock).deal(VIDEOS))
    assert sorted(outcome.video for outcome in outcomes) == VIDEOS
    assert crew.hired == 8
    assert clock.now >= 2 * BACKOFF_SECONDS


def test_a_cluster_that_loses_every_worker_is_given_up_in_time():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "lost")
    with pytest.raises(EnvironmentProblem, match="gave no worker a place within"):
        list(dealing_with(crew, clock).deal(VIDEOS))
    assert PATIENCE_SECONDS < clock.now < PATIENCE_SECONDS + 5


def test_a_build_without_end_is_given_up():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "hangs" if step == "ready" else None)
    with pytest.raises(MethodFailed, match="was not built within 50 s"):
        list(dealing_with(crew, clock).deal(VIDEOS))


def test_a_cluster_without_room_is_waited_for_so_long_and_no_longer():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "hangs" if step == "placed" else None)
    with pytest.raises(EnvironmentProblem, match="a worker needs 9 CPUs; the cluster has 2"):
        list(dealing_with(crew, clock).deal(VIDEOS))
    assert PATIENCE_SECONDS < clock.now < PATIENCE_SECONDS + 5


def test_who_finds_no_room_is_not_missed_while_others_work():
    clock = Clock()
    crew = Actors(clock, lambda worker, step: "hangs" if worker == 2 else None)
    outcomes = list(dealing_with(crew, clock).deal(VIDEOS))
    assert sorted(outcome.video for outcome in outcomes) == VIDEOS
    assert crew.dismissed == [2]
