"""How the encoder learns from frames alone: a target's hidden colours are rebuilt from its memory (Zhu et al. 2020).

Pairwise pretraining (3.1) has one reference; the momentum memory (3.2) has several in one joint softmax, encoded by
Phi_r, which follows Phi_q. The loop is that of ``harness train``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import TrainingContext
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness.ops.local_attention import window_scores, window_sum
from harness_selfsup.frames.lab import to_lab
from harness_selfsup.network import STRIDE, Encoders, build_encoder, load_checkpoint, state_of
from harness_selfsup.training.clips import ClipSource
from harness_selfsup.training.config import TrainingConfig
from harness_selfsup.training.network import TrainedEncoder, keep_features, scale_features


class ClipBatch(NamedTuple):
    """B clips (B, K, S, S, 3) uint8 RGB, the target last."""

    clips: Tensor


class Reconstruction(NamedTuple):
    """The colours (B, c, h, w) rebuilt on the feature grid, and the attention's summary."""

    colours: Tensor
    peak: Tensor
    """Mean of the largest weight of a cell: 1 is a hard choice, 1 / (number of references) is none at all."""
    entropy: Tensor
    """Mean entropy of the weights of a cell, over that of equal weights: 0 to 1."""


def reconstruct(
    query: Tensor, memory: Sequence[Tensor], colours: Sequence[Tensor], radius: int, *, mask_outside: bool
) -> Reconstruction:
    """Zhu et al. 2020, eq. 6 and 7: one softmax over the windows in all references, times their colours.

    ``query`` and each of ``memory`` are (B, C, h, w), each of ``colours`` (B, c, h, w). What of a window lies outside
    the frame stays in the softmax with logit 0 and colour 0, as in MAST, unless ``mask_outside``.
    """
    scores = torch.cat([window_scores(query, keys, radius) for keys in memory], 1)  # (B, R*n, h, w)
    if mask_outside:
        scores = scores.masked_fill(is_outside(query, radius).repeat(1, len(memory), 1, 1), -torch.inf)
    weights = scores.softmax(1)
    rebuilt = [
        window_sum(part, values, radius) for part, values in zip(weights.chunk(len(memory), 1), colours, strict=True)
    ]
    with torch.no_grad():
        peak = weights.amax(1).mean()
        entropy = torch.special.entr(weights).sum(1).mean() / math.log(weights.shape[1])
    return Reconstruction(torch.stack(rebuilt).sum(0), peak, entropy)


def is_outside(features: Tensor, radius: int) -> Tensor:
    """Which places of each cell's window lie outside the frame: (1, n, h, w)."""
    ones = features.new_ones(1, 1, *features.shape[-2:])
    return window_scores(ones, ones, radius) == 0


def photometric_loss(prediction: Tensor, truth: Tensor, scale: float, *, is_aligned: bool) -> Tensor:
    """Smooth-L1 between colours (B, c, h, w) of the feature grid, up-sampled, and those (B, c, S, S) of the target."""
    upsampled, truth = on_pixels(prediction, truth, is_aligned=is_aligned)
    return F.smooth_l1_loss(upsampled * scale, truth * scale)


def on_pixels(prediction: Tensor, truth: Tensor, *, is_aligned: bool) -> tuple[Tensor, Tensor]:
    """Both at the same pixels: all of the truth's, or with ``is_aligned`` those up to the last cell's."""
    if not is_aligned:
        return F.interpolate(prediction, truth.shape[-2:], mode="bilinear", align_corners=False), truth
    rows, columns = (STRIDE * (n - 1) + 1 for n in prediction.shape[-2:])
    upsampled = F.interpolate(prediction, (rows, columns), mode="bilinear", align_corners=True)
    return upsampled, truth[..., :rows, :columns]


def without_channel(lab: Tensor, dropped: int | None, scale: float) -> Tensor:
    """The encoder's input (..., 3, S, S) with one channel hidden (0 is neutral) and the others scaled up."""
    if dropped is None:
        return lab
    factors = lab.new_full((3, 1, 1), scale)
    factors[dropped] = 0
    return lab * factors


class ReconstructionLearner:
    """Phi_q, Phi_r where there is one, and their training; a ``harness.Learner``."""

    def __init__(self, context: TrainingContext) -> None:
        config: TrainingConfig = context.config
        if config.batch % context.world:
            raise ValueError(f"batch={config.batch} cannot be shared by {context.world} processes; set a multiple")
        self.config, self.device = config, torch.device(context.device)
        self.layout = fastest_layout(self.device, DTYPES[context.precision], tf32=False)
        self.iterations = config.iterations
        self.source = ClipSource(context.samples, config, context.seed)
        self.places = range(context.rank, config.batch, context.world)
        self.query, self.memory = self._networks(context)
        self._adam = torch.optim.Adam(self.query.parameters(), lr=config.lr)

    def _networks(self, context: TrainingContext) -> tuple[TrainedEncoder, TrainedEncoder | None]:
        config = self.config
        begun = load_checkpoint(context.weights) if context.weights else Encoders(build_encoder(context.seed))
        query = TrainedEncoder(begun.query, is_normed=config.feature_norm)
        lab = self._first_images()
        if context.weights:
            keep_features(query, lab)
        elif config.feature_spread:
            scale_features(query, (config.feature_spread / self._spread(query, lab)) ** 0.5)
        memory = None
        if config.momentum_encoder:
            memory = copy.deepcopy(query)
            if begun.memory is not None:
                memory = TrainedEncoder(begun.memory, is_normed=config.feature_norm)
                keep_features(memory, lab)
            self._place(memory.requires_grad_(False))
        return self._place(query), memory

    def _place(self, network: TrainedEncoder) -> TrainedEncoder:
        return network.to(self.device, memory_format=self.layout).train()  # type: ignore[call-overload,no-any-return]

    def _first_images(self) -> Tensor:
        """The encoder's input (N, 3, S, S) at the first clips of iteration 0: the same on every process."""
        clips = self.source.clips(0, range(min(4, self.config.batch)))
        lab = to_lab(torch.from_numpy(clips).flatten(0, 1))
        return without_channel(lab, self.source.draw_channel(0), self.config.drop_scale)

    @torch.no_grad()
    def _spread(self, network: TrainedEncoder, lab: Tensor) -> float:
        """Standard deviation of the logits within a window, from one frame of each clip to another."""
        features = copy.deepcopy(network).train()(lab).unflatten(0, (-1, self.config.references + 1))
        return float(window_scores(features[:, -1], features[:, 0], self.config.radius).std(1).mean())

    def networks(self) -> Mapping[str, TrainedEncoder]:
        """Phi_q as ``query``; Phi_r, if there is one, as ``memory``."""
        return {"query": self.query} | ({"memory": self.memory} if self.memory is not None else {})

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam over Phi_q alone."""
        return self._adam

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        return self.config.learning_rate(iteration)

    def batch(self, iteration: int) -> ClipBatch:
        """This rank's clips: every ``world``-th of the batch."""
        return ClipBatch(torch.from_numpy(self.source.clips(iteration, self.places)))

    def loss(self, batch: ClipBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean photometric loss of the targets, and how sharp the attention is.

        Beside it, in units of Lab: the mean error of the rebuilt colours, and that of copying the reference's.
        """
        lab, dropped = self._lab(batch.clips), self.source.draw_channel(iteration)
        query, memory = self._features(without_channel(lab, dropped, self.config.drop_scale))
        return self._losses(query, memory, lab, dropped)

    def _lab(self, clips: Tensor) -> Tensor:
        """(B, K, 3, S, S) of (B, K, S, S, 3) uint8 RGB, on the device."""
        return to_lab(clips.to(self.device, non_blocking=True).flatten(0, 1)).unflatten(0, clips.shape[:2])

    def _losses(
        self, query: Mapping[int, Tensor], memory: Mapping[int, Tensor], lab: Tensor, dropped: int | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, count = self.config, lab.shape[1]
        hidden = slice(1, 3) if dropped is None else slice(dropped, dropped + 1)
        colours = lab[:, :, hidden, ::STRIDE, ::STRIDE].unbind(1)
        losses, logs = [], []
        for target in range(count) if config.symmetric else (count - 1,):
            others = [k for k in range(count) if k != target]
            rebuilt = reconstruct(
                query[target],
                [memory[k] for k in others],
                [colours[k] for k in others],
                config.radius,
                mask_outside=config.mask_outside,
            )
            truth = lab[:, target, hidden]
            losses.append(photometric_loss(rebuilt.colours, truth, config.loss_scale, is_aligned=config.is_aligned))
            logs.append(self._log(rebuilt, truth, colours[others[-1]]))
        means = {name: torch.stack([log[name] for log in logs]).mean() for name in logs[0]}
        return torch.stack(losses).mean(), means

    def _features(self, lab: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Features by place in the clip: those of targets and those of references."""
        count = lab.shape[1]
        if self.memory is None:
            both = dict(enumerate(self._encode(self.query, lab).unbind(1)))
            return both, both
        query = {count - 1: self._encode(self.query, lab[:, -1:])[:, 0]}
        with torch.no_grad():
            memory = dict(enumerate(self._encode(self.memory, lab[:, :-1]).unbind(1)))
        return query, memory

    def _encode(self, encoder: TrainedEncoder, lab: Tensor) -> Tensor:
        """Features (B, K, C, h, w) of the frames, references first; batch norms see them as the config says."""
        if self.config.norms == "apart":
            return torch.cat([self._encode_together(encoder, frames) for frames in lab.split(1, 1)], 1)
        return self._encode_together(encoder, lab)

    def _encode_together(self, encoder: TrainedEncoder, lab: Tensor) -> Tensor:
        images = lab.flatten(0, 1).contiguous(memory_format=self.layout)
        return encoder(images).float().unflatten(0, lab.shape[:2])

    @torch.no_grad()
    def _log(self, rebuilt: Reconstruction, truth: Tensor, copied: Tensor) -> dict[str, Tensor]:
        errors = {}
        for name, colours in (("error", rebuilt.colours), ("error_of_copying", copied)):
            prediction, truth_there = on_pixels(colours, truth, is_aligned=self.config.is_aligned)
            errors[name] = (prediction - truth_there).abs().mean() * 127
        return {**errors, "attention_peak": rebuilt.peak, "attention_entropy": rebuilt.entropy}

    @torch.no_grad()
    def after_step(self, iteration: int) -> None:
        """Zhu et al. 2020, eq. 8: theta_r <- m theta_r + (1 - m) theta_q; the statistics of batch norms are copied."""
        if self.memory is None:
            return
        follow(self.memory, self.query, self.config.momentum)

    def weights(self) -> Mapping[str, Tensor]:
        """MAST's names, in fp16; Phi_r under ``momentum.`` if the config wants it."""
        memory = self.memory.fold() if self.memory is not None and self.config.export_momentum else None
        state = state_of(Encoders(self.query.fold(), memory))
        return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


@torch.no_grad()
def follow(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move each parameter of ``follower`` by 1 - ``momentum`` of the way to the leader's; copy the buffers."""
    for own, other in zip(follower.parameters(), leader.parameters(), strict=True):
        own.lerp_(other, 1 - momentum)
    for kept, found in zip(follower.buffers(), leader.buffers(), strict=True):
        kept.copy_(found)


def build(context: TrainingContext) -> ReconstructionLearner:
    """What the card's ``Training`` builds."""
    return ReconstructionLearner(context)
