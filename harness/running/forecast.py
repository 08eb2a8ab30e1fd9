"""What a run would do before it does it: videos and frames, how long from earlier records, how much disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError
from harness.api.mask_files import encode_mask
from harness.api.records import RunRecord, Timing
from harness.api.video import Sample
from harness.corruptions.names import split_name
from harness.leaderboard.verification import read_record
from harness.machine import machine_name
from harness.planning.plan import Plan
from harness.ranking.standings import parse_created
from harness.running.digests import ignore_note
from harness.running.folder import RunFolder
from harness.running.runner import find_finished

BLOCK = 4096
"""What a small file takes on most file systems."""


@dataclass(frozen=True)
class Forecast:
    """One run to be: ``finished`` of its videos lie in its folder already; None where nobody knows."""

    folder: Path
    task: str
    videos: int
    frames: int
    finished: int
    seconds: float | None
    based_on: str
    """The record that the seconds are made of; empty where there is none."""
    mask_bytes: int | None
    weights_bytes: int


def forecast(plan: Plan, folder: Path, records: Sequence[Path]) -> Forecast:
    """What running ``plan`` into ``folder`` would take; ``records`` are folders with records of before."""
    finished = find_finished(plan, RunFolder(folder), ignore_note) if folder.is_dir() else {}
    todo = [sample for sample in plan.samples if sample.name not in finished]
    frames = sum(sample.length for sample in todo)
    known = _find_record(plan, records)
    seconds = None if known is None or known.timing is None else _seconds(known.timing, frames, len(todo))
    return Forecast(
        folder=folder,
        task=plan.task.name,
        videos=len(plan.samples),
        frames=sum(sample.length for sample in plan.samples),
        finished=len(finished),
        seconds=0.0 if not todo else None if seconds is None else seconds / len(plan.request.devices),
        based_on="" if known is None or seconds is None else f"{known.benchmark.name}, {known.created[:10]}",
        mask_bytes=None if plan.task.returns == "tracks" else _sum_known(map(_mask_bytes, todo)),
        weights_bytes=plan.weights_path.stat().st_size if plan.weights_path else 0,
    )


def _find_record(plan: Plan, places: Sequence[Path]) -> RunRecord | None:
    """The newest record of that method, preset, precision and device on that benchmark, corrupted or not."""
    bench, _ = split_name(plan.benchmark.name)
    device = machine_name(plan.request.devices)
    paths = [
        path
        for place in places
        for name in (f"{plan.method.name}*.json", f"{plan.method.name}-*/record.json")
        for folder in (bench, f"{bench}+*")
        for path in place.glob(f"{folder}/{plan.task.name}/{name}")
    ]
    fitting = [
        record
        for record in _read_all(paths)
        if record.timing is not None
        and record.conditions.device == device
        and (record.plugin.name, record.preset) == (plan.method.name, plan.request.preset)
        and record.conditions.precision == plan.request.precision
    ]
    return max(fitting, key=parse_created, default=None)


def _read_all(paths: Iterable[Path]) -> Iterable[RunRecord]:
    for path in paths:
        try:
            yield read_record(path)
        except HarnessError:  # of an older form, or damaged: no help here, and no harm
            continue


def _seconds(timing: Timing, frames: int, videos: int) -> float | None:
    """By the e2e clock: first frames and steady ones, or the throughput of what works by whole videos."""
    if timing.throughput is not None and timing.throughput.e2e_fps:
        return frames / timing.throughput.e2e_fps
    first, steady = timing.e2e_first_frame.mean_ms, timing.e2e.mean_ms
    if first is None or steady is None:
        return None
    return (videos * first + (frames - videos) * steady) / 1000


def _mask_bytes(sample: Sample) -> int | None:
    """The size of a first mask on the disk, as often as there are frames; None where no mask is known."""
    read = sample.read_prompt if sample.prompt_frames else sample.read_truth
    first = None if read is None else read(sample.prompt_frames[0] if sample.prompt_frames else 0)
    return None if first is None else sample.length * -(-len(encode_mask(first)) // BLOCK) * BLOCK


def _sum_known(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if any(size is None for size in known) else sum(size for size in known if size is not None)
