"""What a check is and what it can say: passed, failed with what was found, expected and how to mend it, or skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from harness.api.dataclass import dataclass
from harness.api.tasks import TASKS, TaskName

Status = Literal["passed", "failed", "skipped"]
Scope = Literal["card", "task"]
EVERY_TASK: tuple[TaskName, ...] = tuple(task.name for task in TASKS.values())
MASK_TASKS: tuple[TaskName, ...] = ("object-zvos", "instance-zvos", "one-shot")


class Broken(AssertionError):
    """A promise is broken; raised by a check."""

    def __init__(self, found: str, *, expected: str, mend: str) -> None:
        super().__init__(f"found {found}; expected {expected}; to mend it: {mend}")


class NotApplicable(Exception):
    """A check cannot or need not be made here; the message says why."""


@dataclass(frozen=True)
class Check:
    """One promise of a plugin and how it is tested.

    ``run`` is given a Subject. It returns nothing where the promise is kept, raises Broken where it is not and
    NotApplicable where there is nothing to test. ``needs`` names the checks without which this one means nothing: it
    is skipped where one of them failed. A check of scope ``card`` is made once a method, one of scope ``task`` once
    for each task it offers.
    """

    name: str
    promise: str
    run: Callable[[Any], None]
    scope: Scope = "task"
    tasks: tuple[TaskName, ...] = EVERY_TASK
    needs: tuple[str, ...] = ()
    slow: bool = False
    """Left out with ``--quick``."""

    def concerns(self, task: TaskName) -> bool:
        """Whether a method offering ``task`` makes this promise."""
        return task in self.tasks


def check(
    name: str,
    promise: str,
    *,
    scope: Scope = "task",
    tasks: tuple[TaskName, ...] = EVERY_TASK,
    needs: tuple[str, ...] = (),
    slow: bool = False,
) -> Callable[[Callable[[Any], None]], Check]:
    """Make a function the Check of that name."""

    def wrap(run: Callable[[Any], None]) -> Check:
        return Check(name, promise, run, scope, tasks, needs, slow)

    return wrap


@dataclass(frozen=True)
class Outcome:
    """What one check said about one method; ``task`` is empty for a check of the card."""

    check: Check
    method: str
    task: str
    status: Status
    message: str
    seconds: float

    @property
    def label(self) -> str:
        """``one-shot:causality``, or ``card`` alone."""
        return f"{self.task}:{self.check.name}" if self.task else self.check.name
