"""A method's snapshots taken and scored, video by video: against the truth, and against what it learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from harness.api.contracts import BuildContext, Metric
from harness.api.errors import DataError, UsageError
from harness.api.learning import LearnsAtTestTime
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.hosting.conversation import converse
from harness.hosting.here import Hosted
from harness.learning_curve.curve import Curve, Measured
from harness.planning.plan import Plan
from harness.running.measure import measure_video


def learning_curve(
    plan: Plan,
    catalog: Catalog,
    *,
    every: int,
    seeds: Sequence[int] = (0,),
    on_snapshot: Callable[[Measured], None] = lambda measured: None,
    on_video: Callable[[Curve], None] = lambda curve: None,
) -> Curve:
    """Measure the plan's method after every so many of its iterations, on the plan's videos, once with each seed.

    Figures are those of the first metric of the plan's rule. ``on_video`` is told the curve so far whenever a
    video is done with all seeds.
    """
    _refuse(plan, every)
    metric = cast(Metric, catalog.metrics.get(plan.rule.metrics[0]))
    hosts = [_build(plan, seed) for seed in seeds]
    curve = Curve(plan, metric, every, tuple(seeds))
    for sample in plan.samples:
        for host in hosts:
            for measured in _measure_snapshots(host, sample, plan, metric, every):
                on_snapshot(measured)
                curve = replace(curve, measured=(*curve.measured, measured))
        on_video(curve)
    return curve


def _refuse(plan: Plan, every: int) -> None:
    if every < 1:
        raise UsageError(f"--every {every} shows nothing; expected 1 or more iterations")
    if plan.task.name != "one-shot":
        raise UsageError(f"found task {plan.task.name}; a learning curve is of task one-shot")
    if not plan.benchmark.scored or not all(sample.read_truth for sample in plan.samples):
        raise DataError(
            f"{plan.benchmark.name} has no public truth, which a learning curve is drawn against",
            hint="harness ls benches shows which ones are scored",
        )


def _build(plan: Plan, seed: int) -> Hosted:
    context = BuildContext(
        task=plan.task.name,
        config=plan.config,
        device=plan.request.device,
        precision=plan.request.precision,
        weights=plan.weights_path,
        seed=seed,
        providers=plan.providers,
    )
    host = Hosted.build(plan.method, context)
    if not isinstance(host.method, LearnsAtTestTime):
        raise UsageError(
            f"{plan.method.name} has no snapshots(): it does not learn at test time, or cannot show it",
            hint="name a method that does, such as selfsup-adapted; docs/learning-curve.md says what is needed",
        )
    return host


def _measure_snapshots(host: Hosted, sample: Sample, plan: Plan, metric: Metric, every: int) -> Iterator[Measured]:
    """Every snapshot of one video, measured as it comes."""
    assert sample.read_truth is not None
    truths = [sample.read_truth(frame) for frame in range(sample.length)]
    judge, learnt = replace(sample, read_truth=truths.__getitem__), None
    with converse(host, plan, sample) as talk:
        for snapshot in talk.ask_snapshots(every):
            learnt = learnt or _take_as_truth(sample, truths, snapshot.masks)
            truth_scores, learnt_scores = (_measure(metric, plan, one, snapshot.masks) for one in (judge, learnt))
            yield Measured(host.seed, sample.name, snapshot.iteration, truth_scores, learnt_scores)


def _take_as_truth(sample: Sample, truths: Sequence[np.ndarray | None], masks: Sequence[np.ndarray]) -> Sample:
    """The sample with ``masks`` for its truth, on the frames that have one."""
    return replace(sample, read_truth=lambda frame: None if truths[frame] is None else masks[frame])


def _measure(metric: Metric, plan: Plan, judge: Sample, masks: Sequence[np.ndarray]) -> VideoScores:
    return measure_video(judge, enumerate(masks), {metric.name: metric}, plan.rule).scores[metric.name]
