"""Progress of a training on standard error: a bar with ETA on a terminal, the log's lines everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.cli.terminal import one_line, say
from harness.training.loop import Watch
from harness.training.plan import TrainingPlan


@contextmanager
def watch_training(plan: TrainingPlan) -> Iterator[Watch]:
    """What the loop tells, shown as suits standard error."""
    if not on_terminal():
        yield Watch(on_line=lambda line: say(line_of(line), err=True), on_change=_tell_change, on_note=_tell)
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("iterations"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(one_line(plan.method.name), total=None)
        yield Watch(
            on_line=lambda line: bars.console.print(line_of(line), markup=False, highlight=False),
            on_iteration=lambda done, total: bars.update(task, completed=done, total=total),
            on_stage=lambda stage: bars.update(task, description=one_line(f"{plan.method.name}, {stage}")),
            on_change=_tell_change,
            on_note=lambda note: bars.console.print(one_line(note), markup=False, highlight=False),
        )


def on_terminal() -> bool:
    """Whether a bar can move."""
    return sys.stderr.isatty()


def line_of(line: Mapping[str, Any]) -> str:
    """A line of the log for people."""
    where = f"[{line['stage']} {line['iteration']}]" if "stage" in line else f"[{line['iteration']}]"
    if line["kind"] == "validation":
        score = "undefined" if line["score"] is None else f"{line['score']:.4f}"
        told = "validation that chooses nothing" if "chooses" in line else "validation"
        told += f": {line['metric']} {score} on {line['benchmark']} ({line['videos']} videos)"
        return one_line(f"{where} {told}, {line['seconds']:.1f} s")
    losses = ", ".join(
        f"{name} {'-' if value is None else format(value, '.4g')}" for name, value in line["losses"].items()
    )
    speed = f"{line['seconds_an_iteration']:.3f} s an iteration"
    waiting = line["seconds_waiting_for_batches"]
    if waiting > 0.1 * line["seconds_an_iteration"]:
        speed += f" ({waiting:.3f} s of it for the batch)"
    return one_line(f"{where} {losses}, lr {line['lr']:.3g}, {speed}")


def _tell(note: str) -> None:
    say(one_line(note), err=True)


def _tell_change(changed: list[str]) -> None:
    if changed:
        say(f"since this training was last worked on, {', '.join(changed)} changed; it goes on", err=True)
