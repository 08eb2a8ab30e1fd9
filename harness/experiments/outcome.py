"""What running an experiment gave: cells with the seeds of each, as versioned JSON."""

from __future__ import annotations

import statistics
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.api.records import Conditions, Interval, Number, Whole
from harness.experiments.format import Experiment

SCHEMA: Final = "harness.experiment/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Seed(_Part):
    """One run of a cell."""

    seed: Whole
    folder: str
    """The run's folder."""
    figures: dict[str, Interval]
    """As the record has them: fractions, not per cent."""
    videos_done: Whole
    videos_expected: Whole
    partial_reason: str = ""
    model_fps: Number | None = None
    failures: list[str] = []
    """One line a video that failed."""


class CellOutcome(_Part):
    """One cell."""

    row: str
    column: str
    method: str
    preset: str
    overrides: list[str]
    benchmark: str
    weights: str = ""
    trained_on: str = ""
    training: str = ""
    """The folder of the training that made the weights here (``--train``); of several, that of seed 0."""
    published: dict[str, Number | None] = {}
    """As the paper prints them."""
    state: Literal["measured", "needs-weights", "failed", "not-scored"]
    """failed: no video was finished; a cell of which some were is measured, with its ``failures``."""
    problem: str = ""
    exit_code: Whole = 0
    seeds: list[Seed] = []

    @property
    def name(self) -> str:
        """The cell as it is spoken of."""
        return f"{self.row}, {self.column}" if self.column else self.row

    def figure(self, metric: str) -> Interval | None:
        """Mean over the seeds; its interval over videos where there is one seed; None where nothing was measured."""
        found = [seed.figures[metric] for seed in self.seeds if metric in seed.figures]
        values = [interval.value for interval in found if interval.value is not None]
        if not values:
            return None
        return found[0] if len(found) == 1 else Interval(value=statistics.fmean(values))

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the seeds (n - 1); None with fewer than two."""
        figures = [seed.figures[metric].value for seed in self.seeds if metric in seed.figures]
        values = [value for value in figures if value is not None]
        return statistics.stdev(values) if len(values) > 1 else None


class Outcome(_Part):
    """The whole experiment; cells that were not asked for, or not reached yet, are absent."""

    schema_: Literal["harness.experiment/1"] = Field(SCHEMA, alias="schema")
    name: str
    created: str
    harness_version: str
    experiment: Experiment
    conditions: Conditions | None = None
    """Of the last run; None before the first."""
    asked: list[str] = []
    """The cells that were asked for, in order."""
    cells: list[CellOutcome] = []

    @property
    def exit_code(self) -> int:
        """0, or the worst of the cells."""
        return max((cell.exit_code for cell in self.cells), default=0)

    def cell(self, row: str, column: str) -> CellOutcome | None:
        """The cell of that row and column, where it was run."""
        return next((cell for cell in self.cells if (cell.row, cell.column) == (row, column)), None)
