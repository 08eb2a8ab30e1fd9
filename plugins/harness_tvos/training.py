"""A TVOS network being trained, as ``harness train`` sees it: where it begins, its batches, loss and optimiser."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from harness import TrainingContext
from harness.models.checkpoints import read_state
from harness_tvos.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EmbeddingNetwork,
    build_network,
    initialise_from_imagenet,
    load_checkpoint,
    network_for,
)
from harness_tvos.sampling import ClipBatch, ClipSource, share_of, together
from harness_tvos.sampling_labels import CENTROIDS
from harness_tvos.sampling_mixed import MixedClips
from harness_tvos.sampling_plain import PlainClips, epoch_of
from harness_tvos.training_config import TrainingConfig
from harness_tvos.training_losses import every_frame_losses, last_frame_loss

SOFT_SCALE = 0.24


class TVOSLearner:
    """One training of one network; ``average`` is its moving average where the config asks for one."""

    def __init__(self, context: TrainingContext) -> None:
        config: TrainingConfig = context.config
        self.config = config
        self.device = torch.device(context.device)
        kind = PlainClips if config.clips == "plain" else MixedClips
        self.source: ClipSource = kind(context.samples, config, context.seed)
        self.epoch = epoch_of(context.samples, config)
        self.iterations = config.iterations or config.epochs * self.epoch
        self.places = share_of(config.batch, context.rank, context.world)
        network = with_shared_norms(begin(config, context.weights, context.seed), context)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False) if config.average else None
        self._optimizer = optimizer_of(self.network, config)
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device)
        self._std = torch.tensor(IMAGENET_STD, device=self.device)

    def networks(self) -> Mapping[str, nn.Module]:
        return {"network": self.network, **({"average": self.average} if self.average else {})}

    def optimizer(self) -> torch.optim.Optimizer:
        return self._optimizer

    def learning_rate(self, iteration: int) -> float:
        return self.config.learning_rate(iteration, self.iterations, self.epoch)

    def batch(self, iteration: int) -> ClipBatch:
        side = self.config.crop_at(iteration, self.iterations)
        return together([self.source.clip(iteration, place, side) for place in self.places])

    def loss(self, batch: ClipBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The propagation loss of the last frame, or of every frame with that of correspondence."""
        frames, labels, matches, is_matched = (part.to(self.device, non_blocking=True) for part in batch)
        images = ((frames.flatten(0, 1).float() / 255 - self._mean) / self._std).movedim(-1, 1)  # (B*K, 3, S, S)
        features = self.network(images.contiguous(memory_format=torch.channels_last)).float()
        features = features.unflatten(0, frames.shape[:2]).contiguous()  # (B, K, C, h, w)
        with torch.autocast(self.device.type, enabled=False):
            if self.config.targets == "last":
                loss, right = last_frame_loss(features.flatten(3), labels.flatten(2), CENTROIDS)
                return loss, {"propagation": loss.detach(), "right": right}
            propagation, correspondence, right = every_frame_losses(
                features, labels, matches, is_matched,
                negatives=self.config.negatives, neighbourhood=self.config.neighbourhood,
            )  # fmt: skip
        loss = propagation + self.config.correspondence * correspondence
        parts = {"propagation": propagation, "correspondence": correspondence, "right": right}
        return loss, {name: part.detach() for name, part in parts.items()}

    def after_step(self, iteration: int) -> None:
        """Move the average: over the first steps it forgets faster, so that the beginning does not weigh on it."""
        if self.average is None:
            return
        kept = min(self.config.average, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - kept)
                else:
                    mean.copy_(now)

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict under the official names, in halves where the config says so."""
        state = (self.average or self.network).state_dict()
        dtype = torch.float16 if self.config.half_weights else torch.float32
        return {
            name: (value.detach().to("cpu", dtype) if value.is_floating_point() else value.cpu()).contiguous()
            for name, value in state.items()
        }


def begin(config: TrainingConfig, weights: Path | None, seed: int) -> EmbeddingNetwork:
    """The network training begins with: untrained, from ImageNet, or a TVOS checkpoint, which keeps its architecture.

    ``weights`` in torchvision's layout give the stem and layers 1 to 3; layer 4 and the head begin untrained.
    """
    if weights is not None:
        state = {name.removeprefix("module."): value for name, value in read_state(weights).items()}
        if any(name.startswith("backbone.") for name in state):
            return network_for(load_checkpoint(weights))
    network = build_network(config.architecture, seed=seed)
    if weights is not None:
        initialise_from_imagenet(network, state)
    elif config.closed_residuals:
        close_residuals(network)
    return network


def with_shared_norms(network: nn.Module, context: TrainingContext) -> nn.Module:
    """The network with batch norms that take the statistics of all GPUs' clips, where there are several GPUs.

    As the paper's results were made; the released code lost it when it moved to DDP.
    """
    if context.world > 1 and context.device.startswith("cuda"):
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network


def close_residuals(network: EmbeddingNetwork, scale: float = SOFT_SCALE) -> None:
    """Prepare an untrained r18 for plain dot products: residual branches start closed, layer 3 starts at ``scale``.

    As drawn, post-ReLU features of 256 channels have dot products of several hundred, and a softmax at temperature 1
    sees one reference only. At scale .24 the expected spread between a cell and another is about 10.
    """
    layer3, layer4 = network.backbone[6], network.backbone[7]
    for block in (layer3[1], layer4[0], layer4[1]):  # type: ignore[index]
        nn.init.zeros_(block.bn2.weight)
    for norm in (layer3[0].bn2, layer3[0].downsample[1]):  # type: ignore[index,union-attr]
        nn.init.constant_(norm.weight, scale)


def optimizer_of(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD on everything alike, or AdamW with decay on convolutions alone; the gradient's norm is limited if asked."""
    parameters = list(network.parameters())
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters, lr=config.lr, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        )
    else:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99))

    def limit(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)

    if config.clip_norm:
        optimizer.register_step_pre_hook(limit)
    return optimizer
