"""Two records -> what changed, how sure that is, and whether a gate lets it pass.

Accuracy is compared video by video (paired bootstrap); speed only under equal conditions. The gate's file is described
in docs/ci-gate.md.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.api.errors import UsageError
from harness.api.plain_files import LARGEST_TEXT, decode_text, read_plain
from harness.api.records import RunRecord
from harness.ranking.intervals import Difference, paired_difference
from harness.ranking.standings import difference_of, figure, has_throughput, rows_by_video

ClockName = Literal[
    "model_fps", "model_p90_ms", "model_first_frame_ms", "e2e_fps", "e2e_p90_ms", "throughput_fps", "added_memory_mib"
]
CLOCKS: tuple[ClockName, ...] = get_args(ClockName)
"""The speed and memory figures that are compared; fps is better when higher, the others when lower."""
Milliseconds = Mapping[str, float]

_Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Conditions.group
_CONDITIONS = ("device", "threads", "precision", "tf32", "compiled", "batch", "resolutions", "workers")
_SAME = ("name", "task", "scoring", "average", "fingerprint")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AccuracyRule(_Table):
    """How much worse a figure may get, and how bad it may be; fractions, not per cent."""

    max_loss: _Share | None = None
    at_worst: Annotated[float, Field(allow_inf_nan=False)] | None = None
    only_if_clear: bool = False
    """A loss counts only when its paired interval leaves out zero."""


class SpeedRule(_Table):
    """By which share a clock or the memory may get worse (0.1: a tenth)."""

    max_loss: _Share


class Gate(_Table):
    """The whole file: rules by name of figure and of clock."""

    accuracy: dict[str, AccuracyRule] = {}
    speed: dict[ClockName, SpeedRule] = {}
    when_not_comparable: Literal["fail", "skip"] = "fail"
    """What a speed rule means where the two runs' conditions differ or a clock is missing."""


@dataclass(frozen=True)
class AccuracyChange:
    """One figure of both runs; ``difference`` is head minus base, ``videos`` the same for each video's mean.

    A figure that is no mean over videos (AP; J&F of YouTube-VOS) has no interval and no ``videos``.
    """

    column: str
    higher_is_better: bool
    base: float | None
    head: float | None
    difference: Difference
    videos: Mapping[str, float]


@dataclass(frozen=True)
class SpeedChange:
    """One clock of both runs; ``worse_by`` is the share by which head is worse (negative: better)."""

    clock: str
    base: float
    head: float
    worse_by: float


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
    """

    accuracy: tuple[AccuracyChange, ...]
    speed: tuple[SpeedChange, ...]
    not_comparable: str
    frame_time: Difference | None
    rulings: tuple[Ruling, ...]

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
) -> Comparison:
    """Compare two runs on the same videos of one benchmark, scored by the same rule.

    ``lower_is_better`` names the figures of which less is better (decay), ``no_means`` those that are no mean over the
    rows of videos: only their overall values are compared. ``frame_ms`` holds, for base and head, each
    video's mean model time of a frame. Raises UsageError when the runs were scored on other data or by another
    rule.
    """
    _refuse_other_data(base, head)
    not_comparable = why_not_comparable(base, head)
    accuracy = tuple(_accuracy(base, head, lower_is_better, no_means))
    speed = () if not_comparable else tuple(_speed(base, head))
    frame_time = None if not_comparable or frame_ms is None else _frame_time(*frame_ms)
    gate = gate or Gate()
    rulings = [*_rule_accuracy(gate, accuracy), *_rule_speed(gate, speed, not_comparable)]
    return Comparison(accuracy, speed, not_comparable, frame_time, tuple(rulings))


def read_gate(path: Path) -> Gate:
    """Read the rules of a gate."""
    try:
        return gate_from(tomllib.loads(decode_text(read_plain(path, largest=LARGEST_TEXT))), str(path))
    except OSError as error:
        raise UsageError(f"{path}: found nothing readable ({error.strerror}), expected a gate") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and numbers of 5000 digits
        raise UsageError(f"{path}: found no TOML ({error}), expected a gate", hint="docs/ci-gate.md") from error


def gate_from(data: Mapping[str, Any], where: str) -> Gate:
    """A gate from parsed TOML; UsageError names the key that is wrong."""
    try:
        gate = Gate.model_validate(dict(data))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"{where}: {key}: found {problem['input']!r:.200}, expected otherwise: {problem['msg']}",
            hint="docs/ci-gate.md lists every key",
        ) from error
    empty = [name for name, rule in gate.accuracy.items() if rule.max_loss is None and rule.at_worst is None]
    if empty:
        raise UsageError(f"{where}: accuracy.{empty[0]}: found no limit, expected max_loss or at_worst or both")
    if not gate.accuracy and not gate.speed:
        raise UsageError(f"{where}: found no rule, expected one under [accuracy] or [speed] at least")
    return gate


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


def _refuse_other_data(base: RunRecord, head: RunRecord) -> None:
    for field in _SAME:
        found, expected = getattr(head.benchmark, field), getattr(base.benchmark, field)
        if found != expected:
            raise UsageError(
                f"head: benchmark.{field}: found {found!r}, expected {expected!r} as in base",
                hint="compare two runs on the same videos, scored by the same rule",
            )
    videos = [{video.video for video in record.videos} for record in (base, head)]
    if videos[0] != videos[1]:
        only = sorted(videos[0] ^ videos[1])
        raise UsageError(
            f"head: videos: found {len(videos[1])}, expected the {len(videos[0])} of base; in one only: "
            f"{', '.join(only[:5])}"
        )


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
            yield AccuracyChange(
                column=column,
                higher_is_better=column not in lower_is_better,
                base=interval.value,
                head=other.value,
                difference=difference_of(base, head, column)
                if is_mean
                else _plain_difference(interval.value, other.value),
                videos=_by_video(before, after) if is_mean else {},
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
            "added_memory_mib": timing.added_memory_mib,
        }.get(name)
    return {
        "model_fps": timing.model.fps,
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
            known = ", ".join(by_column) or "none"
            yield Ruling(f"{column} is there", False, f"not compared; compared: {known}")
            continue
        sign = 1 if change.higher_is_better else -1
        if rule.at_worst is not None:
            held = sign * change.head >= sign * rule.at_worst
            yield Ruling(f"{column} at worst {rule.at_worst:g}", held, f"{change.head:.4f}")
        if rule.max_loss is not None:
            words = f"{column} worse by at most {rule.max_loss:g}" + (", if clear" if rule.only_if_clear else "")
            if rule.only_if_clear and not change.videos:
                yield Ruling(words, False, "no interval, since it is no mean over videos; leave out only_if_clear")
                continue
            loss = -sign * change.difference.value
            held = loss <= rule.max_loss or (rule.only_if_clear and not change.difference.is_clear)
            yield Ruling(words, held, f"{change.difference.value:+.4f}")


def _rule_speed(gate: Gate, changes: Sequence[SpeedChange], not_comparable: str) -> Iterator[Ruling]:
    by_clock = {change.clock: change for change in changes}
    for clock, rule in gate.speed.items():
        words = f"{clock} worse by at most {rule.max_loss:.0%}"
        change = by_clock.get(clock)
        if change is None:
            reason = not_comparable or f"{clock} is missing in one run"
            yield Ruling(words, gate.when_not_comparable == "skip", f"not compared: {reason}")
        else:
            yield Ruling(words, change.worse_by <= rule.max_loss, f"{change.worse_by:+.1%}")
