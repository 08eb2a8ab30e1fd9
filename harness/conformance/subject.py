"""One method under one task, as it is checked: how it is asked for, built and played; what was found is kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from harness.api.contracts import Method
from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError, UsageError
from harness.api.foreign import describe_error, describe_traceback, is_interrupt
from harness.api.hookspecs import GROUP
from harness.api.process_state import describe_changes, list_running, note_state, restore_state
from harness.api.tasks import TASKS, Task
from harness.catalog import Catalog, Source
from harness.conformance.plays import Play, Player, find_changed, modes, restore
from harness.conformance.probes import BENCH, PROBES, Scene
from harness.conformance.verdicts import Broken, Check, NotApplicable, Outcome, Status
from harness.machine import allows_tf32, resolve_device, work_on
from harness.planning.config import configure
from harness.planning.plan import Plan, resolve
from harness.planning.request import Request
from harness.running.runner import Sessions

PROBES_POINT = EntryPoint(BENCH, "harness.conformance.probes", GROUP)


@dataclass
class Subject:
    """A method to be checked for ``task``; nothing is built before a check needs it."""

    method: Method
    source: Source
    task: Task
    request: Request
    catalog: Catalog
    checks: Sequence[Check]
    quick: bool = False
    _plays: dict[str, Play] = field(default_factory=dict, init=False)
    _outcomes: dict[str, Outcome] = field(default_factory=dict, init=False)
    left_by_build: dict[str, object] = field(default_factory=dict, init=False)
    """Modes of torch that were not as before when the method was built."""
    changed_by_build: dict[str, None] = field(default_factory=dict, init=False)
    """What is everybody's in the process and was not as before when the method was built."""
    running_before: dict[tuple[str, int], str] | None = field(default=None, init=False)
    """Threads and children before the method was built for the first time."""
    stale: dict[str, str] = field(default_factory=dict, init=False)
    """Probes that went wrong after another video, but not on a freshly built method; and how."""

    @cached_property
    def plan(self) -> Plan:
        """The plan of running the method on the probes; a HarnessError where its weights or config are wrong."""
        return resolve(self.request, self.catalog)

    @cached_property
    def built(self) -> Any:
        """The method, built once for all probes."""
        return self.build()

    def build(self) -> Any:
        """A method built from nothing, as the runner builds it; what it changed in torch is noted and put back."""
        if self.running_before is None:
            self.running_before = list_running()
        plan, before, process = self.plan, modes(), note_state()
        try:
            return Sessions(plan, self.catalog, Path()).open().method
        finally:
            self.left_by_build |= find_changed(before)
            self.changed_by_build |= dict.fromkeys(describe_changes(process))
            restore(before)
            restore_state(process)

    def let_go(self) -> None:
        """Forget the method that was built; a check that asks for it has it built again."""
        self.__dict__.pop("built", None)

    def play(self, name: str) -> Play:
        """The probe of that name played once; a second time, on a fresh method, where it went wrong after another."""
        if name not in self._plays:
            sample = next(probe for probe in PROBES if probe.name == name).scene.sample()
            play = Player(self.plan, self.built).play(sample)
            if play.error is not None and self._plays:
                again = Player(self.plan, self.build()).play(sample)
                if again.error is None:
                    self.stale[name] = brief(play.error)
                play = again
            self._plays[name] = play
        return self._plays[name]

    def survives(self, scene: Scene) -> bool:
        """Whether the probe of that scene is worked through; where not, its own check says so."""
        return self.play(scene.name).error is None

    def plays(self) -> Iterator[tuple[str, Play]]:
        """Every probe that concerns the task, by name, with what came of it."""
        for probe in PROBES:
            if self.task.name in probe.tasks:
                yield probe.name, self.play(probe.name)

    def judge(self, check: Check) -> Outcome:
        """What ``check`` says, made once; the checks it needs are made before."""
        if check.name not in self._outcomes:
            start = time.perf_counter()
            status, message = self._reach_verdict(check)
            task = "" if check.scope == "card" else self.task.name
            seconds = time.perf_counter() - start
            self._outcomes[check.name] = Outcome(check, self.method.name, task, status, message, seconds)
        return self._outcomes[check.name]

    def _find_broken_need(self, check: Check) -> str | None:
        """The first check that failed among those this one needs, and those they need."""
        for needed in (other for other in self.checks if other.name in check.needs):
            name = needed.name if self.judge(needed).status == "failed" else self._find_broken_need(needed)
            if name is not None:
                return name
        return None

    def _rounds_to_tf32(self) -> bool:
        """As a run has it; a config whose defaults cannot be made has a check of its own."""
        asked = self.request
        is_default = not (asked.preset or asked.overrides)
        return allows_tf32(self.method.config if is_default else configure(self.method, asked.preset, asked.overrides))

    def _reach_verdict(self, check: Check) -> tuple[Status, str]:
        if self.quick and check.slow:
            return "skipped", "left out with --quick"
        broken = self._find_broken_need(check)
        if broken is not None:
            return "skipped", f"means nothing unless {broken} passes"
        try:
            with work_on(self.request.device, tf32=self._rounds_to_tf32()):
                check.run(self)
        except NotApplicable as reason:
            return "skipped", str(reason)
        except Broken as broken:
            return "failed", str(broken)
        except HarnessError as error:
            return "failed", str(error)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return "failed", f"{brief(error)}\n{describe_traceback(error)}"
        return "passed", ""


def brief(error: BaseException) -> str:
    """An exception in a line; a HarnessError speaks for itself."""
    return error.message if isinstance(error, HarnessError) else describe_error(error)


def open_subjects(
    name: str,
    checks: Sequence[Check],
    *,
    task: str | None = None,
    preset: str = "",
    overrides: Sequence[str] = (),
    weights: str | None = None,
    device: str = "cpu",
    quick: bool = False,
    points: Iterable[EntryPoint] | None = None,
) -> list[Subject]:
    """One subject for each task the method ``name`` offers, or for ``task`` alone; wrong names are HarnessErrors.

    ``points`` are the entry points to look in; by default those that are installed.
    """
    catalog = Catalog.load([*(entry_points(group=GROUP) if points is None else points), PROBES_POINT])
    method = catalog.methods.get(name)
    if task is not None and task not in method.tasks:
        raise UsageError(f"{name} does not offer task {task!r}; it offers {', '.join(method.tasks)}")
    if preset or overrides:
        configure(method, preset, overrides)  # wrong options are answered before anything is built
    request = Request(
        plugin=name,
        bench=BENCH,
        preset=preset,
        overrides=tuple(overrides),
        weights=weights,
        device=device if device == "cpu" else resolve_device(device),
    )
    return [
        Subject(
            method=method,
            source=catalog.methods.source(name),
            task=TASKS[offered],
            request=replace(request, task=offered),
            catalog=catalog,
            checks=checks,
            quick=quick,
        )
        for offered in method.tasks
        if task in (None, offered)
    ]
