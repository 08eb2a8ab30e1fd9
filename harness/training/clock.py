"""The time of a training's steps, without what is not theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """The time of the steps since it was last read, without what is not theirs."""

    def __init__(self) -> None:
        self.count = 0
        self._since = time.perf_counter()
        self._excluded = 0.0
        self._waited = 0.0

    def start(self) -> None:
        """Count from now."""
        self.count, self._since, self._excluded, self._waited = 0, time.perf_counter(), 0.0, 0.0

    @contextmanager
    def leave_out(self) -> Iterator[None]:
        """Leave out what happens here."""
        started = time.perf_counter()
        yield
        self._excluded += time.perf_counter() - started

    @contextmanager
    def count_waiting(self) -> Iterator[None]:
        """Count what happens here as waiting for a batch."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    def read(self) -> tuple[float, float]:
        """Seconds an iteration, and those of it that were waited for a batch, since the last time; begins anew."""
        count = max(1, self.count)
        found = ((time.perf_counter() - self._since - self._excluded) / count, self._waited / count)
        self.start()
        return found
