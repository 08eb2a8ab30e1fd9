"""Masks made elsewhere, scored without running anything: looked over first, then read and measured video by video.

No torch, no frames: what ``harness score`` does for a folder of PNGs. The record is that of a ``replay`` run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.api.contracts import Scoring
from harness.api.errors import DataError, HarnessError, IncompletePredictions
from harness.api.mask_files import ids_in, read_mask_header, read_prediction
from harness.api.records import RunRecord, VideoResult
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.plan import Plan
from harness.summary import record_of

SHOWN = 5


def score(
    plan: Plan,
    folder: Path,
    catalog: Catalog,
    *,
    workers: int | None = None,
    on_video: Callable[[VideoResult], None] = lambda result: None,
) -> tuple[RunRecord, list[VideoResult]]:
    """Score the masks in ``folder`` by the plan's rule; returns the record and what it was made of.

    Videos are worked through by ``workers`` threads (default: one a core). The first mask that is missing, malformed
    or of a wrong id raises, and nothing is scored: there is no score of a part that was not asked for.
    """
    if not plan.benchmark.scored:
        raise DataError(f"{plan.benchmark.name} has no public truth: its masks are scored by a server")
    look_over(folder, plan.samples, plan.scoring)
    results = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            for result in pool.map(lambda sample: _measured(plan, folder, catalog, sample), plan.samples):
                on_video(result)
                results.append(result)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return record_of(plan, catalog, results, []), results


def _measured(plan: Plan, folder: Path, catalog: Catalog, sample: Sample) -> VideoResult:
    if sample.read_truth is None:
        raise DataError(f"video {sample.name} of {plan.benchmark.name} has no truth")
    binary, opened = plan.scoring.objects == "single", set(scored_frames(sample, plan.scoring))
    measurements = {name: catalog.metrics.get(name).start(sample, plan.scoring) for name in plan.scoring.metrics}
    objects: set[int] = set()
    for frame in range(sample.length):
        if frame not in opened:
            continue
        path = _path(folder, sample, frame)
        prediction = read_prediction(path, (sample.height, sample.width), binary=binary)
        truth = sample.read_truth(frame)
        objects |= ids_in(prediction)
        for measurement in measurements.values():
            measurement.add(frame, prediction, truth)
    digest = sample.digest()
    return VideoResult(
        video=sample.name,
        key=plan.video_key(sample, digest),
        digest=digest,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        objects=sorted(objects - {0}),
        scores={name: measurement.finish() for name, measurement in measurements.items()},
    )


def look_over(folder: Path, samples: Sequence[Sample], scoring: Scoring) -> None:
    """Check that every scored frame of every video has a mask of the right size, from the files' headers alone.

    Raises IncompletePredictions that counts what is missing and names the first few, or DataError for the first file
    that is no id map or has another size.
    """
    if not folder.is_dir():
        raise DataError.at(folder, found="no such folder", expected="one folder of PNG masks a video")
    missing = [path for sample in samples for path in _scored_files(folder, sample, scoring) if not path.is_file()]
    if missing:
        raise _incomplete(folder, samples, missing)
    for sample in samples:
        for path in _scored_files(folder, sample, scoring):
            header = read_mask_header(path)
            if (header.height, header.width) != (sample.height, sample.width):
                raise DataError.at(
                    path,
                    found=f"a mask of {header.height} x {header.width} (rows x columns)",
                    expected=f"{sample.height} x {sample.width} as the video's frames",
                    hint="resize the masks with nearest neighbour",
                )


def scored_frames(sample: Sample, scoring: Scoring) -> range:
    """The frames whose predictions are opened: without the first and last where the rule leaves them out."""
    return range(1, sample.length - 1) if scoring.frames == "inner" else range(sample.length)


def _path(folder: Path, sample: Sample, frame: int) -> Path:
    return folder / sample.name / f"{sample.frame_names[frame]}.png"


def _scored_files(folder: Path, sample: Sample, scoring: Scoring) -> Iterator[Path]:
    return (_path(folder, sample, frame) for frame in scored_frames(sample, scoring))


def _incomplete(folder: Path, samples: Sequence[Sample], missing: Sequence[Path]) -> HarnessError:
    absent = [sample.name for sample in samples if not (folder / sample.name).is_dir()]
    what = f"{len(absent)} of {len(samples)} videos have no folder in {folder}: {', '.join(absent[:SHOWN])}"
    if not absent:
        names = ", ".join(str(path.relative_to(folder)) for path in missing[:SHOWN])
        what = f"{len(missing)} masks are missing in {folder}: {names}"
    more = " ..." if max(len(absent), 0 if absent else len(missing)) > SHOWN else ""
    return IncompletePredictions(
        what + more,
        hint="add what is missing, or score a subset with --videos NAME,NAME (a partial record)",
    )
