"""An executor for shared machines: a video that crashed or ran out of memory gets a second try at the end."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from harness import hookimpl
from harness.api.contracts import Executor, Sessions
from harness.api.records import VideoFailure, VideoResult

MAY_GO_BETTER = ("crashed", "out-of-memory", "timed-out")
"""A broken contract, or broken data, would only break again."""


class Again:
    """Works through the videos in this process, then once more through those that failed."""

    name = "again"

    def execute(self, sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield what each video ends as, once a video; the second try has a method built afresh."""
        failed = []
        for outcome in work_through(sessions, videos):
            if isinstance(outcome, VideoFailure) and outcome.kind in MAY_GO_BETTER:
                failed.append(outcome.video)
            else:
                yield outcome
        yield from work_through(sessions, failed)


def work_through(sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
    """Build the method, run each video, let go of the method; nothing is built where there is nothing to do."""
    if not videos:
        return
    with closing(sessions.open()) as session:
        for video in videos:
            yield session.work_through(video)


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer one executor."""
    return [Again()]
