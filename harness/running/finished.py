"""Runs that lie in folders, read again: what a list shows of each, and what its frames took."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from harness.api.contracts import Column
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.plain_files import LARGEST_TEXT
from harness.api.records import RunRecord, VideoResult
from harness.catalog import Catalog
from harness.files import read_json
from harness.leaderboard.verification import read_record
from harness.running.folder import LARGEST_RESULT


@dataclass(frozen=True)
class FoundRun:
    """One run below a folder, in words; ``score`` is its first figure, ``benchmark`` has the task behind it."""

    run: str
    method: str
    benchmark: str
    state: str
    score: str = "-"
    created: str = "-"


def find_runs(base: Path) -> Iterator[FoundRun]:
    """Every run below a folder, finished, interrupted or unreadable."""
    return (_look_at(plan.parent) for plan in sorted(base.glob("**/plan.json")))


def _look_at(folder: Path) -> FoundRun:
    planned = _read_plan(folder / "plan.json")
    if not (folder / "record.json").exists():
        done = len(list((folder / "videos").glob("[!.]*.json")))
        return FoundRun(str(folder), *planned, f"unfinished ({done} videos done)")
    try:
        record = read_record(folder / "record.json")
    except HarnessError as error:
        return FoundRun(str(folder), *planned, f"unreadable: {error.message}")
    figures = [f"{c} {v.value:.4f}" for cs in record.scores.values() for c, v in cs.items() if v.value is not None]
    state = f"failed: {len(record.failures)} videos" if record.failures else "partial" if record.partial else "complete"
    return FoundRun(
        run=str(folder),
        method=_with_detail(record.plugin.name, record.preset),
        benchmark=_with_detail(record.benchmark.name, record.benchmark.task),
        state=state,
        score=figures[0] if figures else "-",
        created=record.created,
    )


def _read_plan(path: Path) -> tuple[str, str]:
    """Method and benchmark of a run as its plan has them; dashes for what no run wrote."""
    try:
        plan = read_json(path, largest=LARGEST_TEXT)
        method, bench, task = plan["plugin"]["name"], plan["bench"], plan["task"]
    except (HarnessError, OSError, TypeError, KeyError):
        return "-", "-"
    return str(method), _with_detail(str(bench), str(task))


def _with_detail(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def read_run(path: Path) -> RunRecord:
    """The record of a run folder, or of a record file; DataError where neither is there."""
    if not path.exists():
        raise DataError.at(
            path, found="nothing", expected="the folder of a run, or its record.json", hint="harness ls runs"
        )
    return read_record(path / "record.json" if path.is_dir() else path)


def columns_of(record: RunRecord, catalog: Catalog) -> list[Column]:
    """The figures of a record's metrics, as these describe them."""
    return [column for name in record.scores for column in catalog.metrics.get(name).columns]


def read_frame_ms(run: Path, *, by_video: bool = False) -> dict[str, float]:
    """Mean model milliseconds of a frame by video, from a run folder; empty for a record file alone.

    Of steady frames, or ``by_video`` of all frames of the videos that did not warm up.
    """
    found = {}
    for result in read_results(run):
        if by_video:
            laps, frames = (() if result.timing.warm_up else result.timing.model), result.length
        else:
            laps = result.timing.model[max(1, result.timing.warm_up) :]
            frames = len(laps)
        if frames > 0 and sum(laps) > 0:
            found[result.video] = 1000 * sum(laps) / frames
    return found


def read_digests(run: Path) -> dict[str, str]:
    """The SHA-256 of each video's data, from a run folder; empty for a record file alone."""
    return {result.video: result.digest for result in read_results(run)}


def read_results_under(folders: Sequence[Path], ids: Container[str]) -> dict[str, dict[str, VideoResult]]:
    """The results of every run anywhere under ``folders`` whose record has one of these ids; by id, then by video.

    UsageError for a folder that is not there.
    """
    found: dict[str, dict[str, VideoResult]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: found no such folder, expected one with runs", hint="harness ls runs")
        for path in sorted(folder.rglob("record.json")):
            record = read_run(path.parent)
            if record.id in ids and record.id not in found:
                found[record.id] = {result.video: result for result in read_results(path.parent)}
    return found


def read_results(run: Path) -> Iterator[VideoResult]:
    """The results in a run folder by name of video; none for a record file alone, UsageError for what is no result."""
    for path in sorted((run / "videos").glob("*.json")):
        try:
            yield VideoResult.model_validate(read_json(path, largest=LARGEST_RESULT))
        except ValidationError as error:
            raise UsageError(f"{path}: found no result of a video ({error.error_count()} problems)") from error
