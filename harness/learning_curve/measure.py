"""A method's snapshots taken and scored, video by video: against the truth, and against what it learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from harness.api.contracts import BuildContext, Metric
from harness.api.errors import ContractError, DataError, HarnessError, MethodFailed, UsageError
from harness.api.learning import LearnsAtTestTime, Snapshot
from harness.api.records import VideoScores
from harness.api.video import Prompts, Sample, Video
from harness.catalog import Catalog
from harness.hosting.answers import checked_mask
from harness.hosting.frames import FrameSource
from harness.hosting.here import Hosted
from harness.learning_curve.curve import Curve, Measured
from harness.machine import working_on
from harness.planning.plan import Plan


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

    Figures are those of the first metric of the plan's scoring. ``on_video`` is told the curve so far whenever a
    video is done with all seeds.
    """
    _refuse(plan, every)
    metric = cast(Metric, catalog.metrics.get(plan.scoring.metrics[0]))
    hosts = [_built(plan, seed) for seed in seeds]
    curve = Curve(plan, metric, every, tuple(seeds))
    for number, sample in enumerate(plan.samples):
        for host in hosts:
            for measured in _measured(host, sample, number, plan, metric, every):
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


def _built(plan: Plan, seed: int) -> Hosted:
    context = BuildContext(
        task=plan.task.name,
        config=plan.config,
        device=plan.request.device,
        precision=plan.request.precision,
        weights=plan.weights_path,
        seed=seed,
    )
    host = Hosted.build(plan.method, context)
    if not isinstance(host.method, LearnsAtTestTime):
        raise UsageError(
            f"{plan.method.name} has no snapshots(): it does not learn at test time, or cannot show it",
            hint="name a method that does, such as selfsup-adapted; docs/learning-curve.md says what is needed",
        )
    return host


def _measured(host: Hosted, sample: Sample, number: int, plan: Plan, metric: Metric, every: int) -> Iterator[Measured]:
    """Every snapshot of one video, measured as it comes."""
    assert sample.read_truth is not None
    truths = [sample.read_truth(frame) for frame in range(sample.length)]
    judge, learnt = replace(sample, read_truth=truths.__getitem__), None
    for snapshot in _snapshots(host, sample, number, plan, every):
        learnt = learnt or _as_truth(sample, truths, snapshot.masks)
        truth_scores, learnt_scores = (_scores(metric, plan, one, snapshot.masks) for one in (judge, learnt))
        yield Measured(host.seed, sample.name, snapshot.iteration, truth_scores, learnt_scores)


def _as_truth(sample: Sample, truths: Sequence[np.ndarray | None], masks: Sequence[np.ndarray]) -> Sample:
    """The sample with ``masks`` for its truth, on the frames that have one."""
    return replace(sample, read_truth=lambda frame: None if truths[frame] is None else masks[frame])


def _scores(metric: Metric, plan: Plan, judge: Sample, masks: Sequence[np.ndarray]) -> VideoScores:
    measurement = metric.start(judge, plan.scoring)
    assert judge.read_truth is not None
    for frame, mask in enumerate(masks):
        measurement.add(frame, mask, judge.read_truth(frame))
    return measurement.finish()


def _snapshots(host: Hosted, sample: Sample, number: int, plan: Plan, every: int) -> Iterator[Snapshot]:
    """The method's snapshots with checked masks in host memory; the method sees neither truth nor name."""
    where = f"{plan.method.name}, video {sample.name}"
    last = -1
    with working_on(host.device, tf32=host.tf32), FrameSource(sample, host.device) as frames:
        video, prompts = _video(sample, number, frames), _prompts(sample, host.device)
        torch.manual_seed(host.seed)
        shots = iter(host.method.snapshots(video, prompts, every))
        while (snapshot := _next(shots, f"{where}, after iteration {last}")) is not None:
            last = _ordered(snapshot, last, where)
            if len(snapshot.masks) != sample.length:
                raise ContractError(
                    f"{where}, iteration {last}: {len(snapshot.masks)} masks, expected one a frame ({sample.length})"
                )
            masks = [mask.cpu() if isinstance(mask, torch.Tensor) else mask for mask in snapshot.masks]
            yield Snapshot(last, [checked_mask(mask, frame, sample, plan, prompts) for frame, mask in enumerate(masks)])
    if last < 1:
        raise ContractError(f"{where}: no snapshot after iteration {last}; expected that of 0, and later ones")


def _next(shots: Iterator[Any], where: str) -> Any:
    """The next of what the method yields, None at the end; whatever it raises becomes MethodFailed."""
    try:
        return next(shots, None)
    except HarnessError:
        raise
    except Exception as error:
        raise MethodFailed(f"{where}: {type(error).__name__}: {error}", hint="harness --debug shows where") from error


def _ordered(snapshot: Any, last: int, where: str) -> int:
    """The snapshot's iteration; ContractError where it does not follow ``last`` (-1: none yet)."""
    if not isinstance(snapshot, Snapshot):
        raise ContractError(f"{where}: snapshots() yielded {type(snapshot).__name__}, expected harness.Snapshot")
    if (snapshot.iteration != 0) if last < 0 else (snapshot.iteration <= last):
        expected = "0, that of what is learnt from" if last < 0 else f"one after {last}"
        raise ContractError(f"{where}: a snapshot of iteration {snapshot.iteration}, expected {expected}")
    return snapshot.iteration


def _video(sample: Sample, number: int, frames: FrameSource) -> Video:
    return Video(
        name=f"video-{number:04d}",
        length=sample.length,
        height=sample.height,
        width=sample.width,
        read=frames.read,
    )


def _prompts(sample: Sample, device: str) -> Prompts:
    if sample.read_prompt is None:
        raise DataError(f"video {sample.name} has no first mask, which task one-shot begins from")
    return Prompts({t: torch.from_numpy(np.array(sample.read_prompt(t))).to(device) for t in sample.prompt_frames})
