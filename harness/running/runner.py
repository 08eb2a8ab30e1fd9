"""One run: videos that are not finished go to the executor's sessions; outcomes are stored as they come.

``run`` is the story of a run, ``harness.running.session`` that of a video. A video that fails costs itself only: it
becomes a VideoFailure and the run goes on.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path

import torch

from harness.api.dataclass import dataclass
from harness.api.errors import MethodFailed, UsageError
from harness.api.execution import Executor
from harness.api.foreign import blame
from harness.api.records import Conditions, RunRecord, VideoFailure, VideoResult
from harness.catalog import Catalog
from harness.hosting.apart import WorkerHost
from harness.hosting.here import Hosted
from harness.machine import describe_load, read_load
from harness.planning.plan import Plan
from harness.running.digests import OnNote, ignore_note, tell_if_slow
from harness.running.folder import RunFolder
from harness.running.measure import Kind, metrics_of
from harness.running.oddities import Oddities
from harness.running.recipe import RunRecipe
from harness.running.record import record_of
from harness.running.replays import ReplaySession, refuse_apart
from harness.running.session import Progress, Session, build_here
from harness.running.shards import note_shard

OnVideo = Callable[[VideoResult | VideoFailure, bool], None]


def run(
    plan: Plan,
    out: Path,
    catalog: Catalog,
    *,
    fresh: bool = False,
    elsewhere: bool = False,
    progress: Progress | None = None,
    on_video: OnVideo | None = None,
    on_note: OnNote = ignore_note,
) -> RunRecord:
    """Run one method on one benchmark into the folder ``out`` and return the record, which is also written there.

    Finished videos of an interrupted run are reused unless ``fresh``; of one ``elsewhere`` without their clocks.
    Failures are in the record; nothing finished is lost. ``on_video`` is called with each outcome and whether it was
    reused; ``on_note`` is told in words what takes long beside the method.
    """
    out = out.absolute()  # a method may change the working directory
    executor = catalog.executors.get(plan.request.executor)
    sessions = Sessions(plan, catalog, out, progress, on_note)
    load = read_load()
    if busy := describe_load(load, os.cpu_count()):
        on_note(f"note: {busy}")
    with RunFolder(out) as folder:
        with tell_if_slow(lambda: "hashing code and the files of providers", on_note):
            parts = plan.key_parts
        videos = [sample.name for sample in plan.samples]
        if told := folder.claim(parts, fresh=fresh, elsewhere=elsewhere, videos=videos):
            on_note(told)
        if plan.request.shard is not None:
            note_shard(folder.path, plan.request)
        for sample in plan.samples:
            sessions.oddities.add(sample.name, sample.oddities)
        reused = find_finished(plan, folder, on_note)
        outcomes: dict[str, VideoResult | VideoFailure] = dict(reused)
        for stored in reused.values():
            _tell(on_video, stored, reused=True)
        todo = [sample.name for sample in plan.samples if sample.name not in outcomes]
        for outcome in _execute(executor, sessions, todo):
            if isinstance(outcome, VideoResult):
                folder.append(outcome)
            outcomes[outcome.video] = outcome
            _tell(on_video, outcome, reused=False)
        ended = [outcomes[sample.name] for sample in plan.samples if sample.name in outcomes]
        record = record_of(plan, catalog, ended, list(reused), machine=sessions.machine(), load=load)
        folder.write_record(record)
    for note in sessions.oddities.describe():
        on_note(note)
    return record


def _execute(executor: Executor, sessions: Sessions, todo: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
    """What the executor yields; what goes wrong in itself is its own failure."""
    whose = f"executor {executor.name}"
    with blame(whose, MethodFailed):
        outcomes = iter(executor.execute(sessions, todo))
    while True:
        with blame(whose, MethodFailed):
            outcome = next(outcomes, None)
            if isinstance(outcome, VideoFailure):
                outcome.check()  # a result is when it is stored, a failure only with the record at the end
        if outcome is None:
            return
        yield outcome


def find_finished(plan: Plan, folder: RunFolder, on_note: OnNote) -> dict[str, VideoResult]:
    """The results of earlier runs that still hold, in the plan's order; only a video that has one is hashed."""
    held = {sample.name: folder.read_result(sample.name) for sample in plan.samples}
    samples = [sample for sample in plan.samples if held[sample.name] is not None]
    finished: dict[str, VideoResult] = {}
    done = 0
    with tell_if_slow(lambda: f"hashing the data of finished videos: {done} of {len(samples)} done", on_note):
        for sample in samples:
            stored = held[sample.name]
            is_ours = stored is not None and stored.key == plan.video_key(sample, stored.digest)
            if stored is not None and is_ours and sample.digest() == stored.digest:
                finished[sample.name] = stored
            done += 1
    return finished


def _tell(on_video: OnVideo | None, outcome: VideoResult | VideoFailure, *, reused: bool) -> None:
    if on_video is not None:
        on_video(outcome, reused)


@dataclass
class Sessions:
    """Opens the sessions of a run, for its executor."""

    plan: Plan
    catalog: Catalog
    out: Path
    progress: Progress | None = None
    on_note: OnNote = ignore_note
    oddities: Oddities = field(default_factory=Oddities)
    _apart: list[WorkerHost] = field(default_factory=list, init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False)
    _recipe: RunRecipe | None = field(default=None, init=False)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the run, one for each session that may work at the same time."""
        return self.plan.request.devices

    def open(self, *, device: str | None = None, apart: bool = False) -> Session:
        """Build the method on the run's one device unless another is named; ``apart``: in a process of its own.

        PluginError if it does not build or lacks what its card promises.
        """
        if self.plan.request.address is not None:
            raise self._refuse(f"--address {self.plan.request.address}", "--executor ray")
        kind: Kind = self.plan.task.returns
        metrics = metrics_of(self.plan.rule, self.catalog, kind) if self.plan.benchmark.scored else {}
        given = (self.plan, metrics, self.out)
        if self.plan.method.replays:
            if apart:
                refuse_apart(self.plan)
            return ReplaySession(*given, self._host_here(device), self.progress, self.on_note, self.oddities)
        host = self._host_apart(device or self.devices[0]) if apart else self._host_here(device)
        return Session(*given, host, self.progress, self.on_note, self.oddities)

    def recipe(self) -> RunRecipe:
        """How to open sessions on other machines; UsageError for a method that has to stay here."""
        if self.plan.method.replays:
            refuse_apart(self.plan)
        if self.plan.elsewhere:
            raise self._refuse(f"--python {self.plan.request.python}", "--executor process")
        self._recipe = RunRecipe(self.plan, self.catalog, self.out, self.oddities, self.on_note)
        return self._recipe

    def close(self) -> None:
        """End every session apart, also one that is just being opened."""
        for host in list(self._apart):
            host.close()

    def machine(self) -> Conditions | None:
        """What the clocks of the sessions apart ran on; None where none did, or nobody knows."""
        if self._recipe is not None and self._recipe.conditions is not None:
            return self._recipe.conditions
        seen = [host.conditions for host in self._apart if host.conditions is not None]
        if not seen:
            return self.plan.elsewhere.conditions if self.plan.elsewhere else None
        devices = dict.fromkeys(conditions.device for conditions in seen)
        return seen[-1].model_copy(update={"device": " + ".join(devices)})

    def _refuse(self, wish: str, hint: str) -> UsageError:
        return UsageError(f"executor {self.plan.request.executor} cannot do {wish}", hint=hint)

    def _host_here(self, device: str | None) -> Hosted:
        request = self.plan.request
        if self.plan.elsewhere or (device is None and len(self.devices) > 1):
            wish = f"--python {request.python}" if self.plan.elsewhere else f"{len(self.devices)} videos at a time"
            raise self._refuse(wish, "--executor process")
        return build_here(self.plan, device or request.device)

    def _host_apart(self, device: str) -> WorkerHost:
        threads = self.plan.request.threads
        if threads is None and device == "cpu":
            threads = torch.get_num_threads()
            if len(self.devices) > 1:
                threads = max(1, min(threads, (os.cpu_count() or 1) // len(self.devices)))
        host = WorkerHost(self.plan, device, threads, self.out / "logs" / f"worker-{next(self._numbers)}.log")
        self._apart.append(host)
        host.open()
        return host
