"""One cell of a matrix in a process of its own: begun, watched over, and what it came to, however it ended."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError, MethodFailed
from harness.api.foreign import describe_error, hear_interrupts, is_interrupt
from harness.api.records import RunRecord
from harness.cli.streams import streams_held
from harness.cli.terminal import say
from harness.files import read_json, write_atomically
from harness.hosting.own_process import describe_end, end_with_parent, start_apart, wait_for_end
from harness.leaderboard.verification import read_record

LARGEST = 1 << 20
INTERRUPTED = 130


@dataclass(frozen=True)
class End:
    """How a cell ended: its exit code, the run folder (None: it never had one), the record, and what went wrong."""

    exit_code: int
    folder: Path | None = None
    record: RunRecord | None = None
    problem: str = ""


def play_cell(asked: Mapping[str, Any], runs: Path | None) -> End:
    """Run ``harness.run(**asked)`` in a process of its own, below the folder ``runs`` where that is given.

    Whatever ends that process, a crash of the interpreter or the kernel for want of memory too, ends this cell alone.
    It ends when this one does, for it reads from a pipe that nobody else holds; so Ctrl-C reaches it, once.
    """
    with tempfile.TemporaryDirectory(prefix="harness-cell-") as scratch:
        answer = Path(scratch) / "end.json"
        process = start_apart(
            "harness.cli.cell", answer, json.dumps(dict(asked)).encode(), {"HARNESS_RUNS": str(runs)} if runs else None
        )
        code = wait_for_end(process)
        assert code is not None
        return _read_end(answer, code)


def _read_end(answer: Path, code: int) -> End:
    if not answer.exists():
        return End(MethodFailed.exit_code, problem=describe_end(code))
    told = read_json(answer, largest=LARGEST)
    folder = Path(told["folder"]) if told["folder"] else None
    record = read_record(folder / "record.json") if folder is not None and told["is_recorded"] else None
    return End(told["exit_code"], folder, record, told["problem"])


def answer_for(asked: dict[str, Any], answer: Path) -> int:
    """Run what was asked for and write what it came to into ``answer``; the exit code."""
    from harness.cli.progress import watch_run
    from harness.evaluation import run

    told: dict[str, Any] = {"folder": "", "is_recorded": False, "problem": ""}
    try:
        if asked["shard"] is not None:
            asked["shard"] = tuple(asked["shard"])
        outcome = run(**asked, watch=watch_run)
        code = outcome.exit_code
        told |= {"folder": str(outcome.folder), "is_recorded": True}
        if outcome.record.failures:
            first = outcome.record.failures[0]
            told["problem"] = (
                f"{len(outcome.record.failures)} videos failed; {first.video}: {first.kind}: {first.message}"
            )
    except BaseException as error:
        code = INTERRUPTED if is_interrupt(error) else getattr(error, "exit_code", MethodFailed.exit_code)
        told["problem"] = "interrupted" if is_interrupt(error) else describe_error(error)
        if not isinstance(error, HarnessError) and not is_interrupt(error):
            say(f"error: {describe_error(error)}", err=True)
    write_atomically(answer, json.dumps({"exit_code": code, **told}).encode())
    return int(code)


def main() -> None:
    """Answer the one request on standard input."""
    asked = json.loads(sys.stdin.buffer.readline())
    with streams_held(), hear_interrupts():
        end_with_parent()
        code = answer_for(asked, Path(sys.argv[1]))
        sys.stdout.flush()
    os._exit(code)  # a thread that a plugin left would hold up an ordinary end


if __name__ == "__main__":
    main()
