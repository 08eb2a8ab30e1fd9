"""Decides whether a record can be believed: is it what it says it is, and do its figures agree with each other?

Records come from strangers. ``harness.files.read_json`` guards the parser, ``read_record`` the form, ``verify_record``
the content, ``verify_place`` the name of the file. All of them raise VerificationFailed naming file, field, found and
expected.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

from pydantic import ValidationError

from harness.api.contracts import RULES, Column, Rule
from harness.api.errors import HarnessError, VerificationFailed
from harness.api.published import PUBLISHED_SCHEMA, PublishedPaper
from harness.api.records import RUN_SCHEMA, Interval, Latency, RunRecord, Throughput, is_safe_video_name
from harness.api.tasks import TASKS, TaskName
from harness.catalog import Catalog, Shelf
from harness.files import parse_json, read_json
from harness.leaderboard.expectations import expect, expect_equal, shorten
from harness.leaderboard.rows import expect_possible, verify_objects, verify_rows
from harness.ranking.figures import mean_of, rows_by_video
from harness.ranking.precision import THRESHOLDS, resample_figures

LARGEST_RECORD = 8 * 2**20
"""Bytes. A record of 500 videos with two objects each has about half a megabyte."""
MOST_COUNTED = 10**12
HIGHEST_FPS = 1e9
"""A frame a nanosecond, the finest tick of the clocks."""
_VERSION = re.compile(r"/([1-9][0-9]{0,8})\Z")
_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class _Checked(Protocol):
    """A model of pydantic, or a record."""

    @classmethod
    def model_validate(cls, value: Any, /, *, strict: bool) -> Self: ...


M = TypeVar("M", bound=_Checked)
T = TypeVar("T")
_NO_FIELD = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a field too many, of a model and of a dataclass."""


def read_record(path: Path) -> RunRecord:
    """Read a record that anybody may have written; its figures are not checked yet."""
    return _validate(RunRecord, read_json(path, largest=LARGEST_RECORD), RUN_SCHEMA, path)


def parse_record(content: bytes, path: Path) -> RunRecord:
    """The record that ``read_record`` would read from a file ``path`` of this content."""
    expect(path, "size", f"{len(content)} bytes", len(content) <= LARGEST_RECORD, f"at most {LARGEST_RECORD}")
    return _validate(RunRecord, parse_json(content, path), RUN_SCHEMA, path)


def read_published(path: Path) -> PublishedPaper:
    """Read a file of figures printed in a paper."""
    paper = _validate(PublishedPaper, read_json(path, largest=LARGEST_RECORD), PUBLISHED_SCHEMA, path)
    for number, row in enumerate(paper.rows):
        expect(path, f"rows.{number}.task", row.task, row.task in TASKS, f"one of {', '.join(TASKS)}")
    return paper


def verify_place(record: RunRecord, path: Path, root: Path) -> None:
    """Check that ``path`` is ``root``/<benchmark>/<task>/<method>[-<suffix>].json, as the record itself says."""
    bench, task, method = record.benchmark.name, record.benchmark.task, record.plugin.name
    try:
        folders = path.relative_to(root).parts[:-1]
    except ValueError:
        raise VerificationFailed(f"{path}: expected a file under {root}") from None
    expect(path, "folder", "/".join(folders) or "(none)", folders == (bench, task), f"{bench}/{task}")
    name = path.name
    rest = name.removeprefix(method).removesuffix(".json")
    fits = name.startswith(method) and name.endswith(".json") and (not rest or is_suffix(rest.removeprefix("-")))
    fits = fits and (not rest or rest.startswith("-"))
    expect(path, "file name", name, fits, f"{method}.json or {method}-<suffix>.json")


def is_suffix(text: str) -> bool:
    """Whether ``text`` may end a record's file name: letters, digits, dot, plus, underscore and hyphen."""
    return _SUFFIX.fullmatch(text) is not None


def verify_record(record: RunRecord, path: Path, catalog: Catalog, *, now: dt.datetime | None = None) -> None:
    """Check the content of a record against itself and against the benchmark and metrics that are installed."""
    _verify_run(record, path, now or dt.datetime.now(dt.UTC))
    _verify_counts(record, path)
    _verify_benchmark(record, path, catalog)
    every: dict[str, Column] = {}
    for metric, columns in record.scores.items():
        known = {column.name: column for column in _list_installed(catalog.metrics, metric, path, "scores").columns}
        every |= known
        _verify_detections(record, path, metric)
        for name, interval in columns.items():
            field = f"scores.{metric}.{name}"
            expect(path, field, "a figure of that name", name in known, f"only {', '.join(known)}")
            _verify_figure(record, path, field, known[name], interval)
    verify_rows(record, path, every)
    if record.timing is not None:
        _verify_timing(record, path)


def _verify_run(record: RunRecord, path: Path, now: dt.datetime) -> None:
    try:
        created = dt.datetime.fromisoformat(record.created)
    except ValueError:
        created = None
    is_utc = created is not None and created.utcoffset() == dt.timedelta(0)
    expect(
        path, "created", repr(record.created), is_utc, "a time in UTC as ISO 8601, such as 2026-01-31T12:00:00+00:00"
    )
    # A record from the future would hide every later one of its method.
    latest = now + dt.timedelta(days=1)
    expect(path, "created", record.created, created is not None and created <= latest, f"no later than {latest:%F}")
    for field, digest in (("id", record.id), ("benchmark.fingerprint", record.benchmark.fingerprint)):
        expect(path, field, "nothing", bool(digest), "a SHA-256")
    names = [video.video for video in record.videos]
    unsafe = [name for name in names if not is_safe_video_name(name)]
    expect(path, "videos", repr(unsafe[:1]), not unsafe, "names without separators, control characters, leading dot")
    expect(
        path, "videos", f"{len(set(names))} names for {len(names)} rows", len(set(names)) == len(names), "no repeats"
    )


def _verify_counts(record: RunRecord, path: Path) -> None:
    """What is counted is not less than nothing, and no speed is beyond what a clock can tell."""
    for name in ("threads", "batch", "workers"):
        number = getattr(record.conditions, name)
        expect(path, f"conditions.{name}", number, number is None or 1 <= number <= MOST_COUNTED, "1 or more")
    for video in record.videos:
        expect(path, f"videos.{video.video}.frames", video.frames, 0 <= video.frames <= MOST_COUNTED, "0 or more")
    if record.timing is None:
        return
    for name in ("model", "model_first_frame", "e2e", "e2e_first_frame"):
        clock = getattr(record.timing, name)
        expect(path, f"timing.{name}.frames", clock.frames, 0 <= clock.frames <= MOST_COUNTED, "0 or more")
        expect(path, f"timing.{name}.fps", clock.fps, (clock.fps or 0) <= HIGHEST_FPS, f"at most {HIGHEST_FPS:g}")


def _verify_benchmark(record: RunRecord, path: Path, catalog: Catalog) -> None:
    claimed = record.benchmark
    benchmark = _list_installed(catalog.benchmarks, claimed.name, path, "benchmark.name")
    rules = benchmark.rules
    expect(path, "benchmark.task", claimed.task, claimed.task in rules, f"one of {', '.join(rules)}")
    done, expected = claimed.videos_done, claimed.videos_expected
    expect(path, "benchmark.videos_done", done, done == len(record.videos), f"{len(record.videos)}, the rows of videos")
    expect(path, "benchmark.videos_done", done, 0 < done <= expected, f"1 to videos_expected, {expected}")
    expect(
        path, "partial", record.partial, record.partial == (done < expected), f"{done < expected}: {done} of {expected}"
    )
    expect(path, "failures", len(record.failures), record.partial or not record.failures, "none in a whole run")
    expect(path, "benchmark.scored", claimed.scored, claimed.scored == benchmark.scored, str(benchmark.scored))
    told = claimed.tree[:12] or "no tree"
    expected_tree = "the digest of its tree" if benchmark.choose is not None else "none: its videos are fixed"
    expect(path, "benchmark.tree", told, bool(claimed.tree) == (benchmark.choose is not None), expected_tree)
    if size := benchmark.videos_expected:
        expect(path, "benchmark.videos_expected", expected, expected == size, f"{size}, the videos of {claimed.name}")
    if benchmark.expected:
        foreign = sorted({video.video for video in record.videos} - set(benchmark.expected))
        expect(path, "videos", foreign[:1], not foreign, f"videos of {claimed.name} only")
    own = rules[cast(TaskName, claimed.task)]
    is_own = _name_of_rule(claimed.scoring) == _name_of_rule(own.version)
    expect(path, "benchmark.own_rule", claimed.own_rule, claimed.own_rule == is_own, f"{is_own}: {own.version}")
    _verify_rule(claimed.scoring, path, (*rules.values(), *RULES.values()))
    for video in record.videos:
        counts = video.scored_frames
        least = min([0, video.frames, *counts.values()])
        expect(path, f"videos {video.video}", f"{least} scored frames", least == 0, "0 or more")
        unknown = sorted(set(video.objects) - set(counts)) if claimed.average == "frames" else []
        expect(path, f"videos {video.video}.scored_frames", f"no {unknown[:1]}", not unknown, "those of each object")
    rule = next((known for known in (own, *RULES.values()) if known.version == claimed.scoring), None)
    if rule is not None:
        expect(path, "benchmark.average", claimed.average, claimed.average == rule.average, rule.average)
        missing = sorted(set(rule.metrics) - set(record.scores)) if claimed.scored else []
        expect(path, "scores", f"no {', '.join(missing)}", not missing, f"what {rule.version} measures")
        if benchmark.scored:
            verify_objects(record, path, benchmark, rule)


def _verify_rule(version: str, path: Path, known: Iterable[Rule]) -> None:
    """A rule of a name known here is one of its versions up to the newest known: a board puts the newest on top.

    Of an earlier version it is not known how it averaged. A rule of another name is a plugin's, ranked after ours.
    """
    versions = [rule.version for rule in known if _name_of_rule(rule.version) == _name_of_rule(version)]
    if not versions or version in versions:
        return
    newest = max(versions, key=_number_of_rule)
    is_earlier = 0 < _number_of_rule(version) < _number_of_rule(newest)
    hint = "run again with this version of the harness, or upgrade it"
    expect(path, "benchmark.scoring", version, is_earlier, f"{newest}, the newest known, or an earlier one", hint=hint)


def _number_of_rule(version: str) -> int:
    """2 of ``davis2016/2``; 0 where a rule's version is no such number."""
    found = _VERSION.search(version)
    return int(found[1]) if found else 0


def _name_of_rule(version: str) -> str:
    """``davis2016`` of ``davis2016/1``: earlier versions of a benchmark's rule are its own too."""
    return version.rpartition("/")[0] or version


def _verify_figure(record: RunRecord, path: Path, field: str, column: Column, interval: Interval) -> None:
    value, low, high = interval.value, interval.low, interval.high
    for name, number in (("value", value), ("low", low), ("high", high)):
        expect_possible(path, f"{field}.{name}", number, column.name, column.unit)
    expect(path, field, f"low {low}, high {high}", (low is None) == (high is None), "both ends of the interval or none")
    if not column.averaged:
        if low is not None and high is not None:
            expect(path, field, f"low {low}, high {high}", low <= high, "low <= high")
        return
    mean = mean_of(record, column.name)
    if value is None:
        has_gap = any(row is None for video in rows_by_video(record, column.name).values() for row in video)
        expect(path, f"{field}.value", None, has_gap or mean.value is None, f"{mean.value}, the mean of the rows")
        return
    expect_equal(path, f"{field}.value", value, mean.value, "the mean of the rows of videos")
    if low is not None or mean.low is not None:
        expect_equal(path, f"{field}.low", low, mean.low, "the bootstrap over the rows of videos")
        expect_equal(path, f"{field}.high", high, mean.high, "the bootstrap over the rows of videos")


def _verify_detections(record: RunRecord, path: Path, metric: str) -> None:
    """The figures of average precision are those that the detections give, where the record has these."""
    kept = [video.detections[metric] for video in record.videos if metric in video.detections]
    if not kept:
        return
    expect(
        path, "videos", f"{metric} of {len(kept)}", len(kept) == len(record.videos), f"{len(record.videos)}, or none"
    )
    for video, found in zip(record.videos, kept, strict=True):
        for group in found.groups:
            field, count = f"videos {video.video}.detections.{metric}", len(group.scores)
            lengths = [len(group.outcomes), len(group.truths), len(group.ranks), *map(len, group.outcomes)]
            expected = [4, 4, count, *[THRESHOLDS * count] * 4]
            expect(path, field, lengths, lengths == expected, f"{expected}: ranges, truths, ranks, letters")
            counted = [*group.ranks, *group.truths]
            expect(path, field, min(counted), 0 <= min(counted) <= max(counted) <= MOST_COUNTED, "0 or more")
    for name, expected_interval in resample_figures(kept).items():
        interval = record.scores[metric].get(name)
        if interval is not None:
            for end in ("value", "low", "high"):
                found_end, expected_end = getattr(interval, end), getattr(expected_interval, end)
                if found_end is not None or expected_end is not None:
                    expect_equal(
                        path, f"scores.{metric}.{name}.{end}", found_end, expected_end, "what the detections give"
                    )


def _verify_timing(record: RunRecord, path: Path) -> None:
    assert record.timing is not None
    clocks: Mapping[str, Latency] = {
        name: getattr(record.timing, name) for name in ("model", "model_first_frame", "e2e", "e2e_first_frame")
    }
    for name, clock in clocks.items():
        field = f"timing.{name}"
        ordered = [clock.p50_ms, clock.p90_ms, clock.p99_ms]
        values = [clock.fps, clock.mean_ms, *ordered]
        if not clock.frames:
            expect(path, field, values, not any(value is not None for value in values), "no figures without frames")
            continue
        known = [value for value in values if value is not None]
        expect(path, field, values, len(known) == len(values) and min(known) > 0, "positive figures throughout")
        assert clock.fps is not None
        assert clock.mean_ms is not None
        rate = 1000 / clock.mean_ms
        expect(path, f"{field}.fps", clock.fps, math.isclose(clock.fps, rate, rel_tol=1e-6), f"{rate}, 1000 / mean_ms")
        expect(path, field, ordered, known[2:] == sorted(known[2:]), "p50 <= p90 <= p99")
    _verify_throughput(record.timing.throughput, path)
    spent = record.timing.model_cpu_ms
    expect(path, "timing.model_cpu_ms", spent, spent is None or spent >= 0, "0 or more")
    peak = record.timing.added_memory_mib
    expect(path, "timing.added_memory_mib", peak, peak is None or peak >= 0, "0 or more")


def _verify_throughput(found: Throughput | None, path: Path) -> None:
    if found is None:
        return
    figures = [found.videos, found.frames, found.model_seconds, found.model_fps, found.e2e_fps]
    known = [value for value in figures if value is not None]
    are_positive = len(known) == len(figures) and min(known) > 0
    expect(path, "timing.throughput", figures, are_positive, "positive figures throughout")
    assert found.model_fps is not None
    rate = found.frames / found.model_seconds
    is_rate = math.isclose(found.model_fps, rate, rel_tol=1e-6)
    expect(path, "timing.throughput.model_fps", found.model_fps, is_rate, f"{rate}, frames / model_seconds")


def _validate(model: type[M], data: Any, schema: str, path: Path) -> M:
    if not isinstance(data, dict):
        raise VerificationFailed(f"{path}: found a {type(data).__name__}, expected an object of schema {schema}")
    if data.get("schema") != schema:
        raise VerificationFailed(
            f"{path}: schema: found {shorten(data.get('schema'))}, expected {schema!r}",
            hint="run again with this version of the harness, or upgrade it",
        )
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as error:
        raise VerificationFailed(f"{path}: {_describe_error(error)}", hint="harness schema") from error


def _describe_error(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    if problems[0]["type"] == "json_invalid":  # its place is none in the file: what was parsed there was written anew
        reason = problems[0]["msg"].partition(" at line ")[0].removeprefix("Invalid JSON: ")
        return f"found JSON with {reason}, expected whole characters and no endless nesting"
    lines = [
        f"{shorten('.'.join(str(part) for part in problem['loc']))}: found {shorten(problem['input'])}, "
        f"{'expected no such field' if problem['type'] in _NO_FIELD else 'expected otherwise: ' + problem['msg'][:300]}"
        for problem in problems[:5]
    ]
    more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
    return "; ".join([*lines, *more])


def _list_installed(shelf: Shelf[T], name: str, path: Path, field: str) -> T:
    try:
        return shelf.get(name)
    except HarnessError as error:
        raise VerificationFailed(f"{path}: {field}: {error.message}", hint=error.hint) from error
