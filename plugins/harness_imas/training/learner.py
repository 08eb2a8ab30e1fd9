"""How the network learns from flow, and then from its own refined masks (Lian et al. 2022, 3.2 and 3.3).

Frames t and t + 1 are a pair both ways (6.3): the mask of t rebuilds the flow forward, that of t + 1 the one backward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from harness import TrainingContext
from harness.models.alignment import Alignment, align
from harness.models.checkpoints import read_state
from harness.models.efficientnet_lite import find_published_weights
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness.ops.crf import IMAS as CRF
from harness.ops.crf import Bilateral
from harness_imas.frames import resize_whole
from harness_imas.network import (
    AVERAGED,
    MOTION,
    OBJECT_CHANNEL,
    PLANS,
    Features,
    Head,
    Maps,
    Segmenter,
    build_segmenter,
    load_segmenter,
)
from harness_imas.training.appearance import appearance_loss
from harness_imas.training.clips import Flows, PairBatch, PairSource
from harness_imas.training.config import TrainingConfig
from harness_imas.training.frozen import KeptMaps, WholePairs
from harness_imas.training.motion import OUTPUTS, Motion, compactness, entropy, motion_loss, rebuild
from harness_imas.training.online import Averaged

CRF_KERNEL = cast(Bilateral, CRF.bilateral)
FRAMES_LINES = 400
"""Of the frames whose crops targets are made for online; 60 pixels of those are what the CRF's kernel reaches. code."""


class MotionModel(nn.Module):
    """What is learnt beside the segmenter: the pooled motion, and the pathway's head where it has one."""

    def __init__(self, segmenter: Segmenter, config: TrainingConfig) -> None:
        super().__init__()
        self.pooled = Motion(kernel=config.motion_kernel)
        values = OUTPUTS.get(config.pathway, 0)
        high = segmenter.backbone.channels[1]
        plan = PLANS[config.architecture]
        self.residual = Head(2 * high, 2 * values * config.channels, plan) if values else None

    def raw(self, high: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """The pathway's logits forward and backward (B, 2C, h, w), from the high maps (2B, D, i, j) of both frames."""
        if self.residual is None:
            return None, None
        both = self.residual(torch.cat(high.chunk(2), 1))
        both = functional.interpolate(both, size=tuple(size), mode="bilinear", align_corners=False)
        forward, backward = both.chunk(2, 1)
        return forward.float(), backward.float()


class SynergyLearner:
    """One stage's learner. A ``harness.Learner``.

    ``maps`` are those of a frozen backbone, which then learns nothing. Later stages have an ``object_channel`` and
    ``targets`` made before, or make them ``online`` by an averaged copy.
    """

    def __init__(
        self,
        context: TrainingContext,
        flow: Flows,
        *,
        begin_from: Path | None,
        maps: KeptMaps | None = None,
        targets: Sequence[NDArray[np.uint8]] | None = None,
        online: bool = False,
        object_channel: int = 0,
        fresh_head: bool = False,
    ) -> None:
        config: TrainingConfig = context.config
        if config.batch % context.world:
            raise ValueError(f"batch={config.batch} cannot be shared by {context.world} processes; set a multiple")
        self.config, self.device = config, torch.device(context.device)
        self.object_channel, self.is_later = object_channel, online or targets is not None
        if online:
            self.iterations, self.weighs = config.online_iterations, (1.0, config.online_weight)
        elif self.is_later:
            self.iterations, self.weighs = (
                config.appearance_iterations,
                (config.motion_weight, config.appearance_weight),
            )
        else:
            self.iterations, self.weighs = config.iterations, (1.0, 0.0)
        self.samples = context.samples
        self.semantics = semantics_of(config, context.weights)
        self.source = (
            PairSource(context.samples, flow, config, context.seed, targets)
            if maps is None
            else WholePairs(context.samples, flow, maps, config, context.seed, targets)
        )
        self.places = range(context.rank, config.batch, context.world)
        self.segmenter, self.motion = begin(config, begin_from, context.seed, fresh_head=fresh_head)
        self.segmenter.backbone.requires_grad_(maps is None)
        self.averaged = Averaged(self.segmenter) if online else None
        self.layout = fastest_layout(self.device, DTYPES[context.precision], tf32=False)
        if self.semantics is not None:
            self.semantics.to(self.device)
        for network in self.networks().values():
            network.to(self.device, memory_format=self.layout).train()  # type: ignore[call-overload]
        both = (*self.segmenter.parameters(), *self.motion.parameters())
        learnt = [parameter for parameter in both if parameter.requires_grad]
        later = config.later_weight_decay if self.is_later else None
        decay = config.weight_decay if later is None else later
        self._adam = torch.optim.Adam(learnt, lr=self.learning_rate(0), weight_decay=decay)

    def networks(self) -> Mapping[str, nn.Module]:
        """The network that segments, the motion model that only training has, and where there is one the copy."""
        networks: dict[str, nn.Module] = {"segmenter": self.segmenter, "motion": self.motion}
        return networks | ({} if self.averaged is None else {"averaged": self.averaged})

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam over both."""
        return self._adam

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        start = self.config.appearance_lr if self.is_later else self.config.lr
        return self.config.learning_rate(iteration, self.iterations, start)

    def batch(self, iteration: int) -> PairBatch:
        """This rank's pairs: every ``world``-th of the batch."""
        return self.source.pairs(iteration, self.places)

    def loss(self, batch: PairBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Eq. 6, forward and backward summed; in a later stage eq. 9.

        Logged beside it: the flow's mean length, which a network that predicts no motion would lose, and how sure masks
        are (their largest share at a pixel, 1/C to 1).
        """
        config = self.config
        forward, backward = batch.flows.to(self.device, non_blocking=True).unbind(1)  # (B, 2, h, w) each
        frames, images = self._images(batch)
        maps = self._maps(batch, images)
        logits = self.segmenter.logits(maps).float()  # (2B, C, h, w)
        masks = logits.softmax(1)
        raws = self.motion.raw(maps.high, logits.shape[-2:])
        motion = torch.stack(
            [
                self._motion_loss(mask, flow, raw)
                for mask, flow, raw in zip(masks.chunk(2), (forward, backward), raws, strict=True)
            ]
        ).sum()
        logs = {"motion": motion, "sure": masks.amax(1).mean(), "flow": batch.flows.abs().mean()}
        if not self.is_later:
            loss = motion + config.entropy * entropy(logits) if config.entropy else motion
            if config.compactness:
                logs["compactness"] = compactness(masks[:, 0])
                loss = loss + config.compactness * logs["compactness"]
            return loss, {name: value.detach() for name, value in logs.items()}
        targets = self._targets(batch, frames, images)
        appearance = appearance_loss(masks[:, self.object_channel], targets, lacking=config.lacking)
        logs["appearance"] = appearance
        loss = self.weighs[0] * motion + self.weighs[1] * appearance
        return loss, {name: value.detach() for name, value in logs.items()}

    def _targets(self, batch: PairBatch, frames: Tensor, images: Tensor) -> Tensor:
        """The refined masks (2B, h, w) of all first frames and then of the second."""
        config = self.config
        if self.averaged is not None:
            sxy = config.crf_sxy * config.short_side / FRAMES_LINES
            crf = replace(CRF, bilateral=replace(CRF_KERNEL, sxy=sxy))
            return self.averaged.make_targets(frames, images, self.object_channel, crf, divide=config.crf_divide)
        made = batch.targets.to(self.device, non_blocking=True).transpose(0, 1).flatten(0, 1)
        return made if config.label_threshold is None else (made > config.label_threshold).float()

    def _images(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """The frames (2B, S, S, 3) uint8, all first ones and then the second, and as the backbone wants them."""
        frames = batch.frames.to(self.device, non_blocking=True).transpose(0, 1).flatten(0, 1)
        images = self.segmenter.normalise(frames.permute(0, 3, 1, 2).float())
        return frames, images.contiguous(memory_format=self.layout)

    def _maps(self, batch: PairBatch, images: Tensor) -> Maps:
        """The backbone's, of the images, or those kept where it is frozen (2B, ...)."""
        if not self.config.frozen:
            return self.segmenter.backbone(images)
        low, high = (
            both.to(self.device, non_blocking=True).transpose(0, 1).flatten(0, 1).float()
            for both in (batch.low, batch.high)
        )
        return Maps(low, high)

    def _motion_loss(self, masks: Tensor, flow: Tensor, raw: Tensor | None) -> Tensor:
        vectors = self.motion.pooled(masks, flow).float()
        return motion_loss(rebuild(masks, vectors, flow, raw, self.config.pathway), flow, self.config.pathway)

    def after_step(self, iteration: int) -> None:
        """The averaged copy follows, where there is one."""
        if self.averaged is not None:
            self.averaged.follow(self.segmenter, self.config.momentum)

    def weights(self) -> Mapping[str, Tensor]:
        """The segmenter, under ``motion.`` what a later stage goes on with, under ``averaged.`` the copy; in fp16."""
        state = {**self.segmenter.state_dict(), **{MOTION + k: v for k, v in self.motion.state_dict().items()}}
        if self.averaged is not None:
            state |= {AVERAGED + name: value for name, value in self.averaged.network.state_dict().items()}
        return {
            name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
            for name, value in state.items()
        }

    def facts(self) -> Mapping[str, str]:
        """Which mask is the object by motion-semantic alignment (paper 3.4) over the first frames, without truth."""
        return {OBJECT_CHANNEL: str(self.align().channel)}

    def align(self) -> Alignment:
        """The alignment of each of the masks as they are now."""
        was = self.segmenter.training
        self.segmenter.eval()
        try:
            return align(
                Looks(self.segmenter, self.semantics, self.config), self.samples, threshold=self.config.threshold
            )
        finally:
            self.segmenter.train(was)


class Looks:
    """A network being trained, as the tuner asks a method."""

    def __init__(self, segmenter: Segmenter, semantics: Features | None, config: TrainingConfig) -> None:
        self.segmenter, self.auxiliary, self.config = segmenter, semantics, config

    @torch.no_grad()
    def channels(self, frame: Tensor) -> Tensor:
        """Soft masks (C, h, w)."""
        found: Tensor = self.segmenter(self.segmenter.normalise(self._whole(frame)))
        return found[0].softmax(0)

    @torch.no_grad()
    def semantics(self, frame: Tensor) -> Tensor:
        """Features (D, i, j) of the frozen backbone, or where there is none of the network's own."""
        frames = self._whole(frame)
        if self.auxiliary is not None:
            found: Tensor = self.auxiliary(frames)
            return found[0]
        return self.segmenter.backbone(self.segmenter.normalise(frames)).high[0]

    def _whole(self, frame: Tensor) -> Tensor:
        device = next(self.segmenter.parameters()).device
        return resize_whole(frame.to(device), self.config.short_side, self.config.stretch)


def semantics_of(config: TrainingConfig, init: Path | None) -> Features | None:
    """The frozen backbone that tells what pixels mean: the file of others that the training began from.

    With ``initial`` imagenet the package's, where it began from none or from one of ours, in which the backbone has
    learnt from motion since; None otherwise.
    """
    state = None if init is None else read_state(init)
    if state is None or is_segmenter(state):
        if config.initial != "imagenet":
            return None
        init = find_published_weights()
        state = read_state(init)
    floats = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    return Features(config.architecture, floats, str(init))


def is_segmenter(state: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of ours, not of a backbone alone."""
    return any(name.startswith("masks.") for name in state)


def begin(
    config: TrainingConfig, path: Path | None, seed: int, *, fresh_head: bool = False
) -> tuple[Segmenter, MotionModel]:
    """Both networks: as a file of ours holds them, or drawn anew around a backbone from a file of others.

    Without a file an ``imagenet`` lite0 takes the installed package's. ``fresh_head``: of a file of ours the head that
    makes masks is drawn anew.
    """
    fresh = build_segmenter(config.architecture, config.channels, merging=config.merging, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        motion = MotionModel(fresh, config)
    if path is None and config.initial == "imagenet":
        path = find_published_weights()
    if path is None:
        return fresh, motion
    state = {name: value.float() if value.is_floating_point() else value for name, value in read_state(path).items()}
    if not is_segmenter(state):
        fresh.backbone.load_published(state, str(path))
        return fresh, motion
    kept = {name.removeprefix(MOTION): value for name, value in state.items() if name.startswith(MOTION)}
    if kept.keys() == motion.state_dict().keys():
        motion.load_state_dict(kept)
    loaded = load_segmenter(path)
    if not fresh_head:
        return loaded, motion
    fresh.backbone.load_state_dict(loaded.backbone.state_dict())
    return fresh, motion
