"""Several runs by one command: looked over, worked through one after the other, told of in a table at the end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.foreign import describe_error, is_interrupt
from harness.catalog import Catalog
from harness.cli.cell import INTERRUPTED, End, play_cell
from harness.cli.leaderboard import RECORDS
from harness.cli.terminal import count, one_line, say, table, terminal_width
from harness.planning.cells import Cell
from harness.planning.places import runs_folder
from harness.planning.request import Request
from harness.planning.rules import find_rule
from harness.ranking.figures import accuracy, main_column
from harness.ranking.speeds import model_fps

Play = Callable[[Mapping[str, Any], Path | None], End]
MIB = 2**20


@dataclass(frozen=True)
class Played:
    """One cell and how it ended, after so many seconds; ``end`` is None where it was never begun."""

    cell: Cell
    end: End | None = None
    seconds: float = 0.0


def refuse_what_is_of_one(cells: Sequence[Cell], asked: Mapping[str, Any], *, attributes: bool) -> None:
    """UsageError for options that are those of one method or one run."""
    if len({cell.plugin for cell in cells}) > 1 and (asked["constants"] or asked["weights"] not in (None, "none")):
        raise UsageError("--set and --weights are those of one method", hint="one command for each method")
    if attributes:
        raise UsageError("--attributes is a table of one run", hint="leave it out; each run's record has the figures")


def ask_for(cell: Cell, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ``harness.run`` is given for a cell, as JSON has it."""
    given = {**asked, "plugin": cell.plugin, "bench": cell.bench, "preset": cell.preset}
    return {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}


def run_cells(
    cells: Sequence[Cell], asked: Mapping[str, Any], runs: Path | None, *, as_json: bool, play: Play = play_cell
) -> int:
    """Run one cell after the other, each in a process of its own; the exit code is the largest of theirs.

    A cell that fails stops no other. After Ctrl-C none is begun any more and the code is 130; what was finished is
    kept, and the same command goes on from there.
    """
    played: list[Played] = []
    for number, cell in enumerate(cells, 1):
        say(f"run {number} of {len(cells)}: {one_line(cell.method)} on {one_line(cell.bench)}", err=True)
        started = time.monotonic()
        try:
            end = play(ask_for(cell, asked), runs)
        except BaseException as error:
            if not is_interrupt(error):
                raise
            end = End(INTERRUPTED, problem="interrupted")
        played.append(Played(cell, end, time.monotonic() - started))
        if end.problem:
            say(f"{one_line(cell.method)} on {one_line(cell.bench)}: {end.problem}", err=True)
        if end.exit_code == INTERRUPTED:
            break
    rows = [*played, *(Played(cell) for cell in cells[len(played) :])]
    if as_json:
        say(json.dumps([_as_json(one) for one in rows], indent=2))
    else:
        say(_describe(rows))
    return max(one.end.exit_code for one in played if one.end is not None)


def _describe(rows: Sequence[Played]) -> str:
    cells = [_row(one) for one in rows]
    heads = [
        "method",
        "benchmark",
        "task",
        "figure",
        "fps (model)",
        "seconds",
        "videos",
        "failed",
        "exit",
        "what went wrong",
    ]
    if not any(row[-1] for row in cells):
        cells, heads = [row[:-1] for row in cells], heads[:-1]
    ended = [one.end for one in rows if one.end is not None]
    good = sum(end.exit_code == 0 for end in ended)
    stopped = sum(end.exit_code == INTERRUPTED for end in ended)
    told = f"{count(len(rows), 'run')}: {good} finished, {len(ended) - good - stopped} failed"
    told += f", {stopped} interrupted" if stopped else ""
    told += f", {len(rows) - len(ended)} not begun" if len(rows) > len(ended) else ""
    return f"{table(cells, heads, width=terminal_width())}\n{told}"


def _row(one: Played) -> list[object]:
    if one.end is None:
        return [one.cell.method, one.cell.bench, "", "", "", "", "", "", "", "not begun"]
    end, record = one.end, one.end.record
    figures: list[object] = ["", "-", "-"]
    counts: list[object] = ["-", "-"]
    if record is not None:
        value, fps = accuracy(record), model_fps(record)
        partial = " (partial)" if record.partial else ""
        figures = [
            record.benchmark.task,
            f"{main_column(record.benchmark.task)} {value:.4f}{partial}" if value is not None else f"-{partial}",
            "-" if fps is None else f"{fps:.2f}",
        ]
        counts = [record.benchmark.videos_done, len(record.failures)]
    problem = end.problem.splitlines()[0][:160] if end.problem else ""
    return [one.cell.method, one.cell.bench, *figures, f"{one.seconds:.1f}", *counts, end.exit_code, problem]


def _as_json(one: Played) -> dict[str, Any]:
    end = one.end or End(-1)
    record = end.record
    return {
        "plugin": one.cell.plugin,
        "preset": one.cell.preset,
        "bench": one.cell.bench,
        "state": "not begun" if one.end is None else "failed" if end.exit_code else "finished",
        "exit_code": None if one.end is None else end.exit_code,
        "seconds": one.seconds,
        "folder": str(end.folder) if end.folder else None,
        "problem": end.problem,
        "task": record.benchmark.task if record else None,
        "figure": main_column(record.benchmark.task) if record else None,
        "value": accuracy(record) if record else None,
        "fps": model_fps(record) if record else None,
        "videos": record.benchmark.videos_done if record else None,
        "failed": len(record.failures) if record else None,
    }


def tell_what_would_run(
    cells: Sequence[Cell], asked: Mapping[str, Any], runs: Path | None, out: Path | None, *, as_json: bool
) -> int:
    """List the runs with videos, frames, time and disk; the exit code is the largest that planning them came to."""
    base = runs or runs_folder()
    jobs = [_look_over(cell, ask_for(cell, asked), base, out) for cell in cells]
    if as_json:
        say(json.dumps(jobs, indent=2))
        return max(job["exit_code"] for job in jobs)
    rows = [
        [
            job["method"],
            job["bench"],
            job["task"] or "-",
            *(("-",) * 6 if job["problem"] else _numbers(job)),
            job["problem"].splitlines()[0]
            if job["problem"]
            else f"time from {job['based_on']}"
            if job["based_on"]
            else "",
        ]
        for job in jobs
    ]
    heads = ["method", "benchmark", "task", "videos", "frames", "finished", "time", "masks", "weights", "note"]
    say(table(rows, heads, width=terminal_width()))
    say(_total(jobs, base))
    for job in jobs:
        if job["problem"]:
            say(f"{one_line(job['method'])} on {one_line(job['bench'])}: {job['problem']}", err=True)
    return max(job["exit_code"] for job in jobs)


def _numbers(job: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        job["videos"],
        job["frames"],
        job["finished"],
        describe_seconds(job["seconds"]),
        "unknown" if job["mask_bytes"] is None else f"{job['mask_bytes'] / MIB:.1f} MiB",
        f"{job['weights_bytes'] / MIB:.1f} MiB" if job["weights_bytes"] else "none",
    )


def describe_seconds(seconds: float | None) -> str:
    """In words that are read at a glance.

    >>> describe_seconds(None), describe_seconds(4.21), describe_seconds(125), describe_seconds(7300)
    ('unknown', '4.2 s', '2 min 5 s', '2 h 1 min')
    """
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _total(jobs: Sequence[Mapping[str, Any]], base: Path) -> str:
    good = [job for job in jobs if not job["problem"]]
    known = [job["seconds"] for job in good if job["seconds"] is not None]
    masks = [job["mask_bytes"] for job in good if job["mask_bytes"] is not None]
    there = next(place for place in (base.absolute(), *base.absolute().parents) if place.exists())
    videos, frames = (sum(job[what] for job in good) for what in ("videos", "frames"))
    lines = [
        count(len(jobs), "run")
        + (f", {len(jobs) - len(good)} of which cannot begin" if len(good) < len(jobs) else "")
        + f"; {count(videos, 'video')}, {count(frames, 'frame')}",
        f"time {describe_seconds(sum(known) if known else None)}"
        + (f", and {len(good) - len(known)} runs unknown" if known and len(known) < len(good) else ""),
        f"masks {sum(masks) / MIB:.1f} MiB"
        + (f", and {len(good) - len(masks)} runs unknown" if len(masks) < len(good) else "")
        + f"; {shutil.disk_usage(there).free / MIB:,.0f} MiB are free at {base}",
    ]
    for job in jobs:
        lines += [f"to fetch for {job['bench']}, of unknown size: {url}" for url in job["to_fetch"]]
    return "\n".join(dict.fromkeys(lines))


def _list_archives(bench: str) -> list[str]:
    """What ``harness data fetch`` would download for a benchmark, as far as anybody knows."""
    try:
        return [archive.url for archive in Catalog.load().benchmarks.get(bench).archives]
    except HarnessError:
        return []


def _look_over(cell: Cell, asked: Mapping[str, Any], base: Path, out: Path | None) -> dict[str, Any]:
    """One cell as JSON: what running it would take, or why it cannot begin."""
    blank: dict[str, Any] = dict.fromkeys(("task", "videos", "frames", "finished", "seconds", "mask_bytes"))
    job = {"method": cell.method, "plugin": cell.plugin, "preset": cell.preset, "bench": cell.bench, **blank}
    job |= {"weights_bytes": 0, "based_on": "", "folder": None, "problem": "", "exit_code": 0, "to_fetch": []}
    try:
        from harness.evaluation import default_folder
        from harness.hosting.apart import plan_request
        from harness.running.forecast import forecast

        plan = plan_request(_as_request(asked), Catalog.load())
        folder = out or base / default_folder(plan).relative_to(runs_folder())
        found = forecast(plan, folder, (RECORDS, base))
    except BaseException as error:
        if is_interrupt(error):
            raise
        code = error.exit_code if isinstance(error, HarnessError) else 5
        to_fetch = _list_archives(cell.bench) if isinstance(error, DataError) else []
        return job | {"problem": describe_error(error), "exit_code": code, "to_fetch": to_fetch}
    return job | {
        "task": found.task,
        "videos": found.videos,
        "frames": found.frames,
        "finished": found.finished,
        "seconds": found.seconds,
        "based_on": found.based_on,
        "mask_bytes": found.mask_bytes,
        "weights_bytes": found.weights_bytes,
        "folder": str(folder),
    }


def _as_request(asked: Mapping[str, Any]) -> Request:
    """The request that ``harness.run`` makes of what it is given."""
    same = {field.name for field in fields(Request)} & set(asked)
    paths = {key: None if asked[key] is None else Path(asked[key]) for key in ("data_root", "python")}
    made = {"rule": find_rule(asked["rule"]), "overrides": tuple(asked["constants"]), "videos": tuple(asked["videos"])}
    return Request(**{**{key: asked[key] for key in same}, **paths, **made})
