"""The stages of a training of IMAS: flow and motion, then targets refined by appearance; RCF has one between them.

What is computed once before a stage lies in its folder: flow of all pairs, then a target of every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from harness import DataError, Sample, Stage, TrainingContext, read_facts, whole_file
from harness.api.learning import Progress
from harness.models.flow import flow_provider
from harness.models.flow.cache import FlowCache, keep_flow
from harness.ops.crf import IMAS as CRF
from harness.ops.crf import refine, unary_of
from harness_imas.network import OBJECT_CHANNEL, load_segmenter
from harness_imas.training.appearance import constrain, refine_target
from harness_imas.training.clips import LINES, WIDEST
from harness_imas.training.config import TrainingConfig
from harness_imas.training.cuts import move_to_cut
from harness_imas.training.frozen import KeptMaps, open_maps, prepare_maps
from harness_imas.training.kept import open_kept
from harness_imas.training.learner import CRF_KERNEL, Looks, SynergyLearner, begin, semantics_of

MOTION, ONLINE, APPEARANCE = "motion", "online", "appearance"
CELL = 4
"""Flow is kept at a quarter of the frames that the network sees, which is the finest of its masks."""
CUT_DIVIDE = 0.5
"""What a mask moved to a cut is divided by before it is a unary. code."""


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of a config, in their order: those that have iterations."""
    known = {
        MOTION: Stage(MOTION, build=build_motion, prepare=prepare_motion),
        ONLINE: Stage(ONLINE, build=build_online, prepare=prepare_online),
        APPEARANCE: Stage(APPEARANCE, build=build_appearance, prepare=prepare_appearance),
    }
    return tuple(known[name] for name in stages_of(config))


def stages_of(config: TrainingConfig) -> Sequence[str]:
    """Their names."""
    counts = {MOTION: config.iterations, ONLINE: config.online_iterations, APPEARANCE: config.appearance_iterations}
    return [name for name, iterations in counts.items() if iterations]


def prepare_motion(context: TrainingContext, progress: Progress) -> None:
    """Compute the flow of all pairs, both ways; where the backbone is frozen its maps too."""
    segmenter, _ = begin(context.config, context.weights, context.seed)  # a file that is missing is missed now
    open_flow(context, progress)
    if context.config.frozen:
        prepare_maps(context, segmenter, motion_folder(context), progress)


def build_motion(context: TrainingContext) -> SynergyLearner:
    """The learner of stage 1."""
    return SynergyLearner(context, open_flow(context), begin_from=context.weights, maps=open_kept_maps(context))


def motion_folder(context: TrainingContext) -> Path:
    """Where flow, and the maps of a frozen backbone, lie: with the first stage that there is."""
    return context.artefacts_of(stages_of(context.config)[0])


def open_kept_maps(context: TrainingContext) -> KeptMaps | None:
    """The maps of a frozen backbone; None where it learns."""
    return open_maps(context, motion_folder(context)) if context.config.frozen else None


def go_on_from(context: TrainingContext) -> Path:
    """The weights that a later stage goes on from: those given for it, or those that the one before ended with."""
    found = context.weights or context.earlier
    if found is None:
        raise DataError(
            "there are no weights of stage motion to go on from, which iterations=0 leaves out",
            hint="--init FILE, with what stage motion ended with: stage-motion.safetensors in its folder",
        )
    return found


def prepare_online(context: TrainingContext, progress: Progress) -> None:
    """Nothing but what stage 1 would have made where it is left out."""
    go_on_from(context)
    if context.stage == stages_of(context.config)[0]:
        prepare_motion(context, progress)


def build_online(context: TrainingContext) -> SynergyLearner:
    """The learner of RCF's step between both stages."""
    weights = go_on_from(context)
    channel = object_channel(weights, context.config.channels)
    return SynergyLearner(context, open_flow(context), begin_from=weights, online=True, object_channel=channel)


def prepare_appearance(context: TrainingContext, progress: Progress) -> None:
    """Make the targets, and what stage 1 would have made where it is left out."""
    prepare_online(context, progress)
    prepare_targets(context, go_on_from(context), progress)


def prepare_targets(context: TrainingContext, weights: Path, progress: Progress) -> None:
    """Write a target for each frame: the object's mask, refined by the CRF, held to what resembles it (eq. 7, 12)."""
    config: TrainingConfig = context.config
    segmenter = load_segmenter(weights, averaged=True).to(context.device).eval()
    semantics = semantics_of(config, context.weights)
    looks = Looks(segmenter, None if semantics is None else semantics.to(context.device), config)
    channel = object_channel(weights, segmenter.channels)
    total = sum(sample.length for sample in context.samples)
    done = 0
    for sample in context.samples:
        path = target_path(context, sample)
        if not path.exists():
            targets = []
            for t in range(sample.length):
                targets.append(make_target(looks, sample.read_frame(t), channel, config))
                progress(done + t + 1, total)
            with whole_file(path) as file:
                np.save(file, np.stack(targets))
        done += sample.length
        progress(done, total)


def build_appearance(context: TrainingContext) -> SynergyLearner:
    """The learner of stage 2, which goes on from the weights of stage 1."""
    weights, config = go_on_from(context), context.config
    channel = object_channel(weights, config.channels)
    targets = [open_kept(target_path(context, sample), sample, np.uint8, "h w") for sample in context.samples]
    if config.fresh_head:
        context = replace(context, config=replace(config, merging=True))
        if context.earlier is not None and MOTION in stages_of(config):
            weights = context.earlier.with_name(f"stage-{MOTION}.safetensors")
    return SynergyLearner(
        context,
        open_flow(context),
        begin_from=weights,
        maps=open_kept_maps(context),
        targets=targets,
        object_channel=channel,
        fresh_head=config.fresh_head,
    )


def open_flow(context: TrainingContext, progress: Progress = lambda done, total: None) -> FlowCache:
    """The flow of all pairs, computed where it is not there yet.

    It is kept in pixels of each video; the largest value kept is that of ``clamp`` in the tallest.
    """
    config: TrainingConfig = context.config
    provider = flow_provider(context.providers["flow"], context.device, context.samples)
    rows = config.short_side // CELL
    tallest = max((sample.height for sample in context.samples), default=LINES)
    return keep_flow(
        context.samples,
        provider,
        motion_folder(context),
        grid=(rows, round(rows * WIDEST)),
        clamp=config.clamp * max(tallest / LINES, 1.0),
        progress=progress,
    )


def object_channel(weights: Path, channels: int) -> int:
    """What the weights of a stage say is the object; DataError where they say nothing of use."""
    told = read_facts(weights).get(OBJECT_CHANNEL, "")
    if not told.isdecimal() or int(told) >= channels:
        raise DataError.at(
            weights,
            found=f"{OBJECT_CHANNEL} {told!r}",
            expected=f"a number below {channels}",
            hint="train the stage motion again, or begin from weights of it",
        )
    return int(told)


@torch.no_grad()
def make_target(looks: Looks, frame: NDArray[np.uint8], channel: int, config: TrainingConfig) -> NDArray[np.uint8]:
    """The target (h, w) of a frame, 0 to 255, at the size of its masks."""
    image = torch.from_numpy(np.ascontiguousarray(frame))
    mask = looks.channels(image)[channel].cpu()  # (h, w)
    features = looks.semantics(image).cpu() if config.semantic or config.ncut else None
    if config.crf_on_frames:
        mask = refine_on_frame(image, mask, features if config.ncut else None, config)
    elif config.crf:
        kernel = replace(CRF_KERNEL, sxy=config.crf_sxy * mask.shape[0] / LINES)
        small = shrink(image, (mask.shape[0], mask.shape[1]))  # (h, w, 3)
        mask = refine_target(small, mask, replace(CRF, bilateral=kernel), divide=config.crf_divide)
    if config.semantic and features is not None:
        mask = constrain(mask, features, threshold=config.threshold, dilation=config.dilation)
    return np.asarray((255 * mask).round().byte())


def refine_on_frame(image: Tensor, mask: Tensor, features: Tensor | None, config: TrainingConfig) -> Tensor:
    """RCF's target (H, W) of a (H, W, 3) frame brought to 480 lines, from a mask (h, w): soft.

    With features it is multiplied by that of the mask moved to a normalised cut of them, unless both differ too much.
    """
    height, width = image.shape[:2]
    frame = shrink(image, (LINES, max(1, round(width * LINES / height))))

    def refine_part(soft: Tensor, divide: float) -> Tensor:
        enlarged = functional.interpolate(soft[None, None], size=frame.shape[:2], mode="bilinear", align_corners=False)
        crf = replace(CRF, bilateral=replace(CRF_KERNEL, sxy=config.crf_sxy))
        return refine(frame[None], unary_of(enlarged[:, 0], divide=divide, stretch=True), crf)[0, 1]

    target = refine_part(mask, config.crf_divide)
    if features is None:
        return target
    cut = refine_part(move_to_cut(features, mask), CUT_DIVIDE)
    far = ((target > 0.5) != (cut > 0.5)).float().mean()
    return target if config.ncut_far is not None and far > config.ncut_far else target * cut


def shrink(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """A (H, W, 3) uint8 frame at another size, each pixel the mean of those it stands for."""
    pixels = frame.permute(2, 0, 1)[None].float()
    smaller = functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return smaller[0].round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def target_path(context: TrainingContext, sample: Sample) -> Path:
    """Where the targets of a video lie."""
    assert context.artefacts is not None
    return context.artefacts / f"targets-{sample.digest()[:16]}.npy"
