"""The process executor: the method in processes of its own, one a device; what it breaks there costs one video."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from queue import Empty, SimpleQueue

from harness.api.contracts import Executor, Sessions
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoFailure, VideoResult

Outcome = VideoResult | VideoFailure | BaseException | None


class Process:
    """Opens a session apart for each device; a thread drives each, and they share the videos among them."""

    name = "process"

    def execute(self, sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield outcomes as videos end; whatever stops the run ends every process."""
        todo, done = SimpleQueue[str](), SimpleQueue[Outcome]()
        for video in videos:
            todo.put(video)
        crew = [_Hand(sessions, device, todo, done) for device in sessions.devices[: len(videos)]]
        try:
            for hand in crew:
                hand.start()
            working = len(crew)
            while working:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is None:
                    working -= 1
                else:
                    yield outcome
        finally:
            for hand in crew:
                hand.dismissed.set()
            sessions.close()
            for hand in crew:
                hand.join()


class _Hand(threading.Thread):
    """Drives one session until no video is left; tells ``done`` each outcome, what went wrong, or None at the end."""

    def __init__(self, sessions: Sessions, device: str, todo: SimpleQueue[str], done: SimpleQueue[Outcome]) -> None:
        super().__init__(name=f"harness-{device}", daemon=True)
        self._sessions = sessions
        self._device = device
        self._todo = todo
        self._done = done
        self.dismissed = threading.Event()

    def run(self) -> None:
        try:
            with closing(self._sessions.open(device=self._device, apart=True)) as session:
                while not self.dismissed.is_set():
                    self._done.put(session.work_through(self._todo.get_nowait()))
        except Empty:
            pass
        except BaseException as error:
            self._done.put(error)
        finally:
            self._done.put(None)


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer the process executor."""
    return [Process()]
