"""The leaderboard as a folder of HTML pages, which opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.api.contracts import Reporter
from harness.api.hookspecs import hookimpl
from harness.api.published import PublishedPaper
from harness.api.records import RunRecord


class Site:
    """Writes ``site/``, with ``site/index.html`` to begin at."""

    name = "site"

    def report(
        self, records: Sequence[RunRecord], out: Path, published: Sequence[PublishedPaper] = ()
    ) -> Sequence[Path]:
        """Write the pages; what no record makes any more is gone with the earlier ones."""
        from harness.pages.leaderboard import write_leaderboard

        return write_leaderboard(records, published, out / "site")


@hookimpl
def harness_reporters() -> list[Reporter]:
    """Offer the pages."""
    return [Site()]
