"""The loop of ``harness train``: batches, steps, reports, validations and checkpoints, from wherever it was left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from harness.api.errors import HarnessError, MethodFailed, PluginError
from harness.api.learning import Learner
from harness.catalog import Catalog
from harness.machine import PeakMemory, allows_tf32, work_on
from harness.models.precision import DTYPES
from harness.running.digests import OnNote, ignore_note, tell_if_slow
from harness.training.checkpoint import State, read_checkpoint, restore, write_checkpoint, write_weights
from harness.training.curve import draw_curve
from harness.training.folder import TrainingFolder
from harness.training.interruption import Interruption, ignore_in_worker
from harness.training.log import NEVER, Window, append_line, cut, means_of, read_lines
from harness.training.plan import TrainingPlan, seed_of
from harness.training.processes import Processes, parameters_of
from harness.training.validation import leave_undisturbed, validate

SECONDS_BETWEEN_CURVES = 20.0


@dataclass(frozen=True)
class Watch:
    """What is told while a training goes on; in the first process only."""

    on_line: Callable[[Mapping[str, Any]], None] = lambda line: None
    on_iteration: Callable[[int, int], None] = lambda done, total: None
    on_change: Callable[[list[str]], None] = lambda changed: None
    """What of code and machine changed since the training was last worked on."""
    on_note: OnNote = ignore_note
    """What takes long before the first iteration."""


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    folder: TrainingFolder
    iterations: int
    best: float | None
    best_iteration: int
    lines: list[dict[str, Any]]


def train(
    plan: TrainingPlan,
    out: Path,
    catalog: Catalog,
    processes: Processes,
    *,
    fresh: bool = False,
    watch: Watch | None = None,
) -> Trained:
    """Train into the folder ``out``, going on from its checkpoint unless ``fresh``.

    KeyboardInterrupt (Ctrl-C, SIGTERM) leaves a checkpoint of the last whole step. MethodFailed tells what went wrong
    in the method; the last checkpoint stays.
    """
    watch = watch or Watch()
    folder = TrainingFolder(out)
    with folder if processes.is_first else nullcontext():
        if processes.is_first:
            with tell_if_slow(lambda: f"hashing the data of {len(plan.samples)} videos", watch.on_note):
                depends_on = plan.depends_on
            watch.on_change(folder.claim(depends_on, plan.list_versions(), fresh=fresh))
        processes.wait()
        with work_on(processes.device, tf32=allows_tf32(plan.config)):
            loop = Loop(plan, folder, catalog, processes, watch, _build(plan, processes))
            loop.go_on()
            with loop.interruption.heard():
                loop.run()
        return Trained(folder, loop.state.iteration, loop.state.best, loop.state.best_iteration, read_lines(folder.log))


def _build(plan: TrainingPlan, processes: Processes) -> Learner:
    torch.manual_seed(seed_of(plan.request.seed, "build"))
    with _blame(plan, "while it was built"):
        learner = plan.training.build(plan.context(processes.device, processes.rank))
    if not isinstance(learner, Learner):
        raise PluginError(
            f"the training of {plan.method.name} built a {type(learner).__name__}, expected a Learner",
            hint="docs/train.md shows one",
        )
    return learner


@contextmanager
def _blame(plan: TrainingPlan, when: str) -> Iterator[None]:
    """Turn whatever the method raises into a MethodFailed that says when."""
    try:
        yield
    except (HarnessError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise MethodFailed(
            f"the training of {plan.method.name} failed {when}: {type(error).__name__}: {error}",
            hint="harness --debug train ... shows where",
        ) from error


class Batches(Dataset[Any]):
    """The batches of the iterations from ``first`` on."""

    def __init__(self, learner: Learner, seed: int, rank: int, first: int) -> None:
        self._learner = learner
        self._seed = seed
        self._rank = rank
        self._first = first

    def __len__(self) -> int:
        return self._learner.iterations - self._first

    def __getitem__(self, index: int) -> Any:
        iteration = self._first + index
        torch.manual_seed(seed_of(self._seed, iteration, self._rank, "batch"))  # what forgot a generator of its own
        return self._learner.batch(iteration)


def as_it_is(batch: Any) -> Any:
    """The batch as the learner made it."""
    return batch


@dataclass
class Loop:
    """One training going on in one process; ``state`` says how far it is."""

    plan: TrainingPlan
    folder: TrainingFolder
    catalog: Catalog
    processes: Processes
    watch: Watch
    learner: Learner
    state: State = field(default_factory=State)
    interruption: Interruption = field(default_factory=Interruption)

    def __post_init__(self) -> None:
        device = torch.device(self.processes.device)
        self.total = self.learner.iterations
        self.optimizer = self.learner.optimizer()
        self.parameters = parameters_of(self.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.plan.request.precision == "fp16")
        self.memory = PeakMemory(self.processes.device)
        self.clock = Clock()
        self.drawn = time.perf_counter()

    def go_on(self) -> None:
        """Take up the checkpoint, where there is one, and give every process the same weights."""
        if self.folder.checkpoint.exists():
            content = read_checkpoint(self.folder.checkpoint, self.plan.key)
            self.state = restore(self.folder.checkpoint, content, self.learner, self.scaler)
        if self.processes.is_first:
            cut(self.folder.log, iteration=self.state.iteration, validated=self.state.validated)
        self.processes.share_states(self.learner.networks())

    def run(self) -> None:
        """Step until the end, reporting, validating and storing on the way."""
        request = self.plan.request
        batches = iter(self._batches())
        try:
            is_validated = self._validate_if_due()
            if self.state.iteration == self.total and is_validated:  # it ended before this could be told
                self._store()
            self.clock.start()
            while self.state.iteration < self.total:
                is_asked = self._step(batches)
                done = self.state.iteration
                self.watch.on_iteration(done, self.total)
                if done % request.log_every == 0 or done == self.total:
                    self._report()
                if not is_asked:
                    self._validate_if_due()
                if done % request.checkpoint_every == 0 or done == self.total or is_asked:
                    self._store(is_last=done == self.total or is_asked)
                if is_asked:
                    raise KeyboardInterrupt
        finally:
            del batches  # ends the processes that make them

    def _batches(self) -> DataLoader[Any]:
        request, first = self.plan.request, self.state.iteration
        return DataLoader(
            Batches(self.learner, request.seed, self.processes.rank, first),
            batch_size=None,
            collate_fn=as_it_is,
            num_workers=request.workers if first < self.total else 0,
            worker_init_fn=ignore_in_worker,
            pin_memory=self.processes.device.startswith("cuda"),
            multiprocessing_context="fork" if request.workers and first < self.total else None,
        )

    def _step(self, batches: Iterator[Any]) -> bool:
        """Take one step; returns whether any process was asked to stop."""
        iteration = self.state.iteration
        with _blame(self.plan, f"at iteration {iteration}"):
            with self.clock.count_waiting():
                batch = next(batches)
            torch.manual_seed(seed_of(self.plan.request.seed, iteration, self.processes.rank))
            for group in self.optimizer.param_groups:
                group["lr"] = self.learner.learning_rate(iteration) * group.get("lr_scale", 1.0)
            self.optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                loss, logged = self.learner.loss(batch, iteration)
            self.scaler.scale(loss).backward()
            is_asked = self.processes.average_gradients(self.parameters, stop=self.interruption.asked)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.learner.after_step(iteration)
        self.state.window.add(iteration, loss, logged)
        self.state.iteration += 1
        self.clock.count += 1
        return is_asked

    def _autocast(self) -> torch.autocast:
        precision = self.plan.request.precision
        kind = torch.device(self.processes.device).type
        return torch.autocast(kind, dtype=DTYPES[precision], enabled=precision != "fp32")

    def _report(self) -> None:
        """Write a line of the log and begin a new window."""
        told = self.processes.gather(self.state.window.as_plain())
        self._refuse_bad_loss()
        seconds, waited = self.clock.read()
        peak = self.memory.read()
        line = {
            "kind": "train",
            "iteration": self.state.iteration,
            "losses": means_of(told),
            "lr": self.learner.learning_rate(self.state.iteration - 1),
            "seconds_an_iteration": round(seconds, 6),
            "seconds_waiting_for_batches": round(waited, 6),
            "iterations_a_second": round(1 / seconds, 4) if seconds else None,
            "peak_memory_mib": None if peak is None else round(peak, 1),
        }
        self.state.window = Window()
        self._tell(line)

    def _tell(self, line: Mapping[str, Any]) -> None:
        if self.processes.is_first:
            append_line(self.folder.log, line)
            self.watch.on_line(line)

    def _refuse_bad_loss(self) -> None:
        """Raise MethodFailed where a loss since the last look was not finite, in any process."""
        bad = min(self.processes.gather(self.state.window.bad_iteration()))
        if bad == NEVER:
            return
        there = self.folder.checkpoint.exists()
        raise MethodFailed(
            f"the loss of {self.plan.method.name} was not finite at iteration {bad}; {self.folder.log} shows the way "
            + (f"there, {self.folder.checkpoint} is from before" if there else "there"),
            hint="a lower learning rate, or --precision fp32, into another --out",
        )

    def _validate_if_due(self) -> bool:
        """Score the weights at the start, the end and now and then between; returns whether that was now."""
        asked, done = self.plan.validation, self.state.iteration
        every = self.plan.request.validate_every or max(1, self.total // 10)
        if asked is None or self.state.validated >= done or (done % every and done != self.total):
            return False
        self._refuse_bad_loss()
        try:
            with self.clock.leave_out(), self.interruption.at_once():
                if self.processes.is_first:
                    self._validate(done)
                self.processes.wait()
        except (KeyboardInterrupt, HarnessError):
            self._write()  # the steps up to here are whole; the validation is done again
            raise
        self.state.validated = done
        return True

    def _validate(self, done: int) -> None:
        assert self.plan.validation is not None
        started = time.perf_counter()
        weights = self.learner.weights()
        with leave_undisturbed(self.learner.networks()):
            found = validate(
                self.plan.validation, self.plan.training.metric, weights, self.folder.scratch, self.catalog
            )
        self._tell(found.line(done, time.perf_counter() - started))
        if found.score is not None and (self.state.best is None or found.score > self.state.best):
            self.state.best, self.state.best_iteration = found.score, done
            write_weights(self.folder.best, weights, self._metadata(found.score))

    def _store(self, *, is_last: bool = True) -> None:
        """Write what is learnt; a training whose loss broke keeps the earlier checkpoint."""
        self._refuse_bad_loss()
        with self.clock.leave_out():
            self._write(with_curve=is_last or time.perf_counter() - self.drawn > SECONDS_BETWEEN_CURVES)

    def _write(self, *, with_curve: bool = True) -> None:
        """Write checkpoint, last weights and curve, in the first process."""
        if not self.processes.is_first:
            return
        lines, done = read_lines(self.folder.log), self.state.iteration
        scores = [line["score"] for line in lines if line["kind"] == "validation" and line["iteration"] == done]
        write_checkpoint(self.folder.checkpoint, self.plan.key, self.state, self.learner, self.scaler)
        write_weights(self.folder.last, self.learner.weights(), self._metadata(scores[-1] if scores else None))
        if with_curve:
            draw_curve(self.folder.curve, lines, f"{self.plan.method.name} on {self.plan.data}")
            self.drawn = time.perf_counter()

    def _metadata(self, score: float | None) -> dict[str, str]:
        """Where weights came from, as safetensors keeps it."""
        validation = self.plan.validation
        return {
            "method": self.plan.method.name,
            "config": json.dumps(self.plan.settings["config"], sort_keys=True),
            "data": self.plan.data,
            "data_licence": self.plan.licence,
            "iterations": str(self.state.iteration),
            "seed": str(self.plan.request.seed),
            "validation": "" if score is None or validation is None
            else f"{self.plan.training.metric} {score:.6f} on {validation.bench}",
        }  # fmt: skip


class Clock:
    """The time of the steps since it was last read, without what is not theirs."""

    def __init__(self) -> None:
        self.count = 0
        self._since = time.perf_counter()
        self._excluded = 0.0
        self._waited = 0.0

    def start(self) -> None:
        """Count from now."""
        self.count, self._since, self._excluded, self._waited = 0, time.perf_counter(), 0.0, 0.0

    @contextmanager
    def leave_out(self) -> Iterator[None]:
        """Leave out what happens here."""
        started = time.perf_counter()
        yield
        self._excluded += time.perf_counter() - started

    @contextmanager
    def count_waiting(self) -> Iterator[None]:
        """Count what happens here as waiting for a batch."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    def read(self) -> tuple[float, float]:
        """Seconds an iteration, and those of it that were waited for a batch, since the last time; begins anew."""
        count = max(1, self.count)
        found = ((time.perf_counter() - self._since - self._excluded) / count, self._waited / count)
        self.start()
        return found
