"""One video measured by a rule's metrics: the one evaluator of runs, masks made elsewhere and learning curves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from harness.api.contracts import Metric, Rule, TrackMetric
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, MethodFailed, UsageError
from harness.api.foreign import blame, is_ours
from harness.api.mask_runs import MaskRuns
from harness.api.oddities import Oddity
from harness.api.records import LARGEST_NUMBER, LARGEST_WHOLE, Detections, VideoResult, VideoScores, VideoTiming
from harness.api.schemas import take_plain_json
from harness.api.true_runs import read_true_runs
from harness.api.video import Sample, Tracks
from harness.catalog import Catalog
from harness.planning.plan import Trial
from harness.running.oddities import IdsSeen

T = TypeVar("T")
Kind = Literal["masks", "tracks"]


@dataclass(frozen=True)
class Evaluation:
    """What one video came to: figures by metric, and the ids its masks hold."""

    scores: dict[str, VideoScores]
    objects: list[int]
    oddities: tuple[Oddity, ...] = ()


def metrics_of(rule: Rule, catalog: Catalog, kind: Kind) -> dict[str, Any]:
    """The rule's metrics by name; UsageError where one measures not this kind of prediction."""
    metrics = {name: catalog.metrics.get(name) for name in rule.metrics}
    wrong = [name for name, metric in metrics.items() if isinstance(metric, TrackMetric) != (kind == "tracks")]
    if wrong:
        other = "masks" if kind == "tracks" else "tracks"
        raise UsageError(f"rule {rule.version} measures {other} ({', '.join(wrong)}); expected one of {kind}")
    return metrics


def measure_video(
    sample: Sample,
    masks: Iterable[tuple[int, np.ndarray | MaskRuns]],
    metrics: Mapping[str, Metric],
    rule: Rule,
    *,
    where: Callable[[int], object] | None = None,
) -> Evaluation:
    """Measure (frame, id map) pairs, in order, against the truth of their frames; masks are taken one at a time.

    They may be runs where every metric takes them (``take_runs``). ``where`` names what a frame's mask was read from,
    in the message of a metric that refuses it.
    """
    measurements = {name: _call(name, metric.start, sample, rule) for name, metric in metrics.items()}
    ids = IdsSeen(sample, rule)
    read = functools.partial(read_true_runs, sample) if take_runs(metrics) else sample.read_truth
    for frame, mask in masks:
        truth = read(frame) if metrics and read else None
        ids.see(mask, truth)
        try:
            for name, measurement in measurements.items():
                _call(name, measurement.add, frame, mask, truth)
        except DataError as error:
            if where is None:
                raise
            raise DataError(f"{where(frame)}: {error.message}", hint=error.hint) from error
    scores = {name: _call(name, each.finish) for name, each in measurements.items()}
    scores |= {name: _check(name, found) for name, found in scores.items() if not is_ours(metrics[name])}
    return Evaluation(scores, sorted(ids.predicted - {0}), ids.find_oddities() if metrics else ())


def take_runs(metrics: Mapping[str, Metric]) -> bool:
    """Whether all of them count by runs of one id, so that nobody needs a mask's pixels."""
    return all(getattr(metric, "takes_runs", False) is True for metric in metrics.values())


def _call(metric: str, work: Callable[..., T], *given: Any) -> T:
    """Have the metric do it; what goes wrong is no fault of the method whose masks are measured."""
    with blame(f"metric {metric}", MethodFailed):
        return work(*given)


def _check(metric: str, scores: VideoScores) -> VideoScores:
    """The scores as they are read back; MethodFailed where no record can hold them."""
    with blame(f"metric {metric}", MethodFailed):
        return VideoScores.model_validate(scores)


def make_result(
    trial: Trial, sample: Sample, found: Evaluation, digest: str, *, timing: VideoTiming | None = None, masks: str = ""
) -> VideoResult:
    """The result of a video with this digest, under the trial's key; ``timing`` and ``masks`` where a method ran."""
    return VideoResult(
        video=sample.name,
        key=trial.video_key(sample, digest),
        digest=digest,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        objects=found.objects,
        scores=found.scores,
        timing=timing or VideoTiming(),
        masks=masks,
    )


def warm_up(sample: Sample, metrics: Mapping[str, Metric], rule: Rule) -> None:
    """Have the metrics import and compile what they need, before the memory of a method is measured."""
    if sample.read_truth is None:
        return
    nothing = np.zeros((sample.height, sample.width), np.uint8)
    for metric in metrics.values():
        measurement = metric.start(sample, rule)
        for frame in range(min(2, sample.length)):
            measurement.add(frame, nothing, sample.read_truth(frame))


def measure_tracks(sample: Sample, tracks: Tracks, metrics: Mapping[str, TrackMetric], rule: Rule) -> Evaluation:
    """Measure the tracks of a whole video.

    Our own metrics are checked too: numbers of the tracks and of the dataset come through them into the record.
    """
    scores = {name: _call(name, each.measure, sample, tracks, rule) for name, each in metrics.items()}
    kept = {name for name, found in scores.items() if is_ours(metrics[name]) and _can_be_kept(found)}
    return Evaluation({name: found if name in kept else _check(name, found) for name, found in scores.items()}, [])


def _can_be_kept(found: VideoScores) -> bool:
    """Whether a record can hold what our own metric gave, told without pydantic: its import takes as long as scoring.

    The numbers looked at are those of tracks and dataset. What is unusual is left to the record's schema.
    """
    try:
        take_plain_json(found.evidence)
    except ValueError:
        return False
    detections = found.detections or Detections()
    whole = [group.category for group in detections.groups]
    whole += [] if detections.order is None else [detections.order]
    scores = [score for group in detections.groups for score in group.scores]
    return all(type(number) is int and abs(number) <= LARGEST_WHOLE for number in whole) and all(
        type(score) is float and abs(score) <= LARGEST_NUMBER for score in scores
    )
