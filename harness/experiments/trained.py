"""Weights that an experiment's rows make for themselves: each row is trained once, and goes on where it was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError, UsageError
from harness.api.records import is_safe_video_name
from harness.experiments.format import Experiment, Row, RowTraining
from harness.files import digest_of


@dataclass(frozen=True)
class Lesson:
    """One training, as ``harness train`` would be asked for it; ``folder`` is where it is kept and goes on."""

    row: str
    plugin: str
    data: tuple[str, ...]
    preset: str
    overrides: tuple[str, ...]
    init: Path | None
    seed: int
    folder: Path


Learn = Callable[[Lesson], Path]
"""Goes through a training, or on with it, and returns the weights that it chooses."""


@dataclass
class RowTrainings:
    """The trainings of an experiment's rows, below ``folder``."""

    experiment: Experiment
    folder: Path
    learn: Learn
    _made: dict[tuple[str, int], Path | HarnessError] = field(default_factory=dict)

    def weights_of(self, row: Row, seed: int = 0) -> Path:
        """The weights of a row with ``train``, made now or earlier; a training that failed is not tried again.

        Rows with one and the same training share it: it is that of the first of them. ``seed`` is the cell's: a row
        that is trained once has the same weights for all.
        """
        row = next(other for other in self.experiment.rows if self._asks(other) == self._asks(row))
        assert row.train is not None
        key = (row.name, seed if row.train.seeds > 1 else 0)
        if key not in self._made:
            try:
                self._made[key] = self.learn(self._lesson(row, row.train, key[1]))
            except HarnessError as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, HarnessError):
            raise made
        return made

    def _asks(self, row: Row) -> RowTraining | None:
        plugin = row.method or self.experiment.method
        return row.train and row.train.model_copy(update={"method": row.train.method or plugin})

    def _lesson(self, row: Row, train: RowTraining, seed: int) -> Lesson:
        folder = self.folder / folder_name(row.name)
        return Lesson(
            row=row.name,
            plugin=train.method or row.method or self.experiment.method,
            data=tuple(name.strip() for name in train.data.split(",") if name.strip()),
            preset=train.preset,
            overrides=tuple(f"{key}={json.dumps(value)}" for key, value in train.set.items()),
            init=self._init(row.name, train.init, seed),
            seed=seed,
            folder=folder / f"seed-{seed}" if train.seeds > 1 else folder,
        )

    def _init(self, row: str, wanted: str, seed: int) -> Path | None:
        if not wanted:
            return None
        before = next((other for other in self.experiment.rows if other.name == wanted), None)
        if before is not None:
            return self.weights_of(before, seed)
        if not Path(wanted).expanduser().is_file():
            raise UsageError(
                f"row {row!r} is trained from {wanted!r}: found no such file and no row of that name",
                hint="put the file there, or name another in a copy of the experiment",
            )
        return Path(wanted).expanduser()


def folder_name(row: str) -> str:
    """The row's name where it can be a folder's, otherwise one that no other row has."""
    if is_safe_video_name(row):
        return row
    plain = "".join(letter if letter.isalnum() else "-" for letter in row)
    return f"{plain.strip('-')}-{digest_of(row)[:8]}"
