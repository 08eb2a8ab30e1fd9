"""Whole methods on a generated clip of a given size: their clocks, stages and memory, as a run measures them."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.api.errors import HarnessError
from harness.api.records import Conditions, Number, Timing, Whole
from harness.benching.clip import Clip, benchmark_of
from harness.catalog import Catalog, Source
from harness.hosting.added_memory import read_anonymous_mib
from harness.machine import conditions
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run
from harness.version import __version__

METHODS_SCHEMA: Final = "harness.bench-methods/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class MethodRow(_Part):
    """One method; ``problem`` says why there is no timing."""

    plugin: str
    task: str = ""
    weights: str = ""
    timing: Timing | None = None
    process_mib: list[tuple[Whole, Number]] = []
    """So many frames done -> anonymous memory of the whole process, harness and frames that it keeps included."""
    cpu_seconds: Number = 0.0
    """Of this process, from the plan to the record, decoding included."""
    problem: str = ""
    exit_code: Whole = 0


class MethodReport(_Part):
    """The whole bench."""

    schema_: Literal["harness.bench-methods/1"] = Field(METHODS_SCHEMA, alias="schema")
    created: str
    harness_version: str
    clip: str
    conditions: Conditions
    """Before the first method ran."""
    rows: list[MethodRow]


def bench_methods(
    requests: Sequence[Request], clip: Clip, catalog: Catalog, announce: Callable[[str], None] = lambda line: None
) -> MethodReport:
    """Run each request on the clip instead of its benchmark; what goes wrong is in its row."""
    found = conditions(requests[0].device, requests[0].precision, resolutions=[], objects=[], executor="inline")
    view = catalog_with(clip, catalog)
    rows = []
    for request in requests:
        announce(f"{request.plugin} on {clip.name}")
        try:
            rows.append(measure_row(request, view))
        except HarnessError as error:
            rows.append(MethodRow(plugin=request.plugin, problem=str(error), exit_code=error.exit_code))
    return MethodReport(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        clip=clip.name,
        conditions=found.model_copy(update={"resolutions": [f"{clip.width}x{clip.height}"], "objects": [clip.objects]}),
        rows=rows,
    )


def catalog_with(clip: Clip, catalog: Catalog) -> Catalog:
    """The same plugins, and the clip as the one benchmark."""
    return catalog.with_benchmark(benchmark_of(clip), Source("clip", __name__, "vos-harness", ""))


def measure_row(request: Request, catalog: Catalog) -> MethodRow:
    """Run one request on the clip that is the only benchmark of ``catalog``."""
    begun = time.process_time()
    plan = resolve(request, catalog)
    with tempfile.TemporaryDirectory() as folder:
        memory = ProcessMemory(plan.samples[0].length)
        record = run(plan, Path(folder) / "run", catalog, progress=memory.look)
    failure = record.failures[0] if record.failures else None
    return MethodRow(
        plugin=request.plugin,
        task=plan.task.name,
        weights=record.weights.name,
        timing=record.timing,
        process_mib=memory.seen,
        cpu_seconds=time.process_time() - begun,
        problem=f"{failure.kind}: {failure.message}" if failure else "",
        exit_code=failure.exit_code if failure else 0,
    )


class ProcessMemory:
    """Looks at the memory of this process after about ``MOST_LOOKS`` frames of a video, evenly spread."""

    MOST_LOOKS = 100

    def __init__(self, length: int) -> None:
        self._every = max(1, length // self.MOST_LOOKS)
        self.seen: list[tuple[int, float]] = []

    def look(self, video: str, done: int, length: int) -> None:
        """So many frames are done."""
        if done % self._every == 0 or done == length:
            mib = read_anonymous_mib()
            if mib is not None:
                self.seen.append((done, mib))
