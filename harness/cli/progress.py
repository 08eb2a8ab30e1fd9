"""Progress of a run on standard error: a bar with ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.api.records import VideoFailure, VideoResult
from harness.cli.terminal import one_line, say
from harness.planning.plan import Plan

if TYPE_CHECKING:
    from rich.progress import Progress


class Shown(Protocol):
    """What the runner calls."""

    def frame(self, video: str, done: int, length: int) -> None:
        """One more frame of ``video`` is done."""
        ...

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        """One video ended."""
        ...

    def note(self, words: str) -> None:
        """Something beside the method takes long."""
        ...


@contextmanager
def progress_for(plan: Plan) -> Iterator[Shown]:
    """The progress that suits standard error."""
    if not sys.stderr.isatty():
        yield _Lines(len(plan.samples))
        return
    from rich.console import Console  # a twentieth of the start of a score, which a pipe does not need
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bar(bars, plan)


@contextmanager
def watch_run(plan: Any, folder: Path | None) -> Iterator[Shown]:
    """Say what will be done, then show progress on standard error."""
    say(f"run folder {folder}", err=True)
    if plan.partial_reason:
        say(f"partial: {plan.partial_reason}; the record will not be ranked", err=True)
    with progress_for(plan) as progress:
        yield progress


class _Bar:
    def __init__(self, bars: Progress, plan: Plan) -> None:
        self._bars = bars
        self._lengths = {sample.name: sample.length for sample in plan.samples}
        self._frames: dict[str, int] = {}  # several videos may be under way
        self._task = bars.add_task(plan.method.name, total=sum(self._lengths.values()))

    def frame(self, video: str, done: int, length: int) -> None:
        self._frames[video] = done
        self._bars.update(self._task, completed=sum(self._frames.values()), description=one_line(video))

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        self._frames[outcome.video] = self._lengths[outcome.video]
        self._bars.update(self._task, completed=sum(self._frames.values()))
        self._bars.console.print(_line(outcome, reused), markup=False, highlight=False)

    def note(self, words: str) -> None:
        self._bars.console.print(one_line(words), markup=False, highlight=False)


class _Lines:
    def __init__(self, videos: int) -> None:
        self._videos = videos
        self._done = 0

    def frame(self, video: str, done: int, length: int) -> None:
        """Plain lines tell whole videos only."""

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        self._done += 1
        say(f"[{self._done}/{self._videos}] {_line(outcome, reused)}", err=True)

    def note(self, words: str) -> None:
        say(one_line(words), err=True)


def _line(outcome: VideoResult | VideoFailure, reused: bool) -> str:
    if isinstance(outcome, VideoFailure):
        first, _, _ = outcome.message.strip().partition("\n")
        return one_line(f"{outcome.video}: {outcome.kind}: {first}")
    told = f"{outcome.video}: {outcome.length} frames"
    if outcome.timing.model:
        told += f", {sum(outcome.timing.model):.1f} s in the model"
    return one_line(told) + (" (reused)" if reused else "")
