"""Videos put together into a run's record: overall figures with intervals, per-video rows, clocks, conditions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.api.errors import MethodFailed
from harness.api.foreign import blame, is_ours
from harness.api.records import (
    BenchmarkInfo,
    Conditions,
    Interval,
    Latency,
    MethodInfo,
    RunRecord,
    StageTime,
    Throughput,
    Timing,
    VideoFailure,
    VideoResult,
    VideoScores,
    VideoSummary,
)
from harness.api.tasks import works_by_video
from harness.catalog import Catalog
from harness.files import digest_of
from harness.machine import allows_tf32, conditions
from harness.planning.config import as_json
from harness.planning.plan import Trial
from harness.planning.provenance import method_info
from harness.ranking.intervals import clustered_interval
from harness.ranking.precision import resample_figures
from harness.version import __version__


def record_of(
    trial: Trial,
    catalog: Catalog,
    outcomes: Sequence[VideoResult | VideoFailure],
    reused: Sequence[str],
    *,
    machine: Conditions | None = None,
    load: float | None = None,
) -> RunRecord:
    """The record of a run whose videos ended as ``outcomes``; ``machine`` is what it ran on, None: this process.

    ``load`` is the load average before it began.
    """
    results = [outcome for outcome in outcomes if isinstance(outcome, VideoResult)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, VideoFailure)]
    fingerprint = digest_of([(result.video, result.digest) for result in results])
    reasons = [trial.partial_reason] if trial.partial_reason else []
    reasons += [f"{len(failures)} videos failed"] if failures else []
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    attributes = {sample.name: sample.extra.get("attributes", ()) for sample in trial.samples}
    return RunRecord(
        id=digest_of([trial.key, fingerprint, created, uuid.uuid4().hex]),
        created=created,
        harness_version=__version__,
        plugin=trial.plugin,
        about=_about(trial, catalog),
        preset=trial.request.preset,
        config=trial.described_config,
        weights=trial.weights,
        providers=trial.provider_infos,
        benchmark=BenchmarkInfo(
            name=trial.benchmark.name,
            choice=trial.benchmark.choice,
            tree=trial.tree,
            task=trial.task.name,
            fingerprint=fingerprint,
            scoring=trial.rule.version,
            own_rule=trial.rule.version == trial.benchmark.rules[trial.task.name].version,
            scored=trial.benchmark.scored,
            average=trial.rule.average,
            videos_expected=trial.videos_expected,
            videos_done=len(results),
        ),
        partial=len(results) < trial.videos_expected,
        partial_reason="; ".join(reasons),
        seed=trial.request.seed,
        conditions=_conditions(trial, results, machine, load),
        scores=_scores(trial, catalog, results),
        videos=[_row(result, attributes.get(result.video, ())) for result in results],
        timing=timing_of(results, by_video=works_by_video(trial.task.name, trial.plugin.causality)),
        reused=list(reused),
        failures=failures,
    )


def _about(trial: Trial, catalog: Catalog) -> MethodInfo:
    """What the card says of the method; nothing of masks made elsewhere."""
    if trial.plugin.replays:
        return MethodInfo()
    return method_info(trial.elsewhere.method if trial.elsewhere else catalog.methods.get(trial.plugin.name))


def _conditions(
    trial: Trial, results: Sequence[VideoResult], machine: Conditions | None, load: float | None
) -> Conditions:
    found = machine or conditions(
        trial.request.devices[0],
        trial.request.precision,
        resolutions=[],
        objects=[],
        executor=trial.request.executor,
        tf32=allows_tf32(trial.config),
    )
    told = as_json(trial.config)
    seen = {
        "compiled": told.get("compile", False) is True,
        "resolutions": sorted({f"{result.width}x{result.height}" for result in results}),
        "objects": sorted({len(result.objects) for result in results}),
        "executor": trial.request.executor,
        "workers": len(trial.request.devices),
        "load_average": found.load_average if load is None else load,
    }
    return found.model_copy(update=seen)


def _scores(trial: Trial, catalog: Catalog, results: Sequence[VideoResult]) -> dict[str, dict[str, Interval]]:
    scores: dict[str, dict[str, Interval]] = {}
    for name in trial.rule.metrics:
        measured = {result.video: result.scores[name] for result in results if name in result.scores}
        if not measured:
            continue
        metric = catalog.metrics.get(name)
        means = {column.name for column in metric.columns if column.averaged}
        with blame(f"metric {name}, summarise", MethodFailed):
            overall = metric.summarise(list(measured.values()), trial.rule)
            if not is_ours(metric):
                overall = {column: Interval(value=value).check().value for column, value in overall.items()}
        kept = [video.detections for video in measured.values() if video.detections is not None]
        pooled = resample_figures(kept) if len(kept) == len(measured) else {}
        scores[name] = {
            column: _with_interval(column, value, measured, trial.rule.average)
            if column in means
            else _with_ends(value, pooled.get(column))
            for column, value in overall.items()
        }
    return scores


def _with_ends(value: float | None, pooled: Interval | None) -> Interval:
    """A figure that is no mean over videos, with the interval of resampled videos where detections were kept."""
    return (
        Interval(value=value, low=pooled.low, high=pooled.high)
        if pooled and value is not None
        else Interval(value=value)
    )


def _with_interval(column: str, value: float | None, measured: Mapping[str, VideoScores], average: Any) -> Interval:
    """The figure, a mean of per-object figures, with its interval."""
    rows = {video: [figures.get(column) for figures in scores.summary.values()] for video, scores in measured.items()}
    frames = {video: list(_count_frames(scores).values()) for video, scores in measured.items()}
    interval = clustered_interval(rows, average=average, frames=frames)
    if value is None:
        return Interval(value=value)
    return Interval(value=value, low=interval.low, high=interval.high)


def _count_frames(scores: VideoScores) -> dict[str, int]:
    """On how many frames each object of ``summary`` has a value; all scored ones where a metric keeps no series."""
    counts = dict.fromkeys(scores.summary, len(scores.frames))
    for series in reversed(list(scores.series.values())):
        counts |= {id_: sum(value is not None for value in values) for id_, values in series.items() if id_ in counts}
    return counts


def _row(result: VideoResult, attributes: Iterable[str]) -> VideoSummary:
    objects: dict[str, dict[str, float | None]] = {}
    scored: dict[str, int] = {}
    for scores in result.scores.values():
        for name, figures in scores.summary.items():
            objects.setdefault(name, {}).update(figures)
        if scores.series:
            scored = _count_frames(scores) | scored
    measured = (len(scores.frames) for scores in result.scores.values())
    return VideoSummary(
        video=result.video,
        frames=max(scored.values(), default=max(measured, default=0)),
        scored_frames=scored,
        attributes=list(attributes),
        objects=objects,
        detections={name: found.detections for name, found in result.scores.items() if found.detections is not None},
    )


def timing_of(results: Sequence[VideoResult], *, by_video: bool) -> Timing | None:
    """The clocks of all videos together; None where nothing was timed.

    ``by_video``: steady frames are not the method's speed. It has a throughput, and the videos that warmed up are left
    out of that and of memory where there are others.
    """
    results = [result for result in results if result.timing.model]
    timed = [result.timing for result in results]
    if not timed:
        return None
    warm = [result for result in results if not (by_video and result.timing.warm_up)]
    peaks = [result.timing.added_memory_mib for result in warm or results if result.timing.added_memory_mib is not None]
    return Timing(
        model=_latency(s for timing in timed for s in timing.model[max(1, timing.warm_up) :]),
        model_first_frame=_latency(timing.model[0] for timing in timed),
        e2e=_latency(s for timing in timed for s in timing.e2e[max(1, timing.warm_up) :]),
        e2e_first_frame=_latency(timing.e2e[0] for timing in timed),
        model_cpu_ms=mean_cpu_ms(warm or results, by_video=by_video),
        warm_up_frames=sum(max(0, timing.warm_up - 1) for timing in timed),
        stages=_add_up(timing.stages for timing in timed),
        kernels=_add_up(timing.kernels for timing in timed),
        throughput=_throughput(warm or results, is_warm=bool(warm)) if by_video else None,
        added_memory_mib=max(peaks, default=None),
    )


def mean_cpu_ms(results: Sequence[VideoResult], *, by_video: bool) -> float | None:
    """CPU milliseconds a frame: of steady frames, or ``by_video`` of all; None where one video was not measured."""
    if not all(result.timing.model_cpu for result in results):
        return None
    laps = [result.timing.model_cpu[0 if by_video else max(1, result.timing.warm_up) :] for result in results]
    frames = sum(result.length for result in results) if by_video else sum(map(len, laps))
    return 1000 * sum(map(sum, laps)) / frames if frames else None


def _throughput(results: Sequence[VideoResult], *, is_warm: bool) -> Throughput:
    """Frames of the videos over all of their time, on both clocks."""
    frames = sum(result.length for result in results)
    model, e2e = (
        sum(sum(seconds) for seconds in clocks)
        for clocks in ([result.timing.model for result in results], [result.timing.e2e for result in results])
    )
    return Throughput(
        videos=len(results),
        frames=frames,
        is_warm=is_warm,
        model_seconds=model,
        model_fps=frames / model if model > 0 else None,
        e2e_fps=frames / e2e if e2e > 0 else None,
    )


def _latency(seconds: Iterable[float]) -> Latency:
    ms = np.array(list(seconds), dtype=np.float64) * 1e3
    if not ms.size:
        return Latency(frames=0, fps=None, mean_ms=None, p50_ms=None, p90_ms=None, p99_ms=None)
    p50, p90, p99 = (float(value) for value in np.percentile(ms, [50, 90, 99]))
    mean = float(ms.mean())
    fps = 1e3 / mean if mean > 0 else None
    return Latency(frames=ms.size, fps=fps, mean_ms=mean, p50_ms=p50, p90_ms=p90, p99_ms=p99)


def _add_up(sections: Iterable[Mapping[str, StageTime]]) -> dict[str, StageTime]:
    sums: dict[str, StageTime] = {}
    for section in sections:
        for name, time in section.items():
            before = sums.get(name, StageTime(calls=0, seconds=0.0))
            sums[name] = StageTime(calls=before.calls + time.calls, seconds=before.seconds + time.seconds)
    return sums
