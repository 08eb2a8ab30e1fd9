"""The two sides of a comparison: what each run is, what differs between them, and the part that both have."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from harness.api.dataclass import dataclass
from harness.api.records import RunRecord
from harness.ranking.figures import mean_of

_SHA = 12
"""Characters of a SHA-256 that tell two apart."""


@dataclass(frozen=True)
class Side:
    """What one run is, in the words of its record."""

    method: str
    preset: str
    version: str
    weights: str
    benchmark: str
    videos: int
    created: str


@dataclass(frozen=True)
class Differing:
    """One thing in which the runs differ: a version, the code, a constant, the weights."""

    what: str
    base: str
    head: str


def describe_side(record: RunRecord) -> Side:
    """What the run is."""
    return Side(
        method=record.plugin.name,
        preset=record.preset,
        version=f"{record.plugin.distribution} {record.plugin.version}",
        weights=_describe_file(record.weights.name, record.weights.sha256),
        benchmark=f"{record.benchmark.name} ({record.benchmark.task}, rule {record.benchmark.scoring})",
        videos=len(record.videos),
        created=record.created,
    )


def list_differences(base: RunRecord, head: RunRecord) -> tuple[Differing, ...]:
    """What may explain that figures differ, where the runs differ in it; constants as ``config.NAME``."""
    before, after = _facts(base), _facts(head)
    names = [*before, *(name for name in after if name not in before)]
    pairs = [(name, before.get(name, "-"), after.get(name, "-")) for name in names]
    return tuple(Differing(name, old, new) for name, old, new in pairs if old != new)


def _facts(record: RunRecord) -> dict[str, str]:
    conditions = record.conditions
    return {
        "method": record.plugin.name,
        "version": f"{record.plugin.distribution} {record.plugin.version}",
        "code": record.plugin.code_sha256[:_SHA],
        "preset": record.preset,
        **{f"config.{name}": json.dumps(value, sort_keys=True) for name, value in sorted(record.config.items())},
        "weights": _describe_file(record.weights.name, record.weights.sha256),
        **{
            f"provider.{name}": _describe_file(info.name, info.sha256)
            for name, info in sorted(record.providers.items())
        },
        "seed": str(record.seed),
        "harness": record.harness_version,
        "torch": conditions.torch,
        "python": conditions.python,
        "platform": conditions.platform,
        "executor": conditions.executor,
    }


def _describe_file(name: str, sha256: str) -> str:
    return f"{name} ({sha256[:_SHA]})" if sha256 else name


def restrict(record: RunRecord, videos: Sequence[str], *, leave_out: Collection[str] = ()) -> RunRecord:
    """The record as if it were of these videos alone: its figures are their means, and its sizes are not told.

    Figures in ``leave_out`` are no means over videos and are dropped. The clocks stay those of all videos.
    """
    rows = [row for row in record.videos if row.video in set(videos)]
    part = record.model_copy(
        update={"videos": rows, "conditions": record.conditions.model_copy(update={"resolutions": []})}
    )
    scores = {
        metric: {column: mean_of(part, column) for column in columns if column not in leave_out}
        for metric, columns in record.scores.items()
    }
    return part.model_copy(update={"scores": scores})
