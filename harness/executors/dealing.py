"""Videos dealt out to workers that come late, die, hang, or answer when nobody waits any more: each ends once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Literal, Protocol

from harness.api.dataclass import dataclass
from harness.api.errors import EnvironmentProblem, MethodFailed
from harness.api.execution import MaskFiles
from harness.api.records import VideoFailure, VideoResult

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""How long a run without any worker waits for the first."""
BACKOFF_SECONDS = 2.0
"""How long nobody is hired after a worker that was lost before it was given a machine: that is the cluster's affair."""
MOST_IN_VAIN = 3
"""Workers that may be lost one after the other before they have built the method."""
MOST_LOSSES = 2
"""A video that so many workers were lost with is a crash: it may be what kills them."""


@dataclass(frozen=True)
class Event:
    """What became of a worker: it was given a machine, it has built the method, it answered, it is lost."""

    worker: int
    kind: Literal["placed", "ready", "answered", "lost"]
    answer: str = ""
    files: MaskFiles = ()
    why: str = ""


class Crew(Protocol):
    """Workers elsewhere; nothing here waits but ``wait_for_event``."""

    def hire(self) -> int:
        """Ask for one more worker and have it build the method; its number."""
        ...

    def give(self, worker: int, video: str) -> None:
        """Have it work through a video."""
        ...

    def dismiss(self, worker: int) -> None:
        """End it, whatever it is at; nothing of it is heard any more."""
        ...

    def wait_for_event(self, seconds: float) -> Event | None:
        """The next thing that happens; None where nothing does for so long."""
        ...

    def describe_room(self) -> str:
        """What a worker needs and what there is, in words."""
        ...


@dataclass
class _Desk:
    """Where a worker is: ``video`` is what it is at, ``since`` when that began."""

    since: float
    is_placed: bool = False
    is_ready: bool = False
    video: str = ""


@dataclass
class Dealing:
    """One run's videos among its workers, at most ``most`` at a time; long videos first.

    A video whose worker is lost is given to another, once: lost twice it is a VideoFailure. One that takes longer than
    ``seconds_for`` says has its worker ended, and is given up.
    """

    crew: Crew
    most: int
    method: str
    seconds_for: Callable[[str], float]
    build_seconds: float
    receive: Callable[[str, str, MaskFiles], VideoResult | VideoFailure]
    tell: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _todo: list[str] = field(default_factory=list, init=False)
    _desks: dict[int, _Desk] = field(default_factory=dict, init=False)
    _losses: Counter[str] = field(default_factory=Counter, init=False)
    _in_vain: int = field(default=0, init=False)
    _last_sign: float = field(default=0.0, init=False)
    _not_before: float = field(default=0.0, init=False)

    def deal(self, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield what each video ends as, in the order they end."""
        self._todo = sorted(videos, key=self.seconds_for)  # taken from the end
        self._last_sign = self.clock()
        while self._todo or self._at_work():
            self._hire()
            event = self.crew.wait_for_event(POLL_SECONDS)
            if event is not None and event.worker in self._desks:
                yield from self._hear(event, self._desks[event.worker])
            yield from self._give_up_late_ones()
            self._refuse_to_wait_for_ever()

    def _at_work(self) -> list[str]:
        return [desk.video for desk in self._desks.values() if desk.video]

    def _hire(self) -> None:
        """As many workers as there are videos for; those too many, who have not come yet, are sent away."""
        wanted = min(self.most, len(self._todo) + len(self._at_work()))
        while len(self._desks) < wanted and self.clock() >= self._not_before:
            self._desks[self.crew.hire()] = _Desk(self.clock())
        idle = [worker for worker, desk in self._desks.items() if not desk.video]
        for worker in idle[: max(0, len(self._desks) - wanted)]:
            self._dismiss(worker)

    def _hear(self, event: Event, desk: _Desk) -> Iterator[VideoResult | VideoFailure]:
        if event.kind == "lost":
            yield from self._lose(event.worker, desk, event.why)
            return
        if event.kind == "placed":
            desk.is_placed, desk.since = True, self.clock()
            return
        video, desk.video, desk.is_ready, self._in_vain = desk.video, "", True, 0
        if event.kind == "answered":
            yield self.receive(video, event.answer, event.files)
        if self._todo:
            desk.video, desk.since = self._todo.pop(), self.clock()
            self.crew.give(event.worker, desk.video)

    def _lose(self, worker: int, desk: _Desk, why: str) -> Iterator[VideoFailure]:
        self._dismiss(worker)
        if not desk.video:
            self._in_vain += desk.is_placed
            self._not_before = self.clock() + (0 if desk.is_placed else BACKOFF_SECONDS)
            self.tell(f"lost before it was ready: {why.partition(chr(10))[0]}")
            if self._in_vain >= MOST_IN_VAIN:
                raise MethodFailed(f"{self.method}: {self._in_vain} workers were lost before they were ready: {why}")
            return
        self._losses[desk.video] += 1
        if self._losses[desk.video] < MOST_LOSSES:
            self.tell(f"{desk.video} is begun anew elsewhere: {why.partition(chr(10))[0]}")
            self._todo.append(desk.video)
            return
        yield self._fail(desk.video, "crashed", f"its worker was lost {MOST_LOSSES} times, at last: {why}")

    def _give_up_late_ones(self) -> Iterator[VideoFailure]:
        now = self.clock()
        for worker, desk in list(self._desks.items()):
            if desk.video and now - desk.since > (limit := self.seconds_for(desk.video)):
                self._dismiss(worker)
                yield self._fail(desk.video, "timed-out", f"no answer within {limit:.0f} s")
            elif desk.is_placed and not desk.is_ready and now - desk.since > self.build_seconds:
                yield from self._lose(worker, desk, f"the method was not built within {self.build_seconds:.0f} s")

    def _refuse_to_wait_for_ever(self) -> None:
        """EnvironmentProblem where no worker is given a machine."""
        if any(desk.is_placed for desk in self._desks.values()):
            self._last_sign = self.clock()
        waited = self.clock() - self._last_sign
        if waited > PATIENCE_SECONDS:
            raise EnvironmentProblem(
                f"the cluster gave no worker a place within {PATIENCE_SECONDS:.0f} s: {self.crew.describe_room()}",
                hint="fewer --threads, or a cluster with more free; the same command goes on from here",
            )

    def _dismiss(self, worker: int) -> None:
        del self._desks[worker]
        self.crew.dismiss(worker)

    def _fail(self, video: str, kind: Literal["crashed", "timed-out"], words: str) -> VideoFailure:
        return VideoFailure(video=video, kind=kind, message=f"{self.method}, video {video}: {words}"[:20000])
