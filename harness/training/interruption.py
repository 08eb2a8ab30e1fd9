"""Ctrl-C and a polite kill while training: heard between two steps, so that no step is left half done."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HEARD = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether someone asked the training to stop; a second signal stops it where it stands."""

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self._at_once:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def take_signals(self) -> Iterator[None]:
        """Take the signals; what took them before does so again afterwards. Only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in HEARD}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop at the first signal: nothing is changing that could be left half done."""
        if self.asked:
            raise KeyboardInterrupt
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2): the signal a process gets when the thread that forked it ends."""


def end_with_trainer(trainer: int, number: int) -> None:
    """A process that makes batches leaves Ctrl-C to the one that trains, and ends with it, also where that is killed.

    A fork of ``trainer`` has the lock of its folder too. By itself it looks for its parent every five seconds between
    two batches, and never where it waits to hand one over: the same command would be refused meanwhile. Where there is
    no such signal (not Linux) it is left to that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != trainer:  # it ended before that was asked for
        os.kill(os.getpid(), signal.SIGKILL)
