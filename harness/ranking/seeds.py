"""Runs of one method and config with several seeds: a second level of chance, never more videos."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

from harness.api.dataclass import dataclass
from harness.api.records import Interval, RunRecord
from harness.ranking.figures import shares_of
from harness.ranking.significance import Shares


@dataclass(frozen=True)
class SeedGroup:
    """One method and config with two seeds or more.

    ``interval`` is over videos, each video's share averaged over the seeds first. ``spread`` is the standard deviation
    of the seeds' figures: what another training, or another draw inside the method, would change.
    """

    method: str
    preset: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    interval: Interval
    spread: float


def group_seeds(records: Sequence[RunRecord], column: str) -> tuple[SeedGroup, ...]:
    """The groups among records of one rule and data, by name; of several records of a seed the latest counts."""
    groups: dict[Hashable, dict[int, RunRecord]] = defaultdict(dict)
    for record in sorted(records, key=lambda r: (r.created, r.id)):
        groups[_method_of(record)][record.seed] = record
    found = [_group(by_seed, column) for by_seed in groups.values() if len(by_seed) > 1]
    return tuple(sorted((group for group in found if group is not None), key=lambda g: (g.method, g.preset, g.seeds)))


def _method_of(record: RunRecord) -> Hashable:
    """What all seeds have in common: everything that makes an entry but the weights, which a seed changes."""
    return (
        record.plugin.name,
        record.preset,
        json.dumps(record.config, sort_keys=True),
        record.weights.trained_on,
        record.conditions.precision,
    )


def _group(by_seed: dict[int, RunRecord], column: str) -> SeedGroup | None:
    known = {seed: shares for seed, record in sorted(by_seed.items()) if (shares := shares_of(record, column))}
    if len(known) < 2 or len({shares.videos for shares in known.values()}) > 1:
        return None
    record, values = next(iter(by_seed.values())), [shares.value for shares in known.values()]
    return SeedGroup(
        method=record.plugin.name,
        preset=record.preset,
        seeds=tuple(known),
        values=tuple(values),
        interval=_average(list(known.values())).interval(),
        spread=statistics.stdev(values),
    )


def _average(seeds: Sequence[Shares]) -> Shares:
    first, count = seeds[0], len(seeds)
    return replace(
        first,
        value=statistics.fmean(shares.value for shares in seeds),
        shares=sum((shares.shares for shares in seeds[1:]), first.shares) / count,
        residuals=sum((shares.residuals for shares in seeds[1:]), first.residuals) / count,
    )
