"""A record as the two CSV files davis2017-evaluation writes: global figures, and one row an object; three decimals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.api.records import RunRecord
from harness.files import write_atomically

GLOBAL = ("J&F", "J-mean", "J-recall", "J-decay", "F-mean", "F-recall", "F-decay")
HEADINGS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


def write_official_csv(record: RunRecord, folder: Path) -> list[Path]:
    """Write ``global_results-SPLIT.csv`` and ``per-sequence_results-SPLIT.csv`` into ``folder``; returns both.

    The columns of the global file are the toolkit's; other figures (T, AP) follow under their own names. A figure that
    is undefined is an empty cell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    split = record.benchmark.name.partition("-")[2].removeprefix("unsup-") or record.benchmark.name
    figures = {name: interval.value for columns in record.scores.values() for name, interval in columns.items()}
    columns = [*(name for name in GLOBAL if name in figures), *(name for name in figures if name not in GLOBAL)]
    overall = _write(
        folder / f"global_results-{split}.csv",
        [_heading(name) for name in columns],
        [[_cell(figures[name]) for name in columns]],
    )
    kept = [name for name in ("J-mean", "F-mean", "T") if name in figures]
    rows = [
        [f"{row.video}_{name}", *(_cell(values.get(column)) for column in kept)]
        for row in record.videos
        for name, values in row.objects.items()
    ]
    return [overall, _write(folder / f"per-sequence_results-{split}.csv", ["Sequence", *map(_heading, kept)], rows)]


def _heading(column: str) -> str:
    return HEADINGS[GLOBAL.index(column)] if column in GLOBAL else column


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
    return path
