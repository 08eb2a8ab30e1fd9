"""How time and memory of a method grow with frames, objects and size of its video, one of the three at a time."""

from __future__ import annotations

import csv
import datetime as dt
import io
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.api.errors import UsageError
from harness.api.foreign import is_interrupt
from harness.api.records import Conditions, Number, Timing, Whole
from harness.benching.clip import Clip
from harness.benching.kept_points import KeptPoints
from harness.benching.methods import MethodRow
from harness.benching.point import measure_point
from harness.machine import conditions
from harness.planning.request import Request
from harness.version import __version__

GROWTH_SCHEMA: Final = "harness.growth/1"
Axis = Literal["frames", "objects", "size"]
AXES: tuple[Axis, ...] = ("frames", "objects", "size")
Measure = Callable[[Request, Clip, float | None], MethodRow]
Estimates = Mapping[tuple[str, Clip], float | None]
"""About how many seconds a method takes for a clip; None where nobody knows."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class GrowthPoint(_Part):
    """One method on one clip."""

    plugin: str
    task: str = ""
    frames: Whole
    objects: Whole
    height: Whole
    width: Whole
    state: Literal["measured", "failed", "not measured"] = "measured"
    """The last: the time was over before its turn came."""
    frame_ms: Number | None = None
    """Model clock, mean: of steady frames, or of all frames of what works by whole videos."""
    frame_cpu_ms: Number | None = None
    """The same in CPU time."""
    first_frame_ms: Number | None = None
    added_memory_mib: Number | None = None
    """What the method takes, as in a record."""
    process_mib: list[tuple[Whole, Number]] = []
    """So many frames done -> memory of the whole process."""
    cpu_seconds: Number = 0.0
    """Of the whole process, from the plan to the record."""
    seconds: Number = 0.0
    estimated_seconds: Number | None = None
    """What was expected of ``seconds`` before anything was measured."""
    problem: str = ""

    def place_on(self, axis: Axis) -> int:
        """Where the point stands on that axis; a size is its rows."""
        return int({"frames": self.frames, "objects": self.objects, "size": self.height}[axis])


class GrowthReport(_Part):
    """All points; ``base`` is the clip that the others differ from in one thing."""

    schema_: Literal["harness.growth/1"] = Field(GROWTH_SCHEMA, alias="schema")
    created: str
    harness_version: str
    base: tuple[Whole, Whole, Whole]
    """Frames, objects, rows."""
    conditions: Conditions
    """Before the first method ran."""
    points: list[GrowthPoint]

    def curve(self, plugin: str, axis: Axis) -> list[GrowthPoint]:
        """The points of a method that differ from the base along that axis alone, in its order."""
        others = [(name, value) for name, value in zip(AXES, self.base, strict=True) if name != axis]
        fitting = [
            point
            for point in self.points
            if point.plugin == plugin and all(point.place_on(name) == value for name, value in others)
        ]
        return sorted(fitting, key=lambda point: point.place_on(axis))

    def as_csv(self) -> str:
        """One line a point, without the memory over frames."""
        text = io.StringIO()
        heads = [name for name in GrowthPoint.model_fields if name != "process_mib"]
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*heads, "process_mib_at_the_end"])
        for point in self.points:
            last = point.process_mib[-1][1] if point.process_mib else None
            lines.writerow([*(getattr(point, name) for name in heads), last])
        return text.getvalue()


def width_of(height: int) -> int:
    """Columns of a clip of so many rows at 16:9: 427 of 240, 854 of 480, 1920 of 1080, 3840 of 2160.

    >>> [width_of(rows) for rows in (240, 480, 1080, 2160)]
    [427, 854, 1920, 3840]
    """
    return -(-height * 16 // 9)


def list_clips(frames: Sequence[int], objects: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[Clip]:
    """The base, the first of each, and the clips that differ from it in one; each once, the quickest first.

    UsageError for what is no clip.
    """
    (height, width), base = sizes[0], (frames[0], objects[0])
    clips = [Clip(height, width, *base)]
    clips += [Clip(height, width, count, base[1]) for count in frames]
    clips += [Clip(height, width, base[0], count) for count in objects]
    clips += [Clip(*size, *base) for size in sizes]
    if len({clip.height for clip in clips}) < len({(clip.height, clip.width) for clip in clips}):
        raise UsageError("two sizes of the same rows cannot be told apart on the axis of sizes")
    return sorted(dict.fromkeys(clips), key=lambda clip: clip.height * clip.width * clip.frames * clip.objects)


def measure_growth(
    requests: Sequence[Request],
    clips: Sequence[Clip],
    base: Clip,
    *,
    seconds: float | None = None,
    announce: Callable[[str], None] = lambda line: None,
    measure: Measure = measure_point,
    kept: KeptPoints | None = None,
    estimates: Estimates = MappingProxyType({}),
) -> tuple[GrowthReport, bool]:
    """Measure every request on every clip, each in a process of its own; and whether Ctrl-C ended it before its time.

    What is ``kept`` is taken as it is. The quickest by their ``estimates`` come first, those without one last; without
    any, clip by clip. ``seconds`` are for all together, and end the point under way.
    """
    found = conditions(requests[0].device, requests[0].precision, resolutions=[], objects=[], executor="inline")
    started, points, is_interrupted = time.monotonic(), [], False
    for request, clip in order_points(requests, clips, estimates):
        told = estimates.get((request.plugin, clip))
        before = None if kept is None else kept.find(request, clip)
        if before is not None:
            points.append(_point_of(before[0], clip, before[1], told))
            continue
        left = None if seconds is None else seconds - (time.monotonic() - started)
        if is_interrupted or (left is not None and left <= 0):
            why = "interrupted" if is_interrupted else "the time was over"
            points.append(_point(request.plugin, clip, "not measured", problem=why, estimated=told))
            continue
        announce(f"{request.plugin} on {clip.name}" + ("" if told is None else f", about {told:.0f} s"))
        begun = time.monotonic()
        try:
            row = measure(request, clip, left)
        except BaseException as error:
            if not is_interrupt(error):
                raise
            is_interrupted = True
            points.append(_point(request.plugin, clip, "not measured", problem="interrupted", estimated=told))
            continue
        spent = time.monotonic() - begun
        if kept is not None:
            kept.keep(request, clip, row, spent)
        if row.timing is None and left is not None and spent >= left:
            over = _point(request.plugin, clip, "not measured", problem=row.problem, seconds=spent, estimated=told)
            points.append(over)
        else:
            points.append(_point_of(row, clip, spent, told))
        if row.problem:
            announce(f"{request.plugin} on {clip.name}: {row.problem}")
    report = GrowthReport(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        base=(base.frames, base.objects, base.height),
        conditions=found.model_copy(
            update={
                "resolutions": sorted({f"{clip.width}x{clip.height}" for clip in clips}),
                "objects": sorted({clip.objects for clip in clips}),
            }
        ),
        points=points,
    )
    return report, is_interrupted


def order_points(
    requests: Sequence[Request], clips: Sequence[Clip], estimates: Estimates
) -> list[tuple[Request, Clip]]:
    """The quickest first; what has no estimate stays in its order, behind."""
    pairs = [(request, clip) for clip in clips for request in requests]
    times = [estimates.get((request.plugin, clip)) for request, clip in pairs]
    order = sorted(range(len(pairs)), key=lambda place: (times[place] is None, times[place] or 0.0))
    return [pairs[place] for place in order]


def _point(
    plugin: str,
    clip: Clip,
    state: Literal["failed", "not measured"],
    *,
    problem: str,
    seconds: float = 0.0,
    task: str = "",
    estimated: float | None = None,
) -> GrowthPoint:
    return GrowthPoint(
        plugin=plugin,
        task=task,
        frames=clip.frames,
        objects=clip.objects,
        height=clip.height,
        width=clip.width,
        state=state,
        problem=problem,
        seconds=seconds,
        estimated_seconds=estimated,
    )


def _point_of(row: MethodRow, clip: Clip, seconds: float, estimated: float | None) -> GrowthPoint:
    if row.timing is None or row.problem:
        problem = row.problem or "nothing was timed"
        return _point(row.plugin, clip, "failed", problem=problem, seconds=seconds, task=row.task, estimated=estimated)
    return GrowthPoint(
        plugin=row.plugin,
        task=row.task,
        frames=clip.frames,
        objects=clip.objects,
        height=clip.height,
        width=clip.width,
        frame_ms=_frame_ms(row.timing),
        frame_cpu_ms=row.timing.model_cpu_ms,
        first_frame_ms=row.timing.model_first_frame.mean_ms,
        added_memory_mib=row.timing.added_memory_mib,
        process_mib=row.process_mib,
        cpu_seconds=row.cpu_seconds,
        seconds=seconds,
        estimated_seconds=estimated,
    )


def _frame_ms(timing: Timing) -> float | None:
    if timing.throughput is not None:
        return 1000 * timing.throughput.model_seconds / timing.throughput.frames
    return timing.model.mean_ms
