"""Masks or tracks scored once more, and held against the record that says what they score."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from harness.api.contracts import RULES, Rule
from harness.api.errors import VerificationFailed
from harness.api.records import RunRecord
from harness.api.tasks import TaskName
from harness.catalog import Catalog
from harness.leaderboard.expectations import TOLERANCE
from harness.predictions.scoring import plan_scoring, score


def rescore(record: RunRecord, predictions: Path, catalog: Catalog, data_root: Path | None = None) -> RunRecord:
    """Score predictions on the videos of a record; VerificationFailed where the figures are not the record's."""
    claimed = record.benchmark
    benchmark = catalog.benchmarks.get(claimed.full_name)
    again, _ = score(
        plan_scoring(
            predictions,
            benchmark,
            catalog,
            claimed.task,
            videos=tuple(row.video for row in record.videos),
            data_root=data_root,
            allow_partial=record.partial,
            rule=rule_of(record, benchmark.rules[cast(TaskName, claimed.task)]),
        ),
        predictions,
        catalog,
    )
    expect_equal(record, again, "the masks score")
    return again


def rule_of(record: RunRecord, own: Rule) -> Rule | None:
    """The rule the record was scored by, where it is not the benchmark's own."""
    if record.benchmark.scoring == own.version:
        return None
    for rule in RULES.values():
        if rule.version == record.benchmark.scoring:
            return rule
    known = sorted(rule.version for rule in RULES.values())
    raise VerificationFailed(f"the record names the rule {record.benchmark.scoring!r}; known: {', '.join(known)}")


def expect_equal(record: RunRecord, again: RunRecord, what: str) -> None:
    """Raise VerificationFailed at the first figure of the record that was not reached again; ``what`` scores."""
    if record.benchmark.fingerprint != again.benchmark.fingerprint:
        raise VerificationFailed(
            f"the record was made on other data: fingerprint {record.benchmark.fingerprint[:12]}, "
            f"here {again.benchmark.fingerprint[:12]}",
            hint="give the --data-root the run was made on, or run again",
        )
    before, after = _figures(record), _figures(again)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if (old is None) != (new is None) or (old is not None and new is not None and abs(old - new) > TOLERANCE):
            raise VerificationFailed(
                f"{name}: {what} {new}, the run's record says {old}",
                hint="the masks or the record were changed after the run; run again",
            )


def _figures(record: RunRecord) -> dict[str, float | None]:
    figures = {f"{m} {column}": i.value for m, columns in record.scores.items() for column, i in columns.items()}
    for row in record.videos:
        figures |= {
            f"{row.video}, object {name}, {c}": v for name, all_ in row.objects.items() for c, v in all_.items()
        }
    return figures
