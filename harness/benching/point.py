"""One method on one clip in a process of its own, where nothing of an earlier measurement is in memory."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.api.errors import HarnessError, MethodFailed
from harness.api.foreign import describe_error, hear_interrupts, is_interrupt
from harness.benching.clip import Clip
from harness.benching.methods import MethodRow, catalog_with, measure_row
from harness.catalog import Catalog
from harness.files import read_json, write_atomically
from harness.hosting.own_process import describe_end, end_with_parent, start_apart, wait_for_end
from harness.planning.request import Request, request_as_json

LARGEST = 1 << 24


class Asked(BaseModel):
    """What the process is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Any
    clip: tuple[int, int, int, int]


def measure_point(request: Request, clip: Clip, seconds: float | None) -> MethodRow:
    """The method on the clip; whatever ends its process, or takes longer than ``seconds``, is a row with a problem."""
    asked = Asked(
        request=request_as_json().dump_python(request, mode="json"),
        clip=(clip.height, clip.width, clip.frames, clip.objects),
    )
    with tempfile.TemporaryDirectory(prefix="harness-point-") as scratch:
        answer = Path(scratch) / "row.json"
        process = start_apart("harness.benching.point", answer, asked.model_dump_json().encode())
        code = wait_for_end(process, seconds=seconds)
        if answer.exists():
            return MethodRow.model_validate(read_json(answer, largest=LARGEST))
    problem = f"ended after {seconds:.0f} s: the time was over" if code is None else describe_end(code)
    return MethodRow(plugin=request.plugin, problem=problem, exit_code=MethodFailed.exit_code)


def answer_for(asked: Asked, catalog: Catalog) -> MethodRow:
    """The row that was asked for; what goes wrong is in it."""
    request = request_as_json().validate_python(asked.request)
    try:
        _use_threads(request.threads)
        return measure_row(request, catalog_with(Clip(*asked.clip), catalog))
    except BaseException as error:
        if is_interrupt(error):
            raise
        code = error.exit_code if isinstance(error, HarnessError) else MethodFailed.exit_code
        return MethodRow(plugin=request.plugin, problem=describe_error(error), exit_code=code)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def main() -> None:
    """Answer the one request on standard input."""
    asked = Asked.model_validate_json(sys.stdin.buffer.readline())
    with hear_interrupts():
        end_with_parent()
        with contextlib.suppress(KeyboardInterrupt):
            row = answer_for(asked, Catalog.load())
            write_atomically(Path(sys.argv[1]), row.model_dump_json().encode())


if __name__ == "__main__":
    main()
