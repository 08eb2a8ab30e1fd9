"""The leaderboard as JSON, one file a benchmark and task, in a stable order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.api.contracts import Reporter
from harness.api.hookspecs import hookimpl
from harness.api.published import PublishedPaper
from harness.api.records import RunRecord
from harness.api.tasks import TASKS
from harness.api.whole_files import whole_file
from harness.ranking.figures import main_column, shares_of
from harness.ranking.speeds import has_throughput, timing_of
from harness.ranking.standings import Board, Row, SpeedGroup, Standing, standings

SCHEMA = "harness.leaderboard/1"


class Json:
    """Writes ``json/<benchmark>/<task>.json``."""

    name = "json"

    def report(
        self, records: Sequence[RunRecord], out: Path, published: Sequence[PublishedPaper] = ()
    ) -> Sequence[Path]:
        """Write one file a benchmark and task; remove those this reporter wrote for what is no longer there."""
        measured = {(found.benchmark, found.task): found for found in standings(records)}
        places = sorted({*measured, *((row.benchmark, row.task) for paper in published for row in paper.rows)})
        written = []
        for benchmark, task in places:
            path = out / "json" / benchmark / f"{task}.json"
            content = _content(benchmark, task, measured.get((benchmark, task)), published)
            with whole_file(path) as file:
                file.write((json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode())
            written.append(path)
        for path in sorted((out / "json").glob("*/*.json")):
            if path not in written and _is_ours(path):
                path.unlink()
        return written


@hookimpl
def harness_reporters() -> list[Reporter]:
    """Offer the JSON files."""
    return [Json()]


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return f'"schema": "{SCHEMA}"' in file.read(200)


def _content(benchmark: str, task: str, found: Standing | None, published: Sequence[PublishedPaper]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "task": task,
        "title": TASKS[task].title,
        "ranked_by": main_column(task),
        "measured": [_board(board) for board in found.boards] if found else [],
        "not_ranked": [
            {**_identity(row.record, row.label), "reason": row.reason, "scores": _scores(row.record)}
            for row in (found.apart if found else ())
        ],
        "older_records": found.older if found else 0,
        "reported": [
            {
                "plugin": paper.plugin,
                "method": row.method or paper.method,
                "paper": paper.title,
                "venue": paper.venue,
                "year": paper.year,
                "url": paper.url,
            }
            | row.model_dump(exclude={"benchmark", "task", "method"})
            for paper in sorted(published, key=lambda paper: (paper.year, paper.plugin))
            for row in paper.rows
            if (row.benchmark, row.task) == (benchmark, task)
        ],
    }


def _board(board: Board) -> dict[str, Any]:
    return {
        "scoring": board.rule,
        "own_rule": board.is_own,
        "fingerprint": board.fingerprint,
        "rows": [_row(row) for row in board.rows],
        "speeds": [_speeds(group) for group in board.speeds],
        "pairs": {
            "count": board.pairs.count,
            "videos": board.pairs.videos,
            "shown": board.pairs.shown,
            "shown_together": board.pairs.shown_together,
            "detectable": board.pairs.detectable,
        },
        "seeds": [asdict(group) | {"interval": group.interval.model_dump()} for group in board.seeds],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "best_rank": row.best_rank,
        "worst_rank": row.worst_rank,
        **_identity(row.record, row.label),
        "scores": _scores(row.record),
        "t_interval": _t_interval(row.record),
        **_clocks(row.record),
    }


def _scores(record: RunRecord) -> dict[str, Any]:
    return {
        metric: {column: interval.model_dump() for column, interval in columns.items()}
        for metric, columns in record.scores.items()
    }


def _t_interval(record: RunRecord) -> dict[str, Any] | None:
    """Of the figure that ranks, over videos; the intervals in ``scores`` are bootstraps."""
    shares = shares_of(record, main_column(record.benchmark.task))
    return None if shares is None else shares.interval().model_dump()


def _speeds(group: SpeedGroup) -> dict[str, Any]:
    rows = [
        {
            **_identity(row.record, row.label),
            "accuracy": row.accuracy,
            "fps": row.fps,
            "fps_is": "throughput" if has_throughput(row.record) else "steady",
            "on_pareto_front": row.is_on_front,
        }
        | _clocks(row.record)
        for row in group.rows
    ]
    return {"fastest_first_on_clock": "model", "rows": rows}


def _identity(record: RunRecord, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "method": record.plugin.name,
        "version": record.plugin.version,
        "preset": record.preset,
        "weights": record.weights.model_dump(),
        "supervision": record.plugin.supervision,
        "causality": record.plugin.causality,
        "lookahead": record.plugin.lookahead,
        "record": record.id,
        "created": record.created,
    }


def _clocks(record: RunRecord) -> dict[str, Any]:
    """Every clock with its conditions beside it; nothing for a replay."""
    timing = timing_of(record)
    if timing is None:
        return {"clocks": None, "conditions": None}
    clocks = timing.model_dump(
        include={"model", "model_first_frame", "e2e", "e2e_first_frame", "throughput", "added_memory_mib"}
    )
    return {"clocks": clocks, "conditions": record.conditions.model_dump()}
