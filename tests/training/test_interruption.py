"""Processes that make batches: they leave Ctrl-C to the one that trains, and are gone with it."""

import os
import select
import signal
import sys

import pytest

from harness.training.interruption import end_with_trainer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another system tells nobody of a parent's end")


def in_a_child(work):
    """Fork a process that does ``work`` and then waits for ever; its number."""
    child = os.fork()
    if not child:
        signal.alarm(300)  # of a test that fails nothing stays
        try:
            work()
            while True:
                signal.pause()
        finally:
            os._exit(1)
    return child


def test_a_worker_ignores_ctrl_c_and_ends_with_a_trainer_that_is_killed():
    hear, tell = os.pipe()

    def make_batches(trainer):
        end_with_trainer(trainer, 0)
        os.kill(os.getpid(), signal.SIGINT)
        os.write(tell, b"ready")

    def train():
        trainer = os.getpid()
        in_a_child(lambda: make_batches(trainer))
        os.close(tell)

    trainer = in_a_child(train)
    os.close(tell)
    assert os.read(hear, 16) == b"ready"
    os.kill(trainer, signal.SIGKILL)
    os.waitpid(trainer, 0)
    assert select.select([hear], [], [], 60)[0], "the worker is still there"
    assert os.read(hear, 16) == b""  # the worker had the other end, and nobody else
    os.close(hear)


def test_a_worker_whose_trainer_was_gone_before_it_began_ends():
    worker = in_a_child(lambda: end_with_trainer(os.getpid(), 0))  # its own number: its parent is another
    _, status = os.waitpid(worker, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
