"""The rounds of a training of MuG: initial maps once, then each round with labels by what the one before learnt.

What is computed before a round lies in its folder, a file a video: maps of every frame, or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import Sample, Stage, TrainingContext, Video
from harness.api.learning import Progress
from harness.models.frame_files import Place
from harness.models.precision import DTYPES
from harness.models.saliency import frames_around, saliency_provider
from harness.ops.labels import resize_nearest
from harness_mug.config import ObjectConfig
from harness_mug.method import Learned, decide_by_crf
from harness_mug.network import Phi, load_network
from harness_mug.training.clips import Labels, shrink
from harness_mug.training.config import TrainingConfig
from harness_mug.training.files import label_path, make_files, maps_path, masks_path, open_files
from harness_mug.training.frames import FrameLearner
from harness_mug.training.kept import look_once, open_maps
from harness_mug.training.learner import MuGLearner
from harness_mug.training.trained import begin

LEAST_THRESHOLD = 0.02
"""Labels are cut no nearer to 0 or 1 than this: there the CRF could not tell them apart."""
LabelVideo = Callable[[Sample, Callable[[int], None]], NDArray[np.uint8]]


FRAMES = "frames"
"""The stage of single frames, before the rounds."""


def name_of(turn: int) -> str:
    """The stage of a round, counted from 1."""
    return f"round-{turn}"


def first_of(config: TrainingConfig) -> str:
    """The first stage, in whose folder the initial maps lie."""
    return FRAMES if config.frames_iterations else name_of(1)


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of a config, in their order."""
    # single frames teach rho alone: there is no read-out yet to be validated
    frames = Stage(FRAMES, build=build_frames, prepare=prepare_frames, is_method=False)
    rounds = (
        Stage(name_of(turn), build=partial(build_round, turn=turn), prepare=partial(prepare_round, turn=turn))
        for turn in range(1, config.rounds + 1)
    )
    return (*([frames] if config.frames_iterations else []), *rounds)


def prepare_frames(context: TrainingContext, progress: Progress) -> None:
    """Make the initial maps."""
    begin(context.config, context.weights, context.seed)  # a file that is missing is missed now
    make_files(context, masks_path, mask_by_maps(context), progress)


def build_frames(context: TrainingContext) -> FrameLearner:
    """The learner of single frames."""
    return FrameLearner(context, initial=open_masks(context), begin_from=context.weights)


def prepare_round(context: TrainingContext, progress: Progress, *, turn: int) -> None:
    """Make what is missing of initial maps and maps of the trunk before the first round, labels before each later."""
    if turn == 1:
        network, _ = begin(context.config, begin_from(context), context.seed)
        if first_of(context.config) == name_of(1):
            mask = mask_by_maps(context)
            make_files(context, label_path, lambda sample, tell: on_grid(mask(sample, tell), context.config), progress)
        if context.config.keep_maps:
            make_files(context, maps_path, look_once(context, network), progress)
    else:
        make_files(context, label_path, label_by_network(context, go_on_from(context, turn)), progress)


def build_round(context: TrainingContext, *, turn: int) -> MuGLearner:
    """The learner of a round."""
    initial = open_initial(context)
    predicted = None if turn == 1 else open_labels(context, name_of(turn))
    weights = begin_from(context) if turn == 1 else go_on_from(context, turn)
    kept = open_maps(context, name_of(1)) if context.config.keep_maps else None
    return MuGLearner(context, initial=initial, predicted=predicted, begin_from=weights, turn=turn, kept=kept)


def begin_from(context: TrainingContext) -> Path | None:
    """The weights given for a stage, or those that the one before ended with; None where there are neither."""
    return context.weights or context.earlier


def go_on_from(context: TrainingContext, turn: int) -> Path:
    """The weights that a later round goes on from."""
    found = begin_from(context)
    assert found is not None, f"round {turn} has one before it"
    return found


def mask_by_maps(context: TrainingContext) -> LabelVideo:
    """Q on pixels: what the provider says stands out, made binary by the CRF at the size that the network works on."""
    config: TrainingConfig = context.config
    provider = saliency_provider(context.providers["saliency"], context.device)

    def mask(sample: Sample, tell: Callable[[int], None]) -> NDArray[np.uint8]:
        def read(t: int) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(sample.read_frame(t)))

        found = []
        for t in range(sample.length):
            frame = read(t)
            around = frames_around(provider, read, t, sample.length)
            rated = provider.rate(frame, Place(sample.name, sample.frame_names[t]), around)
            small = torch.from_numpy(shrink(frame.numpy(), config.size))
            rated = torch.nn.functional.interpolate(rated[None, None], config.size, mode="bilinear", antialias=True)
            found.append(decide_by_crf(small, rated[0, 0].cpu()).byte().numpy())
            tell(t + 1)
        return np.stack(found)

    return mask


def label_by_network(context: TrainingContext, weights: Path) -> LabelVideo:
    """P of the round before: zero-shot inference on all frames of a video, and the CRF."""
    config: TrainingConfig = context.config
    phi = Phi(load_network(weights), context.device, DTYPES["fp32"])
    learned = Learned(phi, ObjectConfig(stretch=config.size, references=config.segments), context.seed)
    threshold = config.label_threshold or find_threshold(context, learned)

    @torch.inference_mode()
    def label(sample: Sample, tell: Callable[[int], None]) -> NDArray[np.uint8]:
        video = video_of(sample, context)
        references, found = learned.begin(video), []
        for t in range(sample.length):
            frame = video[t]
            found.append(decide_by_crf(frame, learned.rate(frame, t, references), threshold).byte().cpu().numpy())
            tell(t + 1)
        return on_grid(np.stack(found), config)

    return label


def video_of(sample: Sample, context: TrainingContext) -> Video:
    """A video at the size that the network works on."""
    height, width = context.config.size

    def read(t: int) -> Tensor:
        return torch.from_numpy(shrink(np.asarray(sample.read_frame(t), np.uint8), (height, width))).to(context.device)

    return Video(name=sample.name, length=sample.length, height=height, width=width, read=read)


@torch.inference_mode()
def find_threshold(context: TrainingContext, learned: Learned) -> float:
    """The probability that as large a share of the pixels exceeds as the initial maps cover: no truth is asked.

    Of each video the frames that are its references are looked at.
    """
    config: TrainingConfig = context.config
    rated, shares = [], []
    for sample, initial in zip(context.samples, open_initial(context), strict=True):
        video = video_of(sample, context)
        references = learned.begin(video)
        for t in references.memories:
            whole = learned.rate(video[t], t, references)
            rated.append(torch.nn.functional.adaptive_avg_pool2d(whole[None], config.grid).flatten().cpu())
            shares.append(float(initial[t].mean()))
    found = np.quantile(torch.cat(rated).numpy(), 1 - sum(shares) / len(shares))  # torch's takes 16 million at most
    return min(max(float(found), LEAST_THRESHOLD), 1 - LEAST_THRESHOLD)


def on_grid(masks: NDArray[np.uint8], config: TrainingConfig) -> NDArray[np.uint8]:
    """Masks (T, H, W) on the cells, by nearest."""
    return np.stack([resize_nearest(torch.from_numpy(np.array(mask)), config.grid).numpy() for mask in masks])


def open_masks(context: TrainingContext) -> Labels:
    """The initial maps that the stage of single frames prepared, on pixels."""
    return open_files(context, FRAMES, masks_path, np.uint8, context.config.size)


def open_initial(context: TrainingContext) -> Labels:
    """The initial maps, on the grid of cells."""
    if context.config.frames_iterations:
        return [on_grid(masks, context.config) for masks in open_masks(context)]
    return open_labels(context, name_of(1))


def open_labels(context: TrainingContext, stage: str) -> Labels:
    """The labels that a stage prepared, on the grid of cells."""
    return open_files(context, stage, label_path, np.uint8, context.config.grid)
