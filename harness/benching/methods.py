"""Whole methods on a generated clip of a given size: their clocks, stages and memory, as a run measures them."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.api.errors import HarnessError
from harness.api.records import Conditions, Timing, Whole
from harness.benching.clip import Clip, benchmark_of
from harness.catalog import Catalog, Source
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
    view = catalog.with_benchmark(benchmark_of(clip), Source("clip", __name__, "vos-harness", ""))
    rows = []
    for request in requests:
        announce(f"{request.plugin} on {clip.name}")
        try:
            rows.append(_row(request, view))
        except HarnessError as error:
            rows.append(MethodRow(plugin=request.plugin, problem=str(error), exit_code=error.exit_code))
    return MethodReport(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        clip=clip.name,
        conditions=found.model_copy(update={"resolutions": [f"{clip.width}x{clip.height}"], "objects": [clip.objects]}),
        rows=rows,
    )


def _row(request: Request, catalog: Catalog) -> MethodRow:
    plan = resolve(request, catalog)
    with tempfile.TemporaryDirectory() as folder:
        record = run(plan, Path(folder) / "run", catalog)
    failure = record.failures[0] if record.failures else None
    return MethodRow(
        plugin=request.plugin,
        task=plan.task.name,
        weights=record.weights.name,
        timing=record.timing,
        problem=f"{failure.kind}: {failure.message}" if failure else "",
        exit_code=failure.exit_code if failure else 0,
    )
