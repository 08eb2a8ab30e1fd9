"""The speed of one record: which of its clocks counts, and the frames a second by which it is ranked."""

from __future__ import annotations

from collections.abc import Callable

from harness.api.records import RunRecord, Throughput, Timing
from harness.api.tasks import works_by_video


def timing_of(record: RunRecord) -> Timing | None:
    """The clocks, or None for a replay: the speed of showing old masks says nothing of the method."""
    return None if record.plugin.replays else record.timing


def has_throughput(record: RunRecord) -> bool:
    """Whether its speed is a throughput over whole videos: offline methods, and tracks."""
    return works_by_video(record.benchmark.task, record.plugin.causality)


def model_fps(record: RunRecord) -> float | None:
    """Frames a second on the model clock by which the record is ranked.

    Steady frames, or throughput for what works by whole videos; None where nothing was timed, where nothing but the
    warm-up was, and for a replay.
    """
    return _fps(record, lambda timing: timing.model.fps, lambda throughput: throughput.model_fps)


def e2e_fps(record: RunRecord) -> float | None:
    """The same on the e2e clock."""
    return _fps(record, lambda timing: timing.e2e.fps, lambda throughput: throughput.e2e_fps)


def _fps(
    record: RunRecord, steady: Callable[[Timing], float | None], whole: Callable[[Throughput], float | None]
) -> float | None:
    timing = timing_of(record)
    if timing is None:
        return None
    if has_throughput(record):
        return whole(timing.throughput) if timing.throughput and timing.throughput.is_warm else None
    return steady(timing)
