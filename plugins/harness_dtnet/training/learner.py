"""How D-Net learns: centres, offsets and foreground of a frame, guided by the frame before (Zhou et al. 2021, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness import DataError, TrainingContext
from harness.models.checkpoints import read_state
from harness.models.dilated_resnet import load_torchvision
from harness.models.efficientnet_lite import load_published
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_dtnet.discovery.categories import FACT, write_fact
from harness_dtnet.discovery.encoders import Encoder, ResNetEncoder
from harness_dtnet.discovery.network import Answers
from harness_dtnet.network import GUIDANCE, Networks, build_networks, load_networks, state_to_store
from harness_dtnet.training.clips import FrameBatch, FrameSource
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.losses import centre_loss, foreground_loss, offset_loss
from harness_dtnet.training.targets import class_map, instance_targets
from harness_dtnet.training.videos import list_categories, open_videos

LINES = 480
"""Frames of so many lines are what ``sigma`` is told for."""


class DiscoveryLearner:
    """D-Net while it learns; T-Net's trunk goes along as it is. A ``harness.Learner``."""

    def __init__(self, context: TrainingContext) -> None:
        config: TrainingConfig = context.config
        if config.batch % context.world or config.batch // context.world < 2:
            raise ValueError(
                f"batch={config.batch} cannot be shared by {context.world} processes; set a multiple, at least twice it"
            )
        self.config, self.device = config, torch.device(context.device)
        self.iterations = config.iterations
        self.categories = list_categories(context.samples) if config.categories else {}
        classes = {number: place + 1 for place, number in enumerate(self.categories)}
        self.source = FrameSource(open_videos(context.samples, self.categories), config, context.seed, classes)
        self.places = range(context.rank, config.batch, context.world)
        self.all = begin(config, context.weights, context.seed, len(self.categories))
        self.layout = fastest_layout(self.device, DTYPES[context.precision], tf32=False)
        self.all.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.all.target.eval().requires_grad_(False)
        self.network = self.all.discovery.train()
        for encoder in encoders_of(self.all) if config.frozen_norms else []:
            encoder.trunk.eval()  # scale and shift of its norms go on learning
        self.mean, self.std = (
            torch.tensor(each, device=self.device).view(1, 3, 1, 1) * 255
            for each in (self.network.mean, self.network.std)
        )
        self._optimizer = self._build_optimizer()

    def _build_optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        trunk = [value for encoder in encoders_of(self.all) for value in encoder.trunk.parameters()]
        known = {id(value) for value in trunk}
        heads = [value for value in self.network.parameters() if id(value) not in known]
        groups = [{"params": trunk, "lr_scale": config.trunk_lr}, {"params": heads, "lr_scale": 1.0}]
        if config.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay)
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)

    def networks(self) -> Mapping[str, nn.Module]:
        """Both networks: T-Net's trunk does not change."""
        return {"networks": self.all}

    def optimizer(self) -> torch.optim.Optimizer:
        """Over D-Net alone."""
        return self._optimizer

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        return self.config.learning_rate(iteration)

    def batch(self, iteration: int) -> FrameBatch:
        """This rank's frames: every ``world``-th of the batch."""
        return self.source.frames(iteration, self.places)

    def loss(self, batch: FrameBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The three losses, weighed; logged without their weights: that of offsets is their mean error in pixels."""
        config = self.config
        batch = FrameBatch(*(part.to(self.device, non_blocking=True) for part in batch))
        answers = self._answer(batch)
        size = (batch.ids.shape[1], batch.ids.shape[2])
        logits = functional.interpolate(answers.foreground.float(), size=size, mode="bilinear", align_corners=False)
        targets = instance_targets(batch.ids, config.sigma * config.lines / LINES)
        foreground = foreground_loss(logits, class_map(batch.ids, batch.classes), config.hardest)
        centre = centre_loss(answers.heatmap[:, 0].float(), targets)
        offset = offset_loss(answers.offsets.float(), targets)
        loss = config.foreground_weight * foreground + config.centre_weight * centre + config.offset_weight * offset
        return loss, {"foreground": foreground.detach(), "centre": centre.detach(), "offset": offset.detach()}

    def _answer(self, batch: FrameBatch) -> Answers:
        images = self._normalise(batch.frames)
        if self.config.guidance == "off":
            answers: Answers = self.network(images)
            return answers
        masks = batch.masks[:, None].float() / 255
        guided: Answers = self.network(images, self._normalise(batch.before), masks, batch.is_guided)
        return guided

    def _normalise(self, frames: Tensor) -> Tensor:
        images = (frames.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return images.contiguous(memory_format=self.layout)

    def after_step(self, iteration: int) -> None:
        """Nothing: no copies are kept."""

    def weights(self) -> Mapping[str, Tensor]:
        """D-Net and T-Net's trunk, by their names."""
        return state_to_store(self.all, is_half=self.config.half_weights)

    def facts(self) -> Mapping[str, str]:
        """How the guidance's gates squeeze, and what the channels of the foreground head are called."""
        facts = {GUIDANCE: str(self.config.guidance)}
        return facts | {FACT: write_fact(self.categories)} if self.categories else facts


def begin(config: TrainingConfig, path: Path | None, seed: int, categories: int) -> Networks:
    """The networks a training begins with: those of a file of ours, or drawn by the seed around trunks of ImageNet.

    DataError for a file of ours that tells other categories apart, and for one that holds neither.
    """
    if path is not None and is_ours(path):
        networks = load_networks(path, config.guidance)
        if networks.discovery.categories != categories:
            raise DataError.at(
                path,
                found=f"weights that tell {networks.discovery.categories} categories apart",
                expected=f"{categories}, as the data and categories={str(config.categories).lower()} say",
                hint="begin from other weights, or without --init",
            )
        return networks
    networks = build_networks(
        config.architecture,
        categories=categories,
        guidance=config.guidance,
        seed=seed,
        imagenet=config.imagenet and path is None,
    )
    for encoder in encoders_of(networks) if path is not None else []:
        load_trunk(encoder, path)
    quieten_answers(networks)
    return networks


def quieten_answers(networks: Networks) -> None:
    """Let the last convolution of centres and offsets say nearly nothing at first (Panoptic-DeepLab: deviation .001).

    With He's initialisation half of a short training goes by until the heatmap is as low as one without a peak. The
    foreground keeps it: begun near nothing, it learns to be silent inside, where its bias alone can rise.
    """
    answer = networks.discovery.instance_head.answer
    nn.init.normal_(answer.weight, std=0.001)
    if answer.bias is not None:
        nn.init.zeros_(answer.bias)


def is_ours(path: Path) -> bool:
    """Whether a file holds a D-Net."""
    return any(name.startswith("discovery.") for name in read_state(path))


def load_trunk(encoder: Encoder, path: Path | None) -> None:
    """Load torchvision's ResNet-50, or the published EfficientNet-Lite0."""
    assert path is not None
    state = {name: value.float() if value.is_floating_point() else value for name, value in read_state(path).items()}
    if isinstance(encoder, ResNetEncoder):
        load_torchvision(encoder.trunk, state, str(path))
    else:
        load_published(encoder.trunk, state, str(path))


def encoders_of(networks: Networks) -> list[Encoder]:
    """The encoder of frames, and that of the guidance where it has its own."""
    discovery = networks.discovery
    has_own = discovery.guidance != "off" and not discovery.layout.is_shared
    return [discovery.encoder, *([discovery.guidance_encoder] if has_own else [])]
