"""Ctrl-C and a polite kill while training: heard between two steps, so that no step is left half done."""

from __future__ import annotations

import signal
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


def ignore_in_worker(number: int) -> None:
    """A process that makes batches leaves Ctrl-C to the one that trains; it ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
