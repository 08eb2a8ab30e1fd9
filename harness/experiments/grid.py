"""Running the grid: every cell an ordinary run that resumes; a cell that cannot run says why and stops nobody else."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import Protocol

from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError, UsageError
from harness.api.records import Interval, Precision, RunRecord, VideoFailure, VideoResult
from harness.catalog import Catalog
from harness.experiments.format import OF_VIDEO, STAGE, Cell, Experiment, cells_of
from harness.experiments.outcome import CellOutcome, Outcome, Seed
from harness.experiments.trained import Learn, RowTrainings
from harness.files import write_atomically
from harness.planning.plan import Plan, resolve
from harness.planning.request import Request
from harness.planning.rules import find_rule
from harness.ranking.speeds import model_fps, timing_of
from harness.running.runner import run
from harness.version import __version__


@dataclass(frozen=True)
class Choice:
    """What of an experiment is run, on what, and into which folder."""

    out: Path
    bench: str = ""
    """Another benchmark for every cell; empty: the paper's."""
    data_root: Path | None = None
    allow_partial: bool = False
    videos: tuple[str, ...] = ()
    limit: int | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    """By row: a file, a name on the card, or none."""
    overrides: tuple[str, ...] = ()
    """Constants of every cell, after the file's own."""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    seeds: int | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int | None = None


class Watcher(Protocol):
    """What a run tells while it goes on; the progress of a run."""

    def frame(self, video: str, done: int, length: int) -> None:
        """One more frame is done."""
        ...

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        """One video ended."""
        ...

    def note(self, words: str) -> None:
        """Something beside the method takes long."""
        ...


Watch = Callable[[str, Plan], AbstractContextManager[Watcher]]
"""Called with the cell's name and plan before each run."""


def run_grid(
    name: str,
    experiment: Experiment,
    choice: Choice,
    catalog: Catalog,
    watch: Watch,
    on_cell: Callable[[Outcome], None] = lambda outcome: None,
    *,
    learn: Learn | None = None,
) -> Outcome:
    """Run the chosen cells one after the other; ``results.json`` in ``choice.out`` holds what is done after each.

    With ``learn``, rows that say how they are trained are, into ``choice.out``/train, before their first cell. Names
    that are not in the file are a UsageError before anything runs. Whatever else is wrong with a cell is in its
    outcome.
    """
    cells = choose_cells(experiment, choice)
    outcome = Outcome(
        name=name,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        experiment=experiment,
        asked=[cell.name for cell in cells],
    )
    trainings = RowTrainings(experiment, choice.out / "train", learn) if learn else None
    for cell in cells:
        made, last = _Run(cell, choice, catalog, watch, trainings).outcome()
        conditions = last.conditions if last else outcome.conditions
        outcome = outcome.model_copy(update={"cells": [*outcome.cells, made], "conditions": conditions})
        text = outcome.model_dump_json(by_alias=True, indent=2) + "\n"
        write_atomically(choice.out / "results.json", text.encode())
        on_cell(outcome)
    return outcome


def choose_cells(experiment: Experiment, choice: Choice) -> list[Cell]:
    """The cells of the chosen rows and columns; UsageError for a name that is not there."""
    known = {"row": [row.name for row in experiment.rows], "column": [part.name for part in experiment.columns]}
    for kind, wanted in (("row", choice.rows), ("column", choice.columns), ("row", tuple(choice.weights))):
        for name in wanted:
            if name not in known[kind]:
                raise UsageError.unknown(kind, name, known[kind], of="the experiment")
    if choice.seeds is not None and choice.seeds < 1:
        raise UsageError(f"--seeds {choice.seeds} runs nothing; expected 1 or more")
    return [
        cell
        for cell in cells_of(experiment)
        if (not choice.rows or cell.row.name in choice.rows) and (not choice.columns or cell.column in choice.columns)
    ]


@dataclass
class _Run:
    """One cell being run."""

    cell: Cell
    choice: Choice
    catalog: Catalog
    watch: Watch
    trainings: RowTrainings | None = None

    def outcome(self) -> tuple[CellOutcome, RunRecord | None]:
        """What came of it, and the record of its last seed."""
        made = CellOutcome(
            row=self.cell.row.name,
            column=self.cell.column,
            method=self.cell.method,
            preset=self.cell.preset,
            overrides=[*self.cell.overrides, *self.choice.overrides],
            benchmark=self.choice.bench or self.cell.benchmark,
            published=dict(self.cell.published),
            state="measured",
        )
        records: list[RunRecord] = []
        seeds: list[Seed] = []
        try:
            missing = "" if self._is_trained_here() else self._explain_missing_weights()
            if missing:
                return made.model_copy(update={"state": "needs-weights", "problem": missing}), None
            for seed in range(self.choice.seeds or self.cell.seeds):
                weights = self._train(seed)
                if weights and seed == 0:
                    made = made.model_copy(update={"training": str(weights.parent)})
                record, folder = self._one(seed, weights)
                records.append(record)
                seeds.append(_seed(record, folder, seed))
        except HarnessError as error:
            failed = {"state": "failed", "problem": str(error), "exit_code": error.exit_code, "seeds": seeds}
            return made.model_copy(update=failed), records[-1] if records else None
        return made.model_copy(update={"seeds": seeds, **_describe_end(records)}), records[-1]

    def _is_trained_here(self) -> bool:
        """Whether the row makes its weights; not where others were named."""
        row = self.cell.row
        return self.trainings is not None and row.train is not None and row.name not in self.choice.weights

    def _train(self, seed: int) -> Path | None:
        """The weights of a row that is trained here; None where it is not."""
        if self.trainings is None or not self._is_trained_here():
            return None
        return self.trainings.weights_of(self.cell.row, seed)

    def _explain_missing_weights(self) -> str:
        """How to get the weights that are not here; empty where nothing is missing."""
        row = self.cell.row
        if row.name in self.choice.weights:
            return ""
        entry = self.catalog.methods.get(self.cell.method).weights_named(row.weights)
        if entry is not None and (entry.path is None or not entry.path.is_file()):
            where = f"download {entry.name} from {entry.url}" if entry.url else f"{entry.name} is not on this machine"
            return row.needs or where
        made_here = "a training (--train)" if row.train else ""
        return (row.needs or made_here) if not row.weights else ""

    def _one(self, seed: int, trained: Path | None) -> tuple[RunRecord, Path]:
        choice, row = self.choice, self.cell.row
        request = Request(
            plugin=self.cell.method,
            bench=choice.bench or self.cell.benchmark,
            preset=self.cell.preset,
            rule=find_rule(self.cell.protocol or None),
            overrides=(*self.cell.overrides, *choice.overrides),
            weights=str(trained) if trained else choice.weights.get(row.name, row.weights or None),
            device=choice.device,
            precision=choice.precision,
            videos=choice.videos,
            limit=choice.limit,
            data_root=choice.data_root,
            allow_partial=choice.allow_partial,
            threads=choice.threads,
            seed=seed,
        )
        plan = resolve(request, self.catalog)
        folder = choice.out / "runs" / plan.benchmark.name / f"{plan.method.name}-{plan.key[:12]}"
        with self.watch(f"{self.cell.name}, seed {seed}", plan) as progress:
            record = run(
                plan,
                folder,
                self.catalog,
                progress=progress.frame,
                on_video=progress.video,
                on_note=progress.note,
            )
        return record, folder


def _seed(record: RunRecord, folder: Path, seed: int) -> Seed:
    return Seed(
        seed=seed,
        folder=str(folder),
        figures={column: interval for columns in record.scores.values() for column, interval in columns.items()}
        | figures_by_video(record)
        | seconds_by_stage(record),
        videos_done=record.benchmark.videos_done,
        videos_expected=record.benchmark.videos_expected,
        partial_reason=record.partial_reason if record.partial else "",
        model_fps=model_fps(record),
        failures=[f"{failure.video}: {failure.kind}: {failure.message}" for failure in record.failures],
    )


def figures_by_video(record: RunRecord) -> dict[str, Interval]:
    """Means over the objects of a video that have the figure, by ``METRIC@VIDEO``."""
    found: dict[str, Interval] = {}
    for video in record.videos:
        for metric in dict.fromkeys(name for figures in video.objects.values() for name in figures):
            values = [value for figures in video.objects.values() if (value := figures.get(metric)) is not None]
            if values:
                found[f"{metric}{OF_VIDEO}{video.video}"] = Interval(value=statistics.fmean(values))
    return found


def seconds_by_stage(record: RunRecord) -> dict[str, Interval]:
    """Seconds a frame in each stage of the method, by ``stage:NAME``; every frame counts, first and warm-up too."""
    timing = timing_of(record)
    if timing is None:
        return {}
    frames = timing.model.frames + timing.model_first_frame.frames + timing.warm_up_frames
    return {f"{STAGE}{name}": Interval(value=time.seconds / frames) for name, time in timing.stages.items() if frames}


def _describe_end(records: Sequence[RunRecord]) -> dict[str, object]:
    """State, weights, problem and exit code of a cell whose runs came to their end."""
    weights = records[-1].weights
    told: dict[str, object] = {
        "weights": weights.name,
        "trained_on": weights.trained_on,
    }
    failures = [failure for record in records for failure in record.failures]
    if failures:
        first = f"{failures[0].video}: {failures[0].kind}: {failures[0].message}"
        told["problem"] = f"{len(failures)} videos failed, the first: {first}"
        told["exit_code"] = max(failure.exit_code for failure in failures)
    if not any(record.videos for record in records):
        told["state"] = "failed"
    elif not any(record.scores for record in records):
        told["state"] = "not-scored"
        told["problem"] = f"{records[-1].benchmark.name} has no public truth: masks were written, nothing scored"
    return told
