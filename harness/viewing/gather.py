"""What there is to look at: the record of a run, its results by video, and its videos where the data are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.records import RunRecord, VideoResult
from harness.api.tasks import TASKS, TaskName
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.pages.runs import name_run
from harness.planning.places import find_data_root
from harness.planning.plan import open_data
from harness.running.finished import read_results, read_run


@dataclass(frozen=True)
class Viewed:
    """One run: ``folder`` is None where only its record is known; ``label`` tells it from the others on the pages."""

    folder: Path | None
    record: RunRecord
    results: Mapping[str, VideoResult]
    label: str


@dataclass(frozen=True)
class Footage:
    """The videos behind the runs by name, and why there are none where there are none."""

    samples: Mapping[str, Sample]
    missing: str = ""
    is_single: bool = False
    """Whether all objects count as one by the rule."""


def read_viewed(paths: Sequence[Path]) -> list[Viewed]:
    """The runs, which must be of one benchmark and task; UsageError where they are not."""
    runs = []
    for path in paths:
        if path.is_dir() and not (path / "record.json").is_file():
            raise UsageError(
                f"{path} holds no record.json: {'an unfinished run' if (path / 'plan.json').is_file() else 'no run'}",
                hint="the same harness run command finishes it; harness ls runs lists what there is",
            )
        record = read_run(path)
        folder = path if path.is_dir() else None
        results = {result.video: result for result in read_results(path)} if folder else {}
        runs.append(Viewed(folder, record, results, name_run(record)))
    for other in runs[1:]:
        before, after = ((r.record.benchmark.full_name, r.record.benchmark.task) for r in (runs[0], other))
        if before != after:
            raise UsageError(
                f"the runs are of {' and '.join(' '.join(pair) for pair in (before, after))}",
                hint="look at runs of one benchmark and task together",
            )
    return _tell_apart(runs)


def _tell_apart(runs: Sequence[Viewed]) -> list[Viewed]:
    """Namesakes are called after their folders, too."""
    labels = [run.label for run in runs]
    return [
        replace(run, label=f"{run.label}, {run.folder.name if run.folder else run.record.id[:8]}, {number}")
        if labels.count(run.label) > 1
        else run
        for number, run in enumerate(runs, 1)
    ]


def find_footage(record: RunRecord, data_root: Path | None, catalog: Catalog) -> Footage:
    """The videos that the run was of, where their data are on this machine; says why where they are not."""
    name, task = record.benchmark.name, record.benchmark.task
    try:
        benchmark = catalog.benchmarks.get(record.benchmark.full_name)
        root = find_data_root(benchmark, data_root, catalog)
        samples = open_data(benchmark, root, allow_partial=True, command="harness view RUN")
    except HarnessError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return Footage({}, f"{error.message}{hint}")
    rule = benchmark.rules.get(cast(TaskName, task))
    is_single = TASKS[task].max_id == 1 or (rule is not None and rule.objects == "single")
    wanted = {row.video for row in record.videos}
    found = {sample.name: sample for sample in samples if sample.name in wanted}
    missing = "" if found else f"none of the run's videos is in the data of {name}"
    return Footage(found, missing, is_single)


def check_size(sample: Sample, result: VideoResult) -> None:
    """DataError where the data here have another size or length than the run's video had."""
    here, there = (sample.length, sample.height, sample.width), (result.length, result.height, result.width)
    if here != there:
        raise DataError(f"video {sample.name!r} here is {here} (frames, rows, columns), that of the run was {there}")
