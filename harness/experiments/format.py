"""The file of an experiment: which rows and columns a paper's table has, how each cell is run, what the paper prints.

docs/experiments.md lists every key. Files of the harness lie in benchmarks/experiments; anybody else gives a path.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.plain_files import LARGEST_TEXT, decode_text, read_plain
from harness.api.tasks import TaskName

Word = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^,=|\n]+$")]
"""A name that can be typed in a comma-separated list and before a '='."""
Printed = Annotated[
    Annotated[float, Field(ge=-1e6, le=1e6)] | None, BeforeValidator(lambda value: None if value != value else value)
]
"""A figure as the paper prints it; nan in the file is None."""
Seeds = Annotated[int, Field(ge=1, le=10_000)]
Constant = bool | int | float | str | list[bool | int | float | str]


STAGE = "stage:"
"""Before the name of a stage of the method, among ``metrics``."""
OF_VIDEO = "@"
"""Between a metric and the video it is of: ``J-mean@blackswan``, the mean over the video's objects."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Paper(_Table):
    """Where the published figures are printed."""

    title: str
    authors: str
    year: int
    url: str = ""
    where: str
    """Table 2, for example."""


class Part(_Table):
    """A column, or what a row has in common with it: how its cells are run."""

    name: Word
    method: str = ""
    """Another method than the experiment's."""
    preset: str = ""
    set: dict[str, Constant] = {}
    """Constants of the method's config."""
    benchmark: str = ""
    """Another benchmark than the experiment's, where the paper used several."""
    protocol: str = ""
    """Another scoring rule than the experiment's, as ``harness run --protocol`` takes it."""
    seeds: Seeds | None = None
    note: str = ""


class RowTraining(_Table):
    """How the weights of a row are made by ``harness reproduce --train``."""

    data: Annotated[str, StringConstraints(min_length=1)]
    """What is learnt from, as ``harness train --data`` takes it."""
    method: str = ""
    """Whose training it is, where the row's method is an adapted form of another."""
    preset: str = ""
    set: dict[str, Constant] = {}
    """Constants of the training's config."""
    init: str = ""
    """Another row with a training, whose weights this one begins from, or a file."""
    seeds: Seeds = 1
    """Trainings, with seeds 0, 1, ...: each run of a cell takes the weights of its seed. With 1 all take those of 0."""


class Row(Part):
    """A row: also which weights its cells take, and what the paper prints."""

    weights: str = ""
    """A name on the method's card, or none (random); empty: the card's default, or what ``needs`` asks for."""
    needs: str = ""
    """Which weights are needed and how to get them; its cells are left out until ``--weights ROW=FILE`` gives them."""
    train: RowTraining | None = None
    """The training that makes them; its cells are left out without ``--train`` where no other weights are there."""
    trained: str = ""
    """How the paper's weights of this row were made."""
    published: list[Printed | list[Printed]] = []
    """One figure a column and metric; empty: the row is not the paper's. nan: the paper prints none."""


class Experiment(_Table):
    """The whole file."""

    title: str
    method: str
    task: TaskName
    benchmark: str
    """The paper's."""
    protocol: str = ""
    """The scoring rule of the paper's figures, where it is not the benchmark's own."""
    metrics: Annotated[list[str], Field(min_length=1)]
    """Figures as ``harness ls metrics`` names them, ``METRIC@VIDEO`` of one video, ``stage:NAME``: seconds a frame in a
    stage of the method."""
    scale: Annotated[float, Field(gt=0, le=1e6)] = 100.0
    """Measured figures are multiplied by it to stand beside the published ones; 100: per cent."""
    digits: Annotated[int, Field(ge=0, le=6)] = 1
    seeds: Seeds = 1
    note: str = ""
    paper: Paper
    rows: Annotated[list[Row], Field(min_length=1)]
    columns: list[Part] = []


@dataclass(frozen=True)
class Cell:
    """One run of the grid, or one a seed; ``published`` maps a metric to what the paper prints there."""

    row: Row
    column: str
    method: str
    preset: str
    overrides: tuple[str, ...]
    benchmark: str
    protocol: str
    seeds: int
    published: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """The cell as it is spoken of."""
        return f"{self.row.name}, {self.column}" if self.column else self.row.name


def read_experiment(path: Path) -> Experiment:
    """Read and check a file; UsageError names the key that is wrong, what was found and what was expected."""
    try:
        data = tomllib.loads(decode_text(read_plain(path, largest=LARGEST_TEXT)))
    except OSError as error:
        raise UsageError(f"{path}: found nothing readable ({error.strerror}), expected an experiment") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: found no TOML ({error}), expected an experiment", hint=_HINT) from error
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = _key(problem["loc"], data)
        raise UsageError(f"{path}: {key}: found {problem['input']!r:.200}; {problem['msg']}", hint=_HINT) from error
    for key, found, expected in _contradictions(experiment):
        raise UsageError(f"{path}: {key}: found {found}, expected {expected}", hint=_HINT)
    return experiment


_HINT = "docs/experiments.md lists every key"


def _key(place: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    """``rows[2] ('9 frames').preset``, for example."""
    words = ""
    here: Any = data
    for step in place:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        named = f" ({here['name']!r})" if isinstance(here, dict) and isinstance(here.get("name"), str) else ""
        words += f"[{step}]{named}" if isinstance(step, int) else f".{step}" if words else step
    return words


def _contradictions(experiment: Experiment) -> list[tuple[str, str, str]]:
    """(key, found, expected) of what no single key shows."""
    wrong = []
    for kind, parts in (("rows", experiment.rows), ("columns", experiment.columns)):
        names = [part.name for part in parts]
        wrong += [
            (kind, f"two named {name!r}", "each name once") for name in dict.fromkeys(names) if names.count(name) > 1
        ]
    wrong += [
        ("metrics", f"{metric!r}", "stage:NAME") for metric in experiment.metrics if metric.strip() == STAGE.strip()
    ]
    wrong += _circles(experiment)
    shape = (max(1, len(experiment.columns)), len(experiment.metrics))
    for place, row in enumerate(experiment.rows):
        key = f"rows[{place}] ({row.name!r})"
        if row.published and _check_published(row.published, shape) is None:
            expected = " of ".join(str(size) for size in shape if size > 1) or "1"
            wrong.append((f"{key}.published", f"{row.published}", f"{expected} figures (columns, then metrics)"))
        for column in experiment.columns:
            for field in ("preset", "method", "benchmark", "protocol"):
                if getattr(row, field) and getattr(column, field):
                    wrong.append((f"{key}.{field}", f"another in column {column.name!r}", "one of the two"))
            twice = sorted(set(row.set) & set(column.set))
            if twice:
                wrong.append((f"{key}.set.{twice[0]}", f"another in column {column.name!r}", "one of the two"))
    return wrong


def _circles(experiment: Experiment) -> list[tuple[str, str, str]]:
    """Trainings that begin from each other, or from a row that has none."""
    rows = {row.name: row for row in experiment.rows}
    wrong = []
    for place, row in enumerate(experiment.rows):
        key, passed, here = f"rows[{place}] ({row.name!r}).train.init", [row.name], row
        while here.train and here.train.init in rows:
            here = rows[here.train.init]
            if here.name in passed:
                wrong.append((key, f"the circle {' <- '.join([*passed, here.name])}", "an end"))
                break
            passed.append(here.name)
            if here.train is None:
                wrong.append((key, f"the row {here.name!r}, which has no train", "a row with train, or a file"))
    return wrong


def _check_published(figures: list[Printed | list[Printed]], shape: tuple[int, int]) -> list[list[Printed]] | None:
    """The row's figures as [column][metric]; None where the shape is another."""
    columns, metrics = shape
    plain = [figure for figure in figures if not isinstance(figure, list)]
    if metrics > 1 and columns == 1 and len(plain) == len(figures):
        nested = [plain]
    else:
        nested = [figure if isinstance(figure, list) else [figure] for figure in figures]
    return nested if [len(row) for row in nested] == [metrics] * columns else None


def cells_of(experiment: Experiment) -> list[Cell]:
    """Every cell, row by row; a file without columns has one a row."""
    shape = (max(1, len(experiment.columns)), len(experiment.metrics))
    cells = []
    for row in experiment.rows:
        published = _check_published(row.published, shape) if row.published else None
        for place, column in enumerate(experiment.columns or [None]):
            printed = dict(zip(experiment.metrics, published[place], strict=True)) if published else {}
            cells.append(_cell(experiment, row, column, printed))
    return cells


def _cell(experiment: Experiment, row: Row, column: Part | None, printed: Mapping[str, float | None]) -> Cell:
    parts: list[Part] = [row, *([column] if column else [])]

    def first(field: str, otherwise: Any) -> Any:
        return next((value for part in parts if (value := getattr(part, field))), otherwise)

    constants = {key: value for part in parts for key, value in part.set.items()}
    return Cell(
        row=row,
        column=column.name if column else "",
        method=first("method", experiment.method),
        preset=first("preset", ""),
        overrides=tuple(f"{key}={json.dumps(value)}" for key, value in constants.items()),
        benchmark=first("benchmark", experiment.benchmark),
        protocol=first("protocol", experiment.protocol),
        seeds=first("seeds", row.train.seeds if row.train and row.train.seeds > 1 else experiment.seeds),
        published=printed,
    )


def list_shipped() -> dict[str, Path]:
    """The harness's own files by name: in a wheel they lie in the package, in a clone beside it."""
    package = Path(__file__).resolve().parents[1]
    places = (package / "experiment_files", package.parent / "benchmarks" / "experiments")
    folder = next((place for place in places if place.is_dir()), places[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(wanted: str) -> Path:
    """The file of ``tvos/table2``, ``tvos-table2`` or ``some/file.toml``; UsageError with a did-you-mean."""
    if wanted.endswith(".toml"):
        return Path(wanted)
    known = list_shipped()
    name = wanted.replace("/", "-")
    if name in known:
        return known[name]
    raise UsageError.unknown("experiment", name, known, hint="harness ls experiments")
