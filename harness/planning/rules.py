"""Which rule a task is scored by: the benchmark's own, or another one that was asked for by name."""

from __future__ import annotations

from harness.api.contracts import RULES, Benchmark, Scoring, TrackMetric
from harness.api.errors import UsageError
from harness.api.tasks import Task
from harness.catalog import Catalog


def find_rule(name: str | None) -> Scoring | None:
    """The rule of that name, None for no name; UsageError with a did-you-mean."""
    if name is None or name in RULES:
        return RULES.get(name or "")
    raise UsageError.unknown("rule", name, RULES)


def choose_rule(asked: Scoring | None, benchmark: Benchmark, task: Task, catalog: Catalog) -> Scoring:
    """The rule asked for, or the benchmark's own; UsageError where its metrics are not for what the task returns."""
    scoring = asked or benchmark.scorings[task.name]
    if not benchmark.scored:
        return scoring
    if not _fits(scoring, task, catalog):
        known = [name for name, rule in RULES.items() if _fits(rule, task, catalog)]
        raise UsageError(
            f"rule {scoring.version} measures {'masks' if task.returns == 'tracks' else 'tracks'} "
            f"({', '.join(scoring.metrics)}), and {task.name} returns {task.returns}",
            hint=f"rules for {task.returns}: {', '.join(known)}",
        )
    return scoring


def _fits(scoring: Scoring, task: Task, catalog: Catalog) -> bool:
    metrics = [catalog.metrics.get(name) for name in scoring.metrics]
    return all(isinstance(metric, TrackMetric) == (task.returns == "tracks") for metric in metrics)
