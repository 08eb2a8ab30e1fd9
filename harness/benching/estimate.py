"""How long points of growth will take, before the first of them: each method on small clips, and a law of two parts.

A method's time for a frame is taken to have a part that goes with the pixels and one that goes with their square (where
every position is compared with every other one), and to grow by an equal step with every object. That is enough to tell
a minute from a day, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from harness.api.dataclass import dataclass
from harness.api.records import Timing
from harness.benching.clip import Clip
from harness.benching.growth import Measure
from harness.benching.kept_points import KeptPoints
from harness.benching.point import measure_point
from harness.planning.request import Request

PROBE_FRAMES = 12
PROBE_ROWS = (120, 270)
PROBE_SECONDS = 120.0
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

    linear: float
    """Seconds of a frame for each pixel."""
    square: float
    """And for each pixel, times all pixels."""
    step: float
    """By how much of itself a frame gets longer with each further object than ``objects``."""
    objects: int
    other_seconds: float

    def seconds_of(self, clip: Clip) -> float:
        """About how long a process with that clip takes."""
        pixels = clip.height * clip.width
        frame = self.linear * pixels + self.square * pixels**2
        return self.other_seconds + clip.frames * frame * (1 + self.step * (clip.objects - self.objects))


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
    few, most = (probe.clip.height * probe.clip.width for probe in (small, large))
    per_pixel = small.frame_seconds / few, large.frame_seconds / most
    square = max(0.0, (per_pixel[1] - per_pixel[0]) / (most - few))
    linear = max(0.0, per_pixel[1] - square * most)
    step = 0.0
    if many and small.frame_seconds:
        further = many[0].clip.objects - small.clip.objects
        step = max(0.0, (many[0].frame_seconds / small.frame_seconds - 1) / further)
    return Law(linear, square, step, small.clip.objects, small.other_seconds)


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
