"""Predictions made elsewhere, scored without running anything: looked over first, then measured video by video.

No torch, no frames: what ``harness score`` does for PNGs and results.json. The record is that of a ``replay`` run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from harness.api.contracts import Benchmark, Scoring, TrackMetric
from harness.api.errors import DataError, HarnessError, IncompletePredictions, UsageError
from harness.api.mask_files import ids_in, read_mask_header, read_prediction
from harness.api.records import RunRecord, VideoResult, VideoScores
from harness.api.tasks import TaskName
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.planning.plan import Plan
from harness.planning.request import Request
from harness.predictions.found import opened, read_all_tracks
from harness.running.record import record_of

SHOWN = 5
SUBSET_HINT = "add what is missing, or score a subset with --videos NAME,NAME (a partial record)"


def replay_request(
    predictions: Path,
    benchmark: Benchmark,
    task: str | None = None,
    *,
    videos: tuple[str, ...] = (),
    data_root: Path | None = None,
    allow_partial: bool = False,
    rule: Scoring | None = None,
) -> Request:
    """The request of a replay run over the predictions, so that its record can be ranked beside others."""
    task = task or benchmark.tasks[0]
    scoring = rule or dict(benchmark.scorings).get(cast(TaskName, task))
    settings = {
        "directory": json.dumps(os.path.realpath(predictions)),
        "binary": json.dumps(scoring is not None and scoring.objects == "single"),
        "frames": json.dumps("inner" if scoring is not None and scoring.frames == "inner" else "all"),
    }
    return Request(
        plugin="replay",
        bench=benchmark.name,
        task=task,
        overrides=tuple(f"{key}={value}" for key, value in settings.items()),
        videos=videos,
        data_root=data_root,
        allow_partial=allow_partial,
        protocol=rule,
    )


def score(
    plan: Plan,
    predictions: Path,
    catalog: Catalog,
    *,
    workers: int | None = None,
    on_video: Callable[[VideoResult], None] = lambda result: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> tuple[RunRecord, list[VideoResult]]:
    """Score the masks or tracks in ``predictions`` (see ``harness.predictions.found``) by the plan's rule.

    Returns the record and what it was made of. Videos are worked through by ``workers`` threads (default: one a
    core). The first prediction that is missing, malformed or of a wrong id raises, and nothing is scored: there is no
    score of a part that was not asked for. ``on_note`` is told where predictions were found, and what they lack.
    """
    if not plan.benchmark.scored:
        hint = "harness pack makes the zip its server takes"
        raise DataError(f"{plan.benchmark.name} has no public truth: predictions are scored by a server", hint=hint)
    results = []
    with opened(predictions, plan.samples, plan.task.name) as found, ThreadPoolExecutor(workers or _cores()) as pool:
        if found.note:
            on_note(found.note)
        measure = _measure_of_tracks if plan.task.name == "vis" else _measure_of_masks
        try:
            for result in pool.map(measure(plan, found.place, catalog, on_note), plan.samples):
                on_video(result)
                results.append(result)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return record_of(plan, catalog, results, []), results


Measure = Callable[[Sample], VideoResult]


def _cores() -> int:
    return os.cpu_count() or 1


def _measure_of_masks(plan: Plan, folder: Path, catalog: Catalog, on_note: Callable[[str], None]) -> Measure:
    trackwise = [name for name in plan.scoring.metrics if isinstance(catalog.metrics.get(name), TrackMetric)]
    if trackwise:
        raise UsageError(f"rule {plan.scoring.version} measures tracks ({', '.join(trackwise)}); expected one of masks")
    look_over(folder, plan.samples, lambda sample: scored_frames(sample, plan.scoring))
    return lambda sample: _measured(plan, folder, catalog, sample)


def _measure_of_tracks(plan: Plan, place: Path, catalog: Catalog, on_note: Callable[[str], None]) -> Measure:
    """Tracks are read whole before the first is measured: one file holds those of all videos."""
    is_subset = bool(plan.partial_reason)
    tracks, note = read_all_tracks(place, plan.samples, is_subset=is_subset, deep=False)
    if note:
        on_note(note)
    metrics = {name: catalog.metrics.get(name) for name in plan.scoring.metrics}
    maskwise = [name for name, metric in metrics.items() if not isinstance(metric, TrackMetric)]
    if maskwise:
        raise UsageError(f"rule {plan.scoring.version} measures masks ({', '.join(maskwise)}); expected one of tracks")

    def measure(sample: Sample) -> VideoResult:
        try:
            scores = {
                name: metric.measure(sample, tracks[sample.name], plan.scoring) for name, metric in metrics.items()
            }
        except DataError:
            read_all_tracks(place, plan.samples, is_subset=is_subset)  # raises naming the entry with the broken code
            raise
        return _result(plan, sample, [], scores)

    return measure


def _measured(plan: Plan, folder: Path, catalog: Catalog, sample: Sample) -> VideoResult:
    if sample.read_truth is None:
        raise DataError(f"video {sample.name} of {plan.benchmark.name} has no truth")
    binary = plan.scoring.objects == "single"
    measurements = {name: catalog.metrics.get(name).start(sample, plan.scoring) for name in plan.scoring.metrics}
    objects: set[int] = set()
    for frame in scored_frames(sample, plan.scoring):
        path = mask_path(folder, sample, frame)
        prediction = read_prediction(path, (sample.height, sample.width), binary=binary)
        truth = sample.read_truth(frame)
        objects |= ids_in(prediction)
        try:
            for measurement in measurements.values():
                measurement.add(frame, prediction, truth)
        except DataError as error:
            raise DataError(f"{path}: {error.message}", hint=error.hint) from error
    scores = {name: measurement.finish() for name, measurement in measurements.items()}
    return _result(plan, sample, sorted(objects - {0}), scores)


def _result(plan: Plan, sample: Sample, objects: list[int], scores: dict[str, VideoScores]) -> VideoResult:
    digest = sample.digest()
    return VideoResult(
        video=sample.name,
        key=plan.video_key(sample, digest),
        digest=digest,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        objects=objects,
        scores=scores,
    )


def look_over(
    folder: Path, samples: Sequence[Sample], frames_of: Callable[[Sample], Iterable[int]], *, hint: str = SUBSET_HINT
) -> None:
    """Check that every frame asked for of every video has a mask of the right size, from the files' headers alone.

    Raises IncompletePredictions that counts what is missing and names the first few, or DataError for the first file
    that is no id map or has another size.
    """
    if not folder.is_dir():
        raise DataError.at(folder, found="no such folder", expected="one folder of PNG masks a video")
    wanted = [(sample, mask_path(folder, sample, frame)) for sample in samples for frame in frames_of(sample)]
    missing = [path for _, path in wanted if not path.is_file()]
    if missing:
        raise _incomplete(folder, samples, missing, hint)
    for sample, path in wanted:
        header = read_mask_header(path)
        if (header.height, header.width) != (sample.height, sample.width):
            raise DataError.at(
                path,
                found=f"a mask of {header.height} x {header.width} (rows x columns)",
                expected=f"{sample.height} x {sample.width} as the video's frames",
                hint="resize the masks with nearest neighbour",
            )


def scored_frames(sample: Sample, scoring: Scoring) -> Sequence[int]:
    """The frames whose predictions are opened: those with a truth; all but first and last where the rule says so."""
    if scoring.frames == "inner":
        return range(1, sample.length - 1)
    return range(sample.length) if sample.truth_frames is None else sample.truth_frames


def mask_path(folder: Path, sample: Sample, frame: int) -> Path:
    """Where the mask of one frame lies in a folder of predictions."""
    return folder / sample.name / f"{sample.frame_names[frame]}.png"


def _incomplete(folder: Path, samples: Sequence[Sample], missing: Sequence[Path], hint: str) -> HarnessError:
    absent = [sample.name for sample in samples if not (folder / sample.name).is_dir()]
    what = f"{len(absent)} of {len(samples)} videos have no folder in {folder}: {_some(absent)}"
    place, known = folder, {sample.name for sample in samples}
    if not absent:
        what = (
            f"{len(missing)} masks are missing in {folder}: {_some(str(path.relative_to(folder)) for path in missing)}"
        )
        place = missing[0].parent
        known = {f"{name}.png" for sample in samples if sample.name == place.name for name in sample.frame_names}
    others = sorted(child.name for child in place.iterdir() if child.name not in known)
    return IncompletePredictions(what + (f"; found in {place}: {_some(others)}" if others else ""), hint=hint)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (" ..." if len(listed) > SHOWN else "")
