"""The inline executor: every video in this process, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.api.contracts import Executor
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoFailure, VideoResult

Work = Callable[[str], VideoResult | VideoFailure]


class Inline:
    """Opens one session and works through the videos in order."""

    name = "inline"

    def execute(self, open_session: Callable[[], Work], videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield what the session gives for each video; nothing is opened where there is nothing to do."""
        if not videos:
            return
        work = open_session()
        for video in videos:
            yield work(video)


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer the inline executor."""
    return [Inline()]
