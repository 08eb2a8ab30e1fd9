"""A TVOS network being trained, as ``harness train`` sees it: where it begins, its batches, loss and optimiser."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from harness import TrainingContext
from harness.models.checkpoints import read_state
from harness.models.efficientnet_lite import find_published_weights, load_published
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_tvos.network import (
    Architecture,
    EmbeddingNetwork,
    State,
    build_network,
    draw_convolutions,
    image_statistics,
    initialise_from_imagenet,
    network_for,
)
from harness_tvos.training.clips import ClipBatch, ClipSource, share_of, together
from harness_tvos.training.clips_mixed import MixedClips
from harness_tvos.training.clips_plain import PlainClips, epoch_of
from harness_tvos.training.config import TrainingConfig
from harness_tvos.training.labels import CENTROIDS
from harness_tvos.training.losses import every_frame_losses, last_frame_loss
from harness_tvos.variants.lite import TAPS, LiteArchitecture, LiteNetwork, centre_projection, is_lite

SOFT_SCALE = 0.24
FIRST_CLIPS = 8  # that a lite0's features are centred by


class TVOSLearner:
    """One training of one network; ``average`` is its moving average where the config asks for one."""

    def __init__(self, context: TrainingContext) -> None:
        config: TrainingConfig = context.config
        self.config = config
        self.device = torch.device(context.device)
        self.layout = fastest_layout(self.device, DTYPES[context.precision], tf32=False)
        kind = PlainClips if config.clips == "plain" else MixedClips
        self.source: ClipSource = kind(context.samples, config, context.seed)
        self.epoch = epoch_of(context.samples, config)
        self.iterations = config.iterations or config.epochs * self.epoch
        self.places = share_of(config.batch, context.rank, context.world)
        state = state_of(context.weights)
        begun = begin(config, state, context.seed)
        mean, std = image_statistics(begun)
        self._mean, self._std = (torch.tensor(values, device=self.device) for values in (mean, std))
        if isinstance(begun, LiteNetwork):
            begun = begun.to(self.device)
            if not is_lite(state):
                centre_projection(begun, self._first_images())
            begun.freeze(config.frozen_stages, norms=config.frozen_norms, temperature=not config.learn_temperature)
        network = with_shared_norms(begun, context)
        self.network = network.to(self.device, memory_format=self.layout).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False) if config.average else None
        self._averaged = pairs_to_average(self.average, self.network) if self.average else ([], [])
        self._optimizer = optimizer_of(self.network, config)

    def _first_images(self) -> Tensor:
        """What the network sees of the first clips: the same on every process."""
        side = self.config.crop_at(0, self.iterations)
        batch = together([self.source.clip(0, place, side) for place in range(min(self.config.batch, FIRST_CLIPS))])
        return self._images(batch.frames)

    def _images(self, frames: Tensor) -> Tensor:
        """Frames (B, K, S, S, 3) as bytes to (B*K, 3, S, S), normalised and on the device."""
        frames = frames.to(self.device, non_blocking=True)
        images = ((frames.flatten(0, 1).float() / 255 - self._mean) / self._std).movedim(-1, 1)
        return images.contiguous(memory_format=self.layout)

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
        labels, matches, is_matched = (part.to(self.device, non_blocking=True) for part in batch[1:])
        features = self.network(self._images(batch.frames)).float()
        features = features.unflatten(0, batch.frames.shape[:2]).contiguous()  # (B, K, C, h, w)
        with torch.autocast(self.device.type, enabled=False):
            if self.config.targets == "last":
                loss, right = last_frame_loss(features.flatten(3), labels.flatten(2), CENTROIDS)
                return loss, {"propagation": loss.detach(), "right": right}
            propagation, correspondence, right = every_frame_losses(
                features, labels, matches, is_matched,
                negatives=self.config.negatives, neighbourhood=self.config.neighbourhood,
                negative_cells=self.config.negative_cells,
            )  # fmt: skip
        loss = propagation + self.config.correspondence * correspondence
        parts = {"propagation": propagation, "correspondence": correspondence, "right": right}
        return loss, {name: part.detach() for name, part in parts.items()}

    def after_step(self, iteration: int) -> None:
        """Move the average: over the first steps it forgets faster, so that the beginning does not weigh on it."""
        if self.average is None:
            return
        kept = min(self.config.average, (1 + iteration) / (10 + iteration))
        means, values = self._averaged
        with torch.no_grad():
            torch._foreach_lerp_(means, values, 1 - kept)

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict under the official names, in halves where the config says so."""
        state = (self.average or self.network).state_dict()
        dtype = torch.float16 if self.config.half_weights else torch.float32
        return {
            name: (value.detach().to("cpu", dtype) if value.is_floating_point() else value.cpu()).contiguous()
            for name, value in state.items()
        }


def state_of(weights: Path | None) -> State:
    """What a training is to begin from, by name; nothing where there is none."""
    return {} if weights is None else {k.removeprefix("module."): value for k, value in read_state(weights).items()}


def begin(config: TrainingConfig, state: State, seed: int) -> EmbeddingNetwork | LiteNetwork:
    """The network training begins with: untrained, from ImageNet, or a TVOS checkpoint, which keeps its architecture.

    A state in torchvision's layout gives the stem and layers 1 to 3; layer 4 and the head begin untrained. One of
    EfficientNet-Lite0, or the installed package where ``imagenet`` asks for it, gives the trunk of a lite0.
    """
    if is_lite(state) or any(name.startswith("backbone.") for name in state):
        return network_for(
            {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        )
    if config.architecture in TAPS:
        return begin_lite(config, state, seed)
    network = build_network(cast(Architecture, config.architecture), seed=seed)
    if state:
        initialise_from_imagenet(network, state)
    elif config.closed_residuals:
        close_residuals(network)
    return network


def begin_lite(config: TrainingConfig, state: State, seed: int) -> LiteNetwork:
    """A lite0 with the trunk of a state dict, of the installed package, or untrained."""
    network = LiteNetwork(cast(LiteArchitecture, config.architecture), width=config.width)
    draw_convolutions(network, seed)
    nn.init.constant_(network.log_temperature, math.log(config.temperature))
    if state or config.imagenet:
        load_published(network.trunk, state or read_state(find_published_weights()))
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


def pairs_to_average(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """What of an average follows what of a network: all that is learnt or gathered; counters stay as they are."""
    states = average.state_dict(), network.state_dict()
    names = [name for name, value in states[0].items() if value.is_floating_point()]
    return [states[0][name] for name in names], [states[1][name].detach() for name in names]


def optimizer_of(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD on everything alike, or AdamW with decay on convolutions alone; the gradient's norm is limited if asked."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters, lr=config.lr, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        )
    else:
        trunk = set(network.trunk.parameters()) if isinstance(network, LiteNetwork) else set()
        head = [parameter for parameter in parameters if trunk and parameter not in trunk]
        body = [parameter for parameter in parameters if not trunk or parameter in trunk]
        scale = config.trunk_lr if trunk else 1.0
        groups = [
            {"params": [p for p in body if p.ndim > 1], "weight_decay": config.weight_decay, "lr_scale": scale},
            {"params": [p for p in body if p.ndim <= 1], "weight_decay": 0.0, "lr_scale": scale},
            *([{"params": head, "weight_decay": 0.0}] if head else []),
        ]
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99))

    def limit(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)

    if config.clip_norm:
        optimizer.register_step_pre_hook(limit)
    return optimizer
