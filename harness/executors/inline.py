"""The inline executor: every video in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.api.contracts import Executor, Sessions
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoFailure, VideoResult


class Inline:
    """Opens one session and works through the videos in order."""

    name = "inline"

    def execute(self, sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield what the session gives for each video; nothing is opened where there is nothing to do."""
        if not videos:
            return
        session = sessions.open()
        for video in videos:
            yield session.work_through(video)


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer the inline executor."""
    return [Inline()]
