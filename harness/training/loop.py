"""The loop of ``harness train``: batches, steps, reports, validations and checkpoints, from wherever it was left."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, MethodFailed, PluginError
from harness.api.foreign import blame
from harness.api.learning import Learner, Stage, TrainingContext
from harness.catalog import Catalog
from harness.files import digest_of_bytes, write_atomically
from harness.machine import PeakMemory, allows_tf32, work_on
from harness.models.precision import DTYPES
from harness.planning.request import Request
from harness.running.digests import OnNote, ignore_note, tell_if_slow
from harness.training.batches import Batches, as_it_is
from harness.training.checkpoint import (
    Checkpoint,
    State,
    holds,
    read_checkpoint,
    restore,
    write_checkpoint,
    write_weights,
)
from harness.training.clock import Clock
from harness.training.curve import draw_curve
from harness.training.folder import TrainingFolder
from harness.training.interruption import Interruption, end_with_trainer
from harness.training.log import NEVER, Window, append_line, by_stage, cut, means_of, read_lines
from harness.training.plan import TrainingPlan, seed_of
from harness.training.preparation import prepare_once
from harness.training.processes import Processes, parameters_of
from harness.training.provenance import describe_weights
from harness.training.validation import leave_undisturbed, validate

SECONDS_BETWEEN_CURVES = 20.0


@dataclass(frozen=True)
class Watch:
    """What is told while a training goes on; in the first process only."""

    on_line: Callable[[Mapping[str, Any]], None] = lambda line: None
    on_iteration: Callable[[int, int], None] = lambda done, total: None
    """Steps taken and to take, over the stages so far."""
    on_stage: Callable[[str], None] = lambda stage: None
    """Which stage begins or goes on, and how many there are, where there are any."""
    on_change: Callable[[list[str]], None] = lambda changed: None
    """What of code and machine changed since the training was last worked on."""
    on_note: OnNote = ignore_note
    """What takes long beside the iterations, and what is made anew."""


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    folder: TrainingFolder
    state: State
    lines: list[dict[str, Any]]

    @property
    def iterations(self) -> int:
        """Steps taken, over all stages."""
        return self.state.before + self.state.iteration

    @property
    def best(self) -> float | None:
        """The score of the best weights."""
        return self.state.best

    @property
    def best_iteration(self) -> int:
        """When they were the best, in their stage."""
        return self.state.best_iteration


def train(
    plan: TrainingPlan,
    out: Path,
    catalog: Catalog,
    processes: Processes,
    *,
    fresh: bool = False,
    watch: Watch | None = None,
) -> Trained:
    """Train into the folder ``out``, going on from its checkpoint unless ``fresh``, stage after stage.

    KeyboardInterrupt (Ctrl-C, SIGTERM) leaves a checkpoint of the last whole step. MethodFailed tells what went wrong
    in the method; the last checkpoint stays.
    """
    watch = watch or Watch()
    folder = TrainingFolder(out)
    with folder if processes.is_first else nullcontext():
        if processes.is_first:
            with tell_if_slow(lambda: f"hashing the data of {len(plan.samples)} videos", watch.on_note):
                depends_on = plan.depends_on
            changed = folder.claim(depends_on, plan.list_versions(), fresh=fresh, truths=plan.truths)
            watch.on_change(changed)
        processes.wait()
        with work_on(processes.device, tf32=allows_tf32(plan.config)):
            state = _learn(plan, folder, catalog, processes, watch)
        return Trained(folder, state, read_lines(folder.log))


def _learn(plan: TrainingPlan, folder: TrainingFolder, catalog: Catalog, processes: Processes, watch: Watch) -> State:
    """Go through the stages from where the checkpoint is: prepare, build, learn; returns the state it ended with."""
    names, interruption = [stage.name for stage in plan.stages], Interruption()
    found = read_checkpoint(folder.checkpoint, plan.key, names) if folder.checkpoint.exists() else None
    state = found.state if found else State(stage=names[0])
    if state.forget_lost_best(folder.best):
        watch.on_note(f"{folder.best} is not what the best validation left: its score is forgotten")
    if processes.is_first:
        cut(folder.log, stages=names, stage=state.stage, iteration=state.iteration, validated=state.validated)
    with interruption.take_signals():
        for stage in plan.stages:
            context = plan.context(processes.device, processes.rank, stage, folder)
            with interruption.at_once():
                if processes.is_first:
                    _prepare(plan, stage, context, watch)
                processes.wait()
            if stage.name == state.stage:
                if stage.name:
                    watch.on_stage(f"{stage.name} ({names.index(stage.name) + 1} of {len(names)})")
                with interruption.at_once():
                    learner = _build(plan, stage, context)
                loop = Loop(plan, stage, folder, catalog, processes, watch, interruption, learner, state)
                loop.take_up(found if found and found.has_learnt else None)
                loop.run()
                found, state = None, loop.end()
                del learner, loop  # before the next stage's take memory
            if stage.name == plan.request.stop_after:
                break
    return state


def _prepare(plan: TrainingPlan, stage: Stage, context: TrainingContext, watch: Watch) -> None:
    if context.earlier is not None and not context.earlier.is_file():
        expected = f"the weights that the stage before {stage.name} ended with"
        raise DataError.at(context.earlier, found="nothing", expected=expected, hint="--resume never begins anew")
    torch.manual_seed(seed_of(plan.request.seed, *name_in_seeds(stage), "prepare"))
    with _blame(plan, stage, "while it was prepared"):
        prepare_once(plan, stage, context, watch.on_note)


def _build(plan: TrainingPlan, stage: Stage, context: TrainingContext) -> Learner:
    torch.manual_seed(seed_of(plan.request.seed, *name_in_seeds(stage), "build"))
    with _blame(plan, stage, "while it was built"):
        learner = stage.build(context)
    if not isinstance(learner, Learner):
        raise PluginError(
            f"the training of {plan.method.name} built a {type(learner).__name__}, expected a Learner",
            hint="docs/train.md shows one",
        )
    return learner


def name_in_seeds(stage: Stage) -> tuple[int | str, ...]:
    """The stage as a part of seeds; a training without stages has none."""
    return (stage.name,) if stage.name else ()


@contextmanager
def _blame(plan: TrainingPlan, stage: Stage, when: str) -> Iterator[None]:
    """Turn whatever the method raises into a MethodFailed that says when."""
    where = f"stage {stage.name} of the training" if stage.name else "the training"
    whose = f"{where} of {plan.method.name} failed {when}"
    with blame(whose, MethodFailed, hint="harness --debug train ... shows where"):
        yield


@dataclass
class Loop:
    """One stage of a training going on in one process; ``state`` says how far it is."""

    plan: TrainingPlan
    stage: Stage
    folder: TrainingFolder
    catalog: Catalog
    processes: Processes
    watch: Watch
    interruption: Interruption
    learner: Learner
    state: State

    def __post_init__(self) -> None:
        device = torch.device(self.processes.device)
        self.total = self.learner.iterations
        self.seed: tuple[int | str, ...] = (self.plan.request.seed, *name_in_seeds(self.stage))
        self.validation = self.plan.validation if self.stage.is_method else None
        self.optimizer = self.learner.optimizer()
        self.parameters = parameters_of(self.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.plan.request.precision == "fp16")
        self.memory = PeakMemory(self.processes.device)
        self.clock = Clock()
        self.drawn = time.perf_counter()

    def take_up(self, checkpoint: Checkpoint | None) -> None:
        """Take up what was learnt, where something was, and give every process the same weights."""
        if checkpoint is not None:
            restore(checkpoint, self.learner, self.scaler)
        self.processes.share_states(self.learner.networks())

    def end(self) -> State:
        """Leave the stage's weights for the next one, which begins with the state returned; the last stays as it is."""
        if not self.stage.name:
            return self.state
        place = self.plan.stages.index(self.stage) + 1
        state = self.state if place == len(self.plan.stages) else self.state.begin(self.plan.stages[place].name)
        if self.processes.is_first:
            write_atomically(self.folder.weights_of(self.stage.name), self.folder.last.read_bytes())
            if state is not self.state:
                write_checkpoint(self.folder.checkpoint, self.plan.key, state)
        return state

    def run(self) -> None:
        """Step until the end, reporting, validating and storing on the way."""
        request = self.plan.request
        batches = iter(self._batches())
        try:
            self._validate_if_due()
            if self.state.iteration == self.total:  # it ended before this could be told, or written
                self._tell_of_other_weights()
                self._store()
            self.clock.start()
            while self.state.iteration < self.total:
                is_asked = self._step(batches)
                done = self.state.iteration
                self.watch.on_iteration(self.state.before + done, self.state.before + self.total)
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
            Batches(self.learner, self.seed, self.processes.rank, first),
            batch_size=None,
            collate_fn=as_it_is,
            num_workers=request.workers if first < self.total else 0,
            worker_init_fn=functools.partial(end_with_trainer, os.getpid()),
            pin_memory=self.processes.device.startswith("cuda"),
            multiprocessing_context="fork" if request.workers and first < self.total else None,
        )

    def _step(self, batches: Iterator[Any]) -> bool:
        """Take one step; returns whether any process was asked to stop."""
        iteration = self.state.iteration
        with _blame(self.plan, self.stage, f"at iteration {iteration}"):
            with self.clock.count_waiting():
                batch = next(batches)
            torch.manual_seed(seed_of(*self.seed, iteration, self.processes.rank))
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
            line = {"stage": self.stage.name, **line} if self.stage.name else line
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
        asked, done = self.validation, self.state.iteration
        every = self.plan.request.validate_every or max(1, self.total // 10)
        if asked is None or self.state.validated >= done or (done % every and done != self.total):
            return False
        self._refuse_bad_loss()
        try:
            with self.clock.leave_out(), self.interruption.at_once():
                if self.processes.is_first:
                    self._validate(asked, done)
                self.processes.wait()
        except (KeyboardInterrupt, HarnessError):
            self._write()  # the steps up to here are whole; the validation is done again
            raise
        self.state.validated = done
        return True

    def _validate(self, asked: Request, done: int) -> None:
        started = time.perf_counter()
        weights = self.learner.weights()
        with leave_undisturbed(self.learner.networks()):
            found = validate(asked, self.plan.training.metric, weights, self.folder.scratch, self.catalog)
        self._tell(found.line(done, time.perf_counter() - started, chooses=self.plan.chooses))
        is_best = found.score is not None and (self.state.best is None or found.score > self.state.best)
        if is_best and self.plan.chooses:
            self.state.best, self.state.best_stage, self.state.best_iteration = found.score, self.stage.name, done
            write_weights(self.folder.best, weights, self._describe_weights(found.score))
            self.state.best_sha256 = digest_of_bytes(self.folder.best)

    def _store(self, *, is_last: bool = True) -> None:
        """Write what is learnt; a training whose loss broke keeps the earlier checkpoint."""
        self._refuse_bad_loss()
        with self.clock.leave_out():
            self._write(with_curve=is_last or time.perf_counter() - self.drawn > SECONDS_BETWEEN_CURVES)

    def _tell_of_other_weights(self) -> None:
        last = self.folder.last
        if self.processes.is_first and last.exists() and not holds(last, self.learner.weights()):
            self.watch.on_note(f"{last} was not what the training ended with: it is written anew")

    def _write(self, *, with_curve: bool = True) -> None:
        """Write checkpoint, last weights and curve, in the first process."""
        if not self.processes.is_first:
            return
        lines, done = read_lines(self.folder.log), self.state.iteration
        ours = [line for line in by_stage(lines).get(self.stage.name, ()) if line["iteration"] == done]
        scores = [line["score"] for line in ours if line["kind"] == "validation"]
        write_checkpoint(self.folder.checkpoint, self.plan.key, self.state, self.learner, self.scaler)
        write_weights(self.folder.last, self.learner.weights(), self._describe_weights(scores[-1] if scores else None))
        if with_curve:
            draw_curve(self.folder.curve, lines, f"{self.plan.method.name} on {self.plan.data}")
            self.drawn = time.perf_counter()

    def _describe_weights(self, score: float | None) -> dict[str, str]:
        steps = self.state.before + self.state.iteration
        return describe_weights(self.plan, self.stage, self.learner, steps=steps, score=score)
