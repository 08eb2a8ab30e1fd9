"""How time is shared out: among the steps of a budget, and inside a step among what it does one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LEAST = 5.0
"""Seconds under which no step is begun."""


@dataclass
class Budget:
    """Seconds for all steps; what one leaves unused is added to the next one's limit."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    spare: float = 0.0

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    def grant(self, limit: float) -> float:
        """What a step of this limit may take from now on; 0 where that is too little to begin."""
        granted = min(limit + self.spare, self._end - self.clock())
        return granted if granted >= LEAST else 0.0

    def note(self, limit: float, took: float) -> None:
        """A step of this limit is over, after so many seconds."""
        self.spare = max(0.0, self.spare + limit - took)


@dataclass
class Pace:
    """One step's seconds; the first thing is always begun, the next ones where what the last one took is left."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    last: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - self.clock()

    @property
    def fits(self) -> bool:
        """Whether one more is likely to be done in time."""
        return self.last == 0.0 or self.last <= self.left

    @contextmanager
    def time_one(self) -> Iterator[None]:
        """Note how long this one takes, however it ends."""
        start = self.clock()
        try:
            yield
        finally:
            self.last = self.clock() - start


def keep_back(seconds: float) -> float:
    """Of a step's seconds, what it is not told of: it ends by itself before it is ended."""
    return min(5.0, seconds / 10)
