"""The leaderboard for a spreadsheet: one CSV file with a row for each figure of each measured record."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import RunRecord, hookimpl
from harness.api.contracts import Reporter
from harness.api.published import PublishedPaper

HEADING = ("benchmark", "task", "method", "preset", "partial", "metric", "figure", "value", "low", "high", "record")


class Csv:
    """Writes ``leaderboard.csv``; what papers report is left out, it was not measured here."""

    name = "csv"

    def report(
        self, records: Sequence[RunRecord], out: Path, published: Sequence[PublishedPaper] = ()
    ) -> Sequence[Path]:
        """Write the file into ``out``; the same records give the same bytes, in whatever order they come."""
        path = out / "leaderboard.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADING)
            writer.writerows(sorted(row for record in records for row in rows_of(record)))
        return [path]


def rows_of(record: RunRecord) -> Iterator[tuple[str, ...]]:
    """One row a figure; an undefined one is an empty cell."""
    bench = record.benchmark
    whose = (bench.name, bench.task, record.plugin.name, as_text(record.preset), str(record.partial).lower())
    for metric, figures in record.scores.items():
        for figure, interval in figures.items():
            numbers = ("" if n is None else repr(n) for n in (interval.value, interval.low, interval.high))
            yield (*whose, metric, as_text(figure), *numbers, record.id)


def as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: records are written by strangers."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


@hookimpl
def harness_reporters() -> list[Reporter]:
    """Offer one reporter."""
    return [Csv()]
