"""Two records -> what changed, how sure that is, and whether a gate lets it pass.

Accuracy is compared video by video (paired bootstrap); speed only under equal conditions. The gate's file is described
in docs/ci-gate.md.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError, find_near
from harness.api.records import RunRecord
from harness.machine import describe_load
from harness.ranking.figures import detections_of, difference_of, figure, rows_by_video, significance_of
from harness.ranking.gate import CLOCKS, Gate
from harness.ranking.intervals import Difference, paired_difference
from harness.ranking.sides import Differing, Side, describe_side, list_differences, restrict
from harness.ranking.significance import Significance, Verdict
from harness.ranking.speeds import has_throughput
from harness.ranking.standings import parse_created

Milliseconds = Mapping[str, float]

# Conditions.group
_CONDITIONS = ("device", "threads", "precision", "tf32", "compiled", "batch", "resolutions", "workers")
_SAME = ("name", "task", "scoring", "average")


@dataclass(frozen=True)
class AccuracyChange:
    """One figure of both runs; ``difference`` is head minus base, ``videos`` the same for each video's mean.

    A figure that is no mean over videos (AP; J&F of YouTube-VOS) has no ``videos``, and no interval where the records
    do not keep what was detected. ``verdict`` is of head, and empty where there is no ``significance``.
    """

    column: str
    higher_is_better: bool
    base: float | None
    head: float | None
    difference: Difference
    videos: Mapping[str, float]
    significance: Significance | None = None
    verdict: Verdict | Literal[""] = ""


@dataclass(frozen=True)
class SpeedChange:
    """One clock of both runs; ``worse_by`` is the share by which head is worse (negative: better).

    Of frames a second it is the share by which a frame takes longer.
    """

    clock: str
    base: float
    head: float
    worse_by: float

    @property
    def words(self) -> str:
        """``worse by 12.0 %``, ``better by 42.0 %``, or ``equal``."""
        return _say_change(self.worse_by, f"{abs(self.worse_by):.1%}".replace("%", " %"))


@dataclass(frozen=True)
class Ruling:
    """One rule of the gate and whether it holds."""

    rule: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared. ``not_comparable`` says why speeds were not, and is empty where they were.

    ``frame_time`` is the ratio head / base of the mean model time a frame, paired by video, where per-video times were
    given: below 1 is faster. Its interval is over the choice of videos. Each was timed once in each run, so how much a
    repetition would differ is not in it: identical code may well have an interval that leaves out 1.
    ``common`` names the videos that everything but the clocks is of, where the runs were not on the same ones.
    """

    base: Side
    head: Side
    differences: tuple[Differing, ...]
    common: tuple[str, ...]
    accuracy: tuple[AccuracyChange, ...]
    speed: tuple[SpeedChange, ...]
    not_comparable: str
    frame_time: Difference | None
    rulings: tuple[Ruling, ...]
    notes: tuple[str, ...] = ()
    """What to know of the clocks beside them."""

    @property
    def passed(self) -> bool:
        """Whether every rule of the gate holds; True without a gate."""
        return all(ruling.passed for ruling in self.rulings)


def compare(
    base: RunRecord,
    head: RunRecord,
    gate: Gate | None = None,
    *,
    lower_is_better: Collection[str] = (),
    no_means: Collection[str] = (),
    frame_ms: tuple[Milliseconds, Milliseconds] | None = None,
    digests: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    common: bool = False,
) -> Comparison:
    """Compare two runs on the same videos of one benchmark, scored by the same rule; ``common``: on those both have.

    ``lower_is_better`` names the figures of which less is better (decay), ``no_means`` those that are no mean over the
    rows of videos: only their overall values are compared, and left out where the videos differ. ``frame_ms`` holds,
    for base and head, each video's mean model time of a frame, ``digests`` its data's SHA-256 where known. Raises
    UsageError when the runs were scored on other data or by another rule.
    """
    sides, differences = (describe_side(base), describe_side(head)), list_differences(base, head)
    notes = (*_describe_loads(base, head), *_tell_order(base, head))
    shared = _find_shared(base, head, digests, common=common)
    if shared:
        base, head = (restrict(record, shared, leave_out=no_means) for record in (base, head))
    other_conditions = why_not_comparable(base, head)
    all_videos = f"the clocks are of all {sides[0].videos} and {sides[1].videos} videos" if shared else ""
    not_comparable = other_conditions or all_videos
    accuracy = tuple(_accuracy(base, head, lower_is_better, no_means))
    speed = () if not_comparable else tuple(_speed(base, head))
    frame_time = None if other_conditions or frame_ms is None else _frame_time(*frame_ms)
    gate = gate or Gate()
    rulings = (*_rule_accuracy(gate, accuracy), *_rule_speed(gate, speed, not_comparable))
    return Comparison(*sides, differences, shared, accuracy, speed, not_comparable, frame_time, rulings, notes)


def _describe_loads(base: RunRecord, head: RunRecord) -> Iterator[str]:
    """What to know of the clocks of a run that began on a busy machine."""
    for name, record in (("base", base), ("head", head)):
        busy = describe_load(record.conditions.load_average, record.conditions.cores)
        if busy and record.timing is not None:
            yield f"note: {name} began at {busy}"


def is_a_moment(text: str) -> bool:
    """Whether a record says when it was made; a stranger's may say anything."""
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _tell_order(base: RunRecord, head: RunRecord) -> Iterator[str]:
    """That the clocks of two runs were not read in turns, and how far apart the runs ended."""
    if base.timing is not None and head.timing is not None:
        if not (is_a_moment(base.created) and is_a_moment(head.created)):
            yield "note: when one of the runs was made is not told in a way that can be read"
            return
        minutes = abs((parse_created(head) - parse_created(base)).total_seconds()) / 60
        yield (
            f"note: taken as not measured in turns: the runs ended {minutes:.0f} minutes apart, and what the machine "
            "did meanwhile is in the difference of their clocks; harness ab measures in turns, and its report says more"
        )


def why_not_comparable(base: RunRecord, head: RunRecord) -> str:
    """Why the speeds of two runs must not be compared; empty when they may."""
    for name, record in (("base", base), ("head", head)):
        if record.plugin.replays:
            return f"{name} is a replay"
        if record.timing is None:
            return f"{name} was not timed"
    if base.conditions.group == head.conditions.group:
        return ""
    pairs = zip(_CONDITIONS, base.conditions.group, head.conditions.group, strict=True)
    differing = [f"{name} {before} and {after}" for name, before, after in pairs if before != after]
    return "other conditions: " + "; ".join(differing)


def _find_shared(
    base: RunRecord, head: RunRecord, digests: tuple[Mapping[str, str], Mapping[str, str]], *, common: bool
) -> tuple[str, ...]:
    """The videos of both runs where these are not the same; UsageError where they must be, or their data differ."""
    for field in _SAME:
        found, expected = getattr(head.benchmark, field), getattr(base.benchmark, field)
        if found != expected:
            raise UsageError(
                f"head: benchmark.{field}: found {found!r}, expected {expected!r} as in base",
                hint="compare two runs on the same videos, scored by the same rule",
            )
    before, after = ([video.video for video in record.videos] for record in (base, head))
    shared = tuple(video for video in before if video in set(after))
    if set(before) == set(after):
        if base.benchmark.fingerprint != head.benchmark.fingerprint:
            raise UsageError(
                f"head: benchmark.fingerprint: found {head.benchmark.fingerprint!r}, expected "
                f"{base.benchmark.fingerprint!r} as in base: videos of the same names, other bytes",
                hint="run both on the same data; harness data fingerprint tells which they are",
            )
        return ()
    only = sorted(set(before) ^ set(after))
    if not common or not shared:
        raise UsageError(
            f"head: videos: found {len(after)}, expected the {len(before)} of base; in one only: "
            f"{', '.join(only[:5])}{' ...' if len(only) > 5 else ''}",
            hint=f"--common compares the {len(shared)} that both have" if shared else "no video is in both",
        )
    other = [video for video in shared if digests[0].get(video, "") != digests[1].get(video, "")]
    if other and all(digests):
        raise UsageError(f"video {other[0]}: the data of base and head differ (digests in their folders)")
    return shared


def _accuracy(
    base: RunRecord, head: RunRecord, lower_is_better: Collection[str], no_means: Collection[str]
) -> Iterator[AccuracyChange]:
    for columns in base.scores.values():
        for column, interval in columns.items():
            before, after = rows_by_video(base, column), rows_by_video(head, column)
            other = figure(head, column)
            if other is None:
                continue
            is_mean = column not in no_means and any(before.values()) and any(after.values())
            is_told = is_mean or (detections_of(base, column) and detections_of(head, column))
            found = significance_of(base, head, column) if is_told else None
            is_better_up = column not in lower_is_better
            yield AccuracyChange(
                column=column,
                higher_is_better=is_better_up,
                base=interval.value,
                head=other.value,
                difference=difference_of(base, head, column)
                if is_told
                else _plain_difference(interval.value, other.value),
                videos=_by_video(before, after) if is_mean else {},
                significance=found,
                verdict=found.judge(higher_is_better=is_better_up) if found and found.videos else "",
            )


def _plain_difference(base: float | None, head: float | None) -> Difference:
    return Difference(value=None if base is None or head is None else head - base)


def _by_video(
    before: Mapping[str, Sequence[float | None]], after: Mapping[str, Sequence[float | None]]
) -> dict[str, float]:
    changes = {}
    for video in before:
        old, new = (_mean(rows[video]) for rows in (before, after))
        if old is not None and new is not None:
            changes[video] = new - old
    return dict(sorted(changes.items(), key=lambda item: (item[1], item[0])))


def _mean(rows: Sequence[float | None]) -> float | None:
    known = [row for row in rows if row is not None]
    return sum(known) / len(known) if known else None


def _clock(record: RunRecord, name: str) -> float | None:
    timing = record.timing
    if timing is None:
        return None
    if has_throughput(record):  # its steady frames are not its speed
        return {
            "model_first_frame_ms": timing.model_first_frame.mean_ms,
            "throughput_fps": timing.throughput.model_fps if timing.throughput else None,
            "model_cpu_ms": timing.model_cpu_ms,
            "added_memory_mib": timing.added_memory_mib,
        }.get(name)
    return {
        "model_fps": timing.model.fps,
        "model_cpu_ms": timing.model_cpu_ms,
        "model_p90_ms": timing.model.p90_ms,
        "model_first_frame_ms": timing.model_first_frame.mean_ms,
        "e2e_fps": timing.e2e.fps,
        "e2e_p90_ms": timing.e2e.p90_ms,
        "added_memory_mib": timing.added_memory_mib,
    }.get(name)


def _speed(base: RunRecord, head: RunRecord) -> Iterator[SpeedChange]:
    for name in CLOCKS:
        before, after = _clock(base, name), _clock(head, name)
        if before and after:
            worse_by = before / after - 1 if name.endswith("fps") else after / before - 1
            yield SpeedChange(name, before, after, worse_by)


def _frame_time(before: Milliseconds, after: Milliseconds) -> Difference | None:
    """The ratio of times as a geometric mean over the videos timed in both: a difference of logarithms."""
    shared = sorted(set(before) & set(after))
    logs = [{video: [math.log(times[video])] for video in shared} for times in (before, after)]
    found = paired_difference(*logs, average="sequences")
    if found.value is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Difference(value=math.exp(found.value), low=low, high=high, doubt=found.doubt)


def _rule_accuracy(gate: Gate, changes: Sequence[AccuracyChange]) -> Iterator[Ruling]:
    by_column = {change.column: change for change in changes}
    for column, rule in gate.accuracy.items():
        change = by_column.get(column)
        if change is None or change.head is None or change.difference.value is None:
            near = find_near(column, by_column)
            known = (f"did you mean {near!r}? " if near else "") + f"compared: {', '.join(by_column) or 'none'}"
            yield Ruling(f"{column} is there", False, f"not compared; {known}")
            continue
        sign = 1 if change.higher_is_better else -1
        if rule.at_worst is not None:
            held = sign * change.head >= sign * rule.at_worst
            yield Ruling(f"{column} at worst {rule.at_worst:g}", held, f"{change.head:.4f}")
        if rule.max_loss is not None:
            words = f"{column} worse by at most {rule.max_loss:g}" + (", if clear" if rule.only_if_clear else "")
            if rule.only_if_clear and change.significance is None:
                yield Ruling(words, False, "no interval, since it is no mean over videos; leave out only_if_clear")
                continue
            loss = -sign * change.difference.value
            held = loss <= rule.max_loss or (rule.only_if_clear and change.verdict != "worse")
            yield Ruling(words, held, _say_change(loss, f"{abs(loss):.4f}"))


def _rule_speed(gate: Gate, changes: Sequence[SpeedChange], not_comparable: str) -> Iterator[Ruling]:
    by_clock = {change.clock: change for change in changes}
    for clock, rule in gate.speed.items():
        words = f"{clock} worse by at most {100 * rule.max_loss:.3g} %"
        change = by_clock.get(clock)
        if change is None:
            reason = not_comparable or f"{clock} is missing in one run"
            yield Ruling(words, gate.when_not_comparable == "skip", f"not compared: {reason}")
        else:
            yield Ruling(words, change.worse_by <= rule.max_loss, change.words)


def _say_change(loss: float, amount: str) -> str:
    """``worse by`` or ``better by`` the amount; never worse by less than nothing."""
    if not loss:
        return "equal"
    return f"worse by {amount}" if loss > 0 else f"better by {amount}"
