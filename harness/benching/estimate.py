"""How long points of growth will take, before the first of them: each method on three small clips, and a power law.

A method's time for a frame is taken to go with a power of the pixels, 0 to 2 (2: every position is compared with every
other one), and by an equal step with every object. That is enough to tell a minute from a day, and no more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.api.records import Timing
from harness.benching.clip import Clip
from harness.benching.growth import Measure
from harness.benching.kept_points import KeptPoints
from harness.benching.point import measure_point
from harness.planning.request import Request

PROBE_FRAMES = 12
PROBE_ROWS = (90, 135)
PROBE_SECONDS = 60.0
"""What takes longer is not estimated: it learns while it runs, and says so by that."""


@dataclass(frozen=True)
class Probe:
    """What was seen of a method on one small clip: seconds of a steady frame, and of all else together."""

    clip: Clip
    frame_seconds: float
    other_seconds: float


@dataclass(frozen=True)
class Law:
    """What the probes of one method say of any clip."""

    base: Probe
    power: float
    """Of the number of pixels."""
    step: float
    """By how much of itself a frame gets longer with each further object."""

    def seconds_of(self, clip: Clip) -> float:
        """About how long a process with that clip takes."""
        small = self.base.clip
        pixels = clip.height * clip.width / (small.height * small.width)
        objects = 1 + self.step * (clip.objects - small.objects)
        return self.base.other_seconds + clip.frames * self.base.frame_seconds * pixels**self.power * objects


def list_probes(clips: Sequence[Clip]) -> list[Clip]:
    """Two sizes with the fewest objects, and where these vary the smaller one with the most."""
    fewest, most = min(clip.objects for clip in clips), max(clip.objects for clip in clips)
    small, large = ((rows, -(-rows * 16 // 9)) for rows in PROBE_ROWS)
    probes = [Clip(*small, PROBE_FRAMES, fewest), Clip(*large, PROBE_FRAMES, fewest)]
    return probes if most == fewest else [*probes, Clip(*small, PROBE_FRAMES, most)]


def read_probe(clip: Clip, timing: Timing | None, seconds: float) -> Probe | None:
    """What one small clip says, whose process took so many seconds; None where nothing was timed."""
    frame = None if timing is None else _frame_seconds(timing)
    return None if frame is None else Probe(clip, frame, max(0.0, seconds - clip.frames * frame))


def _frame_seconds(timing: Timing) -> float | None:
    if timing.throughput is not None:
        return None if not timing.throughput.e2e_fps else 1 / timing.throughput.e2e_fps
    return None if timing.e2e.mean_ms is None else timing.e2e.mean_ms / 1000


def find_law(probes: Sequence[Probe | None]) -> Law | None:
    """The law that the probes of ``list_probes`` give, in their order; None where one is missing."""
    if not probes or any(probe is None for probe in probes):
        return None
    small, large, *many = [probe for probe in probes if probe is not None]
    areas = (large.clip.height * large.clip.width) / (small.clip.height * small.clip.width)
    power = math.log(max(large.frame_seconds, 1e-9) / max(small.frame_seconds, 1e-9)) / math.log(areas)
    step = 0.0
    if many:
        further = many[0].clip.objects - small.clip.objects
        step = max(0.0, (many[0].frame_seconds / max(small.frame_seconds, 1e-9) - 1) / further)
    return Law(small, min(2.0, max(0.0, power)), step)


def estimate_growth(
    requests: Sequence[Request],
    clips: Sequence[Clip],
    *,
    announce: Callable[[str], None] = lambda line: None,
    measure: Measure = measure_point,
    kept: KeptPoints | None = None,
) -> dict[tuple[str, Clip], float | None]:
    """About how many seconds each method takes for each clip; None where a probe failed or took too long."""
    found: dict[tuple[str, Clip], float | None] = {}
    for request in requests:
        announce(f"{request.plugin}: on small clips, for an estimate")
        law = find_law(list(_probe(request, list_probes(clips), measure, kept)))
        found |= {(request.plugin, clip): None if law is None else law.seconds_of(clip) for clip in clips}
    return found


def _probe(
    request: Request, clips: Sequence[Clip], measure: Measure, kept: KeptPoints | None
) -> Iterator[Probe | None]:
    """One after the other, up to the first that says nothing."""
    for clip in clips:
        before = None if kept is None else kept.find(request, clip)
        begun = time.monotonic()
        row = before[0] if before is not None else measure(request, clip, PROBE_SECONDS)
        spent = before[1] if before is not None else time.monotonic() - begun
        if kept is not None and before is None:
            kept.keep(request, clip, row, spent)
        probe = read_probe(clip, row.timing, spent)
        yield probe
        if probe is None:
            return
