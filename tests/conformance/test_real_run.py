"""What a method is handed leads nowhere it may not look; where it would, the check ``blind`` says so."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness.conformance import CHECKS
from harness.conformance.probes import ORDINARY
from harness.conformance.real_run import secrets_in
from harness.conformance.subject import open_subjects

POINTS = [
    EntryPoint("copyfirst", "harness_copyfirst", "harness"),
    EntryPoint("inline", "harness.executors.inline", "harness"),
]
SAMPLE = ORDINARY.sample()


class Handed:
    """Something with one public attribute."""

    def __init__(self, thing):
        self.thing = thing


def closing_over(secret):
    def read(frame):
        return secret

    return read


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (SAMPLE.name, "the real name 'conformance-probes-ordinary' at argument 0.thing"),
        ([{"deep": f"davis/{SAMPLE.frame_names[3]}.jpg"}], r"argument 0.thing\[0\]\['deep'\]"),
        (closing_over(SAMPLE.name), "argument 0.thing closing over secret"),
        (Handed(SAMPLE).__init__, "__self__"),
        (Path("davis/bear"), "the path davis/bear"),
        (SAMPLE.read_truth(2), "a truth at argument 0.thing"),
    ],
    ids=["name", "frame name", "closure", "method", "path", "truth"],
)
def test_a_secret_within_reach_is_found(thing, message):
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(" | ".join(secrets_in([Handed(thing)], SAMPLE)))


def test_what_a_method_is_given_openly_is_no_secret():
    assert list(secrets_in([Handed(SAMPLE.read_prompt(0)), "video-0000", {0: SAMPLE.read_frame(1)}], SAMPLE)) == []


def judge_blind():
    check = next(check for check in CHECKS if check.name == "blind")
    return open_subjects("copyfirst", CHECKS, points=POINTS)[0].judge(check)


def test_the_runner_hands_over_nothing_that_leads_there():
    assert judge_blind().status == "passed"


def test_a_runner_that_hands_over_the_sample_is_caught(monkeypatch):
    from harness.hosting import conversation

    class Leaky(conversation.Video):
        source = SAMPLE

    monkeypatch.setattr(conversation, "Video", Leaky)
    outcome = judge_blind()
    assert outcome.status == "failed"
    assert "the real name 'conformance-probes-ordinary' at argument 0.source.name" in outcome.message
