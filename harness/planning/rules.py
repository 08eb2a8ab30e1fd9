"""Which rule a task is scored by: the benchmark's own, or another one that was asked for by name."""

from __future__ import annotations

from harness.api.contracts import RULES, Benchmark, Rule, TrackMetric
from harness.api.errors import UsageError
from harness.api.tasks import Task, TaskName
from harness.catalog import Catalog


def find_rule(name: str | None) -> Rule | None:
    """The rule of that name, None for no name; UsageError with a did-you-mean."""
    if name is None or name in RULES:
        return RULES.get(name or "")
    raise UsageError.unknown("rule", name, RULES)


def choose_task(name: str | None) -> TaskName:
    """The task whose masks a rule of that name scores, where truth and rule are all that is known."""
    rule = find_rule(name)
    masks = [known for known, one in RULES.items() if one.matching != "none"]
    if rule is None or rule.matching == "none":
        found = "none" if rule is None else f"{name}, which is for tracks"
        raise UsageError(
            f"--rule, or --protocol: found {found}, expected the rule to score masks by",
            hint=f"one of {', '.join(masks)}",
        )
    if rule.matching == "hungarian":
        return "instance-zvos"
    return "object-zvos" if rule.objects == "single" else "one-shot"


def choose_rule(asked: Rule | None, benchmark: Benchmark, task: Task, catalog: Catalog) -> Rule:
    """The rule asked for, or the benchmark's own; UsageError where its metrics are not for what the task returns."""
    rule = asked or benchmark.rules[task.name]
    if not benchmark.scored:
        return rule
    if not _fits(rule, task, catalog):
        known = [name for name, other in RULES.items() if _fits(other, task, catalog)]
        raise UsageError(
            f"rule {rule.version} measures {'masks' if task.returns == 'tracks' else 'tracks'} "
            f"({', '.join(rule.metrics)}), and {task.name} returns {task.returns}",
            hint=f"rules for {task.returns}: {', '.join(known)}",
        )
    if rule.frames == "prompted" and not task.prompted:
        raise UsageError(
            f"rule {rule.version} scores objects after their prompts, and {task.name} has none",
            hint="name another rule, or the task one-shot",
        )
    return rule


def _fits(rule: Rule, task: Task, catalog: Catalog) -> bool:
    metrics = [catalog.metrics.get(name) for name in rule.metrics]
    return all(isinstance(metric, TrackMetric) == (task.returns == "tracks") for metric in metrics)
