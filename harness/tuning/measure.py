"""Candidates lined up: the alignment of every channel of each, and on demand what truth says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from harness.api.contracts import BuildContext
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, UsageError
from harness.api.video import Sample, without_truth
from harness.hosting.here import Hosted
from harness.models.alignment import THRESHOLD, Alignment, HasChannels, align
from harness.planning.plan import Plan

FRAMES = 5
"""Frames of a video that are looked at where truth is asked, evenly spread."""


@dataclass(frozen=True)
class Candidate:
    """One set of weights, what its channels come to, and, where truth was asked, the J of each in each video."""

    weights: str
    alignment: Alignment
    by_video: tuple[tuple[float, ...], ...] = ()

    @property
    def truth(self) -> tuple[float, ...]:
        """Each channel's mean J over the videos, as if it were the object in all; empty where truth was not asked."""
        return tuple(np.mean(self.by_video, axis=0).tolist()) if self.by_video else ()

    @property
    def best_by_video(self) -> float | None:
        """The mean J of the best channel of each video: where it is higher, the object changes channels."""
        return float(np.max(self.by_video, axis=1).mean()) if self.by_video else None


def tune(
    plans: Sequence[Plan],
    *,
    threshold: float = THRESHOLD,
    against_truth: bool = False,
    on_done: Callable[[Candidate], None],
) -> list[Candidate]:
    """Measure every plan's weights on its videos, the better alignment first; ``on_done`` is told each.

    The method is shown frames alone. ``against_truth`` measures the J of each channel afterwards: it changes no order.
    """
    found = []
    for plan in plans:
        method = _build(plan)
        alignment = align(method, [without_truth(sample) for sample in plan.samples], threshold=threshold)
        by_video = measure_channels(method, plan.samples, plan.request.device) if against_truth else ()
        found.append(Candidate(plan.weights.name, alignment, by_video))
        on_done(found[-1])
    return sorted(found, key=lambda candidate: -candidate.alignment.score)


def _build(plan: Plan) -> HasChannels:
    context = BuildContext(
        task=plan.task.name,
        config=plan.config,
        device=plan.request.device,
        precision=plan.request.precision,
        weights=plan.weights_path,
        seed=plan.request.seed,
        providers=plan.providers,
    )
    method = Hosted.build(plan.method, context).method
    if not isinstance(method, HasChannels):
        raise UsageError(
            f"{plan.method.name} has no channels() and semantics(): its masks do not compete, or it cannot show them",
            hint="name a method that does, such as imas; docs/tune.md says what is needed",
        )
    return method


def measure_channels(method: HasChannels, samples: Sequence[Sample], device: str) -> tuple[tuple[float, ...], ...]:
    """The J of each channel in each video, taken as the object where it is the largest of all."""
    return tuple(tuple(_measure_video(method, sample, device).tolist()) for sample in samples)


def _measure_video(method: HasChannels, sample: Sample, device: str) -> np.ndarray:
    if sample.read_truth is None:
        raise DataError(f"video {sample.name!r} has no public truth", hint="leave out --against-truth")
    wanted = np.linspace(0, sample.length - 1, min(FRAMES, sample.length)).round().astype(int)
    figures = []
    for frame in wanted.tolist():
        truth = sample.read_truth(frame)
        if truth is not None:
            soft = method.channels(torch.from_numpy(sample.read_frame(frame)).to(device)).float().cpu()
            figures.append(overlap(soft, truth))
    if not figures:
        raise DataError(f"video {sample.name!r} has no truth on the frames {wanted.tolist()}")
    return np.asarray(np.mean(figures, axis=0))


def overlap(soft: Tensor, truth: np.ndarray) -> np.ndarray:
    """J of each channel (C, h, w), enlarged bilinearly, with the objects of an id map (H, W); both empty count as 1."""
    enlarged = functional.interpolate(soft[None], size=truth.shape, mode="bilinear", align_corners=False)[0]
    largest, is_object = enlarged.argmax(0).numpy(), (truth > 0) & (truth < 255)
    found = []
    for channel in range(len(soft)):
        mask = largest == channel
        union = int((mask | is_object).sum())
        found.append(int((mask & is_object).sum()) / union if union else 1.0)
    return np.array(found)


def rank_correlation(candidates: Sequence[Candidate]) -> float | None:
    """Spearman's rho of alignment and J over all channels of all candidates; None where it is not defined."""
    scores = [score for candidate in candidates for score in candidate.alignment.scores]
    truths = [figure for candidate in candidates for figure in candidate.truth]
    if len(truths) != len(scores) or len(set(scores)) < 2 or len(set(truths)) < 2:
        return None
    return float(spearmanr(scores, truths).statistic)
