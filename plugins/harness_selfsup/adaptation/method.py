"""The adapted forms: propagated masks are what a U-Net learns from, and the U-Net's masks are the answer.

``Adapted`` is the paper's: the whole video is propagated, then learnt, then segmented (offline: every mask has seen all
frames). ``CausallyAdapted`` learns while the video goes on (online: the mask of t has seen frames up to t, and the
U-Net behind it has learnt from 0..t-1).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import BuildContext, OneShotVOS, Prompts, Snapshot, Video, stage
from harness.ops.labels import overlay
from harness_selfsup.adaptation.appearance import AppearanceModel, Lessons, without_void
from harness_selfsup.adaptation.config import AdaptedConfig, CausalConfig
from harness_selfsup.method import build as build_propagation


def build(context: BuildContext) -> Adapted:
    """The per-video form over the propagation that the context's weights give."""
    return Adapted(build_propagation(context), context)


def build_causal(context: BuildContext) -> CausallyAdapted:
    """The causal form over the propagation that the context's weights give."""
    return CausallyAdapted(build_propagation(context), context)


class Adapted:
    """One-shot; ``propagation`` makes the masks that a U-Net, new for each video, learns from."""

    def __init__(self, propagation: OneShotVOS, context: BuildContext) -> None:
        self.propagation = propagation
        self.context = context
        self.config: AdaptedConfig = context.config

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; all of propagation and adaptation lies before the first."""
        lessons = new_lessons(self.config)
        for frame, propagated in enumerate(self.propagation.propagate(video, prompts)):
            lessons.add(frame, propagated, prompts.get(frame))
        model = None
        if lessons.entered:
            with stage("adapt"):
                model = new_model(lessons, self.context)
                model.learn(video, lessons, self.config.iterations, frames=len(video))
        for frame in range(len(video)):
            with stage("segment"):
                mask = segment(model, lessons, video, frame, prompts.get(frame))
            yield mask

    def snapshots(self, video: Video, prompts: Prompts, every: int) -> Iterator[Snapshot]:
        """Yield what is learnt from (iteration 0), then the masks after each ``every`` iterations and after the last.

        The last are those of ``propagate``.
        """
        lessons, masks = new_lessons(self.config), []
        for frame, propagated in enumerate(self.propagation.propagate(video, prompts)):
            lessons.add(frame, propagated, prompts.get(frame))
            masks.append(propagated.clone())
        yield Snapshot(0, masks)
        model = new_model(lessons, self.context) if lessons.entered else None
        last = self.config.iterations
        for done in (*range(every, last, every), last):
            if model is not None:
                model.learn(video, lessons, done - model.iteration, frames=len(video))
            yield Snapshot(done, [segment(model, lessons, video, t, prompts.get(t)) for t in range(len(video))])


class CausallyAdapted:
    """One-shot and online; the U-Net learns a few iterations further before each frame, and many after a prompt."""

    def __init__(self, propagation: OneShotVOS, context: BuildContext) -> None:
        self.propagation = propagation
        self.context = context
        self.config: CausalConfig = context.config

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; memory does not grow with the video."""
        lessons = new_lessons(self.config)
        model: AppearanceModel | None = None
        for frame, propagated in enumerate(self.propagation.propagate(video, prompts)):
            prompt = prompts.get(frame)
            if model is not None:
                with stage("adapt"):
                    model.learn(video, lessons, self.config.iterations_per_frame, frames=frame)
            with stage("segment"):
                mask = segment(model, lessons, video, frame, prompt)
            lessons.add(frame, propagated, prompt)
            if prompt is not None and lessons.entered and frame < len(video) - 1:
                with stage("adapt"):
                    if model is None:
                        model = new_model(lessons, self.context)
                    model.add_classes(len(lessons.entered))
                    model.learn(video, lessons, self.config.iterations, frames=frame + 1)
            yield mask


def new_lessons(config: AdaptedConfig) -> Lessons:
    """No lessons yet."""
    return Lessons(config.unet_size, config.most_lessons)


def new_model(lessons: Lessons, context: BuildContext) -> AppearanceModel:
    """A U-Net that has learnt nothing, drawn from the seed alone, so that no video depends on those before it."""
    return AppearanceModel(
        len(lessons.entered), context.config, device=context.device, precision=context.precision, seed=context.seed
    )


def segment(model: AppearanceModel | None, lessons: Lessons, video: Video, frame: int, prompt: Tensor | None) -> Tensor:
    """The mask (H, W) of one frame: the U-Net's, with prompted objects as prompted; the first prompt is the answer.

    An object is not there before its first prompt.
    """
    image = video[frame]
    if model is None or frame <= lessons.first:
        mask = torch.zeros(video.size, dtype=torch.uint8, device=image.device)
    else:
        mask = model.segment(image, lessons.ids_at(frame))
    return mask if prompt is None else overlay(mask, without_void(prompt))
