"""Every check of a method, one after another, or as pytest parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from harness.api.dataclass import dataclass
from harness.conformance import card_checks, care_checks, clock_checks, probe_checks, real_run, repeat_checks
from harness.conformance.subject import Subject, open_subjects
from harness.conformance.verdicts import Check, Outcome

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

CHECKS: tuple[Check, ...] = (
    *card_checks.CHECKS,
    clock_checks.kernels,
    *probe_checks.CHECKS,
    *repeat_checks.CHECKS,
    *care_checks.CHECKS,
    clock_checks.stages,
    clock_checks.no_hidden_sync,
    real_run.blind,
    real_run.runs,
    care_checks.process,
)
"""Every check there is, in the order in which they are made."""


@dataclass(frozen=True)
class Promise:
    """One check of one method under one task; call it in a test."""

    check: Check
    subject: Subject

    def __call__(self) -> None:
        """Make the check; fails or skips the running test as the check says."""
        import pytest

        outcome = self.subject.judge(self.check)
        if outcome.status == "failed":
            pytest.fail(f"{outcome.method}, {outcome.label}: {outcome.message}\npromise: {self.check.promise}", False)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)

    def __repr__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """``one-shot:causality``, or ``card`` alone."""
        return self.check.name if self.check.scope == "card" else f"{self.subject.task.name}:{self.check.name}"


def promises_of(subjects: Sequence[Subject]) -> Iterator[Promise]:
    """The checks of the card once, then those of each task; of a method that replays saved masks, the card's alone."""
    for place, subject in enumerate(subjects):
        for check in subject.checks:
            if check.scope == "card" and place == 0:
                yield Promise(check, subject)
        for check in subject.checks:
            if check.scope == "task" and check.concerns(subject.task.name) and not subject.method.replays:
                yield Promise(check, subject)


def examine(subjects: Sequence[Subject]) -> Iterator[Outcome]:
    """Make every check and yield what it says."""
    for promise in promises_of(subjects):
        yield promise.subject.judge(promise.check)


def checks_for(
    plugin: str,
    *,
    task: str | None = None,
    preset: str = "",
    overrides: Sequence[str] = (),
    weights: str | None = None,
    device: str = "cpu",
    quick: bool = False,
    points: Iterable[EntryPoint] | None = None,
) -> list[ParameterSet]:
    """Every check of the installed method ``plugin`` as pytest parameters, for each task it offers or for ``task``.

    The options are those of ``harness check``. Nothing is built before a test runs, and a method is built and played
    once for all of them. ``points`` are the entry points to look in; by default those that are installed.
    """
    import pytest

    subjects = open_subjects(
        plugin,
        CHECKS,
        task=task,
        preset=preset,
        overrides=overrides,
        weights=weights,
        device=device,
        quick=quick,
        points=points,
    )
    return [pytest.param(promise, id=f"{plugin}-{promise.label}") for promise in promises_of(subjects)]
