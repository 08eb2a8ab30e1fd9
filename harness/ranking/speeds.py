"""The speed of one record: which of its clocks counts, and the frames a second by which it is ranked."""

from __future__ import annotations

from harness.api.records import RunRecord, Timing
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
    timing = timing_of(record)
    if timing is None:
        return None
    if has_throughput(record):
        return timing.throughput.model_fps if timing.throughput and timing.throughput.is_warm else None
    return timing.model.fps


def e2e_fps(record: RunRecord) -> float | None:
    """The same on the e2e clock."""
    timing = timing_of(record)
    if timing is None:
        return None
    if has_throughput(record):
        return timing.throughput.e2e_fps if timing.throughput and timing.throughput.is_warm else None
    return timing.e2e.fps
