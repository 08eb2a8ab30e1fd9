"""An executor for shared machines: a video that crashed or ran out of memory gets a second try at the end."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from harness import hookimpl
from harness.api.contracts import Executor, OpenSession
from harness.api.records import VideoFailure, VideoResult

MAY_GO_BETTER = ("crashed", "out-of-memory", "timed-out")
"""A broken contract, or broken data, would only break again."""


class Again:
    """Works through the videos in this process, then once more through those that failed."""

    name = "again"

    def execute(self, open_session: OpenSession, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield what each video ends as, once a video; the second try has a method built afresh."""
        failed = []
        for outcome in worked_through(open_session, videos):
            if isinstance(outcome, VideoFailure) and outcome.kind in MAY_GO_BETTER:
                failed.append(outcome.video)
            else:
                yield outcome
        yield from worked_through(open_session, failed)


def worked_through(open_session: OpenSession, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
    """Build the method, run each video, let go of the method; nothing is built where there is nothing to do."""
    if not videos:
        return
    with closing(open_session()) as work:
        for video in videos:
            yield work(video)


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer one executor."""
    return [Again()]
