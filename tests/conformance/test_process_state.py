"""What a method changes for everybody in the process, or leaves running, is caught, named and put back."""

import io
import os
import random
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from harness import Method
from harness.api.process_state import describe_changes, note_state
from harness.conformance import CHECKS, care_checks
from harness.conformance.probes import PROBES
from harness.conformance.subject import open_subjects

INLINE = EntryPoint("inline", "harness.executors.inline", "harness")
STARTED = []


class Planted:
    """It shows the first mask, and does something when it is built and before each mask."""

    def __init__(self, when_built, when_played):
        self.kept = when_built()
        self.when_played = when_played

    def propagate(self, video, prompts):
        for _ in range(len(video)):
            self.when_played()
            yield torch.where(prompts[0] < 255, prompts[0], 0)


def judge(tests_tools, monkeypatch, when_built=int, when_played=int):
    """What the check says of a method that does this, on one probe."""
    monkeypatch.setattr("harness.conformance.subject.PROBES", PROBES[:1])
    card = Method(name="planted", tasks=("one-shot",), build=lambda context: Planted(when_built, when_played))
    module = tests_tools.plugin_module("planted", harness_methods=lambda: [card])
    (subject,) = open_subjects("planted", CHECKS, points=[tests_tools.point("planted", module), INLINE])
    return subject.judge(care_checks.process)


def start_a_thread():
    end = threading.Event()
    threading.Thread(target=end.wait, args=(30,), name="prefetcher", daemon=True).start()
    STARTED.append(end.set)


def start_a_child():
    child = subprocess.Popen(["sleep", "30"])
    STARTED.append(lambda: (child.kill(), child.wait()))


CHANGES = {
    "folder": (lambda: os.chdir("/"), "working directory = '/'"),
    "a-variable-set": (lambda: os.environ.update(OMP_WAIT_POLICY="x"), "OMP_WAIT_POLICY = 'x'"),
    "a-variable-gone": (lambda: os.environ.pop("PATH", None), "PATH = None"),
    "umask": (lambda: os.umask(0o777), "umask = 511"),
    "a-handler": (lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN), "handler of SIGTERM"),
    "random": (lambda: random.seed(0), "Python's random numbers"),
    "numpy-random": (lambda: np.random.seed(0), "numpy's random numbers"),  # noqa: NPY002
    "numpy-errors": (lambda: np.seterr(all="raise"), "numpy's handling of errors"),
    "standard-output": (lambda: setattr(sys, "stdout", io.StringIO()), "standard output"),
    "path": (lambda: sys.path.append("/my/repository"), "sys.path"),
    "a-thread": (start_a_thread, "thread 'prefetcher'"),
    "a-child": (start_a_child, "(sleep 30) still running"),
}


@pytest.mark.parametrize("when", ["when_built", "when_played"])
@pytest.mark.parametrize(("act", "message"), CHANGES.values(), ids=CHANGES)
def test_what_is_changed_for_everybody_or_left_running_is_caught(act, message, when, tests_tools, monkeypatch):
    monkeypatch.setattr("harness.api.process_state.GRACE_SECONDS", 0.0)
    before = note_state()
    try:
        outcome = judge(tests_tools, monkeypatch, **{when: act})
    finally:
        while STARTED:
            STARTED.pop()()
    assert outcome.status == "failed"
    assert message in outcome.message
    assert describe_changes(before) == []


def keep_a_pool():
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    return pool


def keep_a_thread():
    end, owner = threading.Event(), type("Owner", (), {})()
    threading.Thread(target=end.wait, args=(30,)).start()
    weakref.finalize(owner, end.set)
    return owner


@pytest.mark.parametrize("act", [keep_a_pool, keep_a_thread, lambda: torch.rand(1)])
def test_what_goes_with_the_method_and_torch_s_numbers_are_its_own(act, tests_tools, monkeypatch):
    assert judge(tests_tools, monkeypatch, when_built=act).message == ""
