"""The network while a stage trains it: what it begins with, what of it learns, and what the loop asks of any stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from harness import TrainingContext
from harness.models.efficientnet_lite import EfficientNetLite0, find_published_weights
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_mug.network import (
    TRAINING,
    MuGNetwork,
    build_network,
    is_ours,
    load_network,
    load_trunk,
    read_weights,
)
from harness_mug.training.config import TrainingConfig
from harness_mug.training.granularities.long import Kappa


class Parts(nn.Module):
    """What learns beside the network and is left behind: kappa, and the bias of responses."""

    def __init__(self) -> None:
        super().__init__()
        self.kappa = Kappa()
        self.bias = nn.Parameter(torch.tensor(-2.0))  # most of a Gaussian response is 0


class TrainedNetwork:
    """The part of a ``harness.Learner`` that all stages share: all but batches and losses."""

    def __init__(self, context: TrainingContext, config: TrainingConfig, begin_from: Path | None) -> None:
        """``config`` is the stage's own, ``begin_from`` as of ``begin``."""
        self.config, self.device, self.iterations = config, torch.device(context.device), config.iterations
        self.network, self.parts = begin(config, begin_from, context.seed)
        freeze(self.network, config)
        self.layout = fastest_layout(self.device, DTYPES[context.precision], tf32=False)
        for module in self.networks().values():
            module.to(self.device, memory_format=self.layout).train()  # type: ignore[call-overload]
        for module in self.network.trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = config.norm_momentum or module.momentum
                if config.norms == "frozen":
                    module.eval()
        self._optimizer = self._build_optimizer()

    def _build_optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        trunk = [each for each in self.network.trunk.parameters() if each.requires_grad]
        kappa = list(self.parts.kappa.parameters())
        known = {id(each) for each in (*self.network.trunk.parameters(), *kappa)}
        heads = [
            each
            for each in (*self.network.parameters(), *self.parts.parameters())
            if id(each) not in known and each.requires_grad
        ]
        groups = [
            {"params": trunk, "lr": config.lr},
            {"params": heads, "lr": config.lr * config.head_scale, "lr_scale": config.head_scale},
            {"params": kappa, "lr": config.lr * config.kappa_scale, "lr_scale": config.kappa_scale},
        ]
        groups = [group for group in groups if group["params"]]
        if config.optimizer == "adam":
            return torch.optim.Adam(groups, weight_decay=config.weight_decay)
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)

    def networks(self) -> Mapping[str, nn.Module]:
        """The network, and what only training has."""
        return {"network": self.network, "parts": self.parts}

    def optimizer(self) -> torch.optim.Optimizer:
        """Over all that learns; the heads at a rate of their own."""
        return self._optimizer

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        return self.config.learning_rate(iteration)

    def images_of(self, frames: Tensor) -> Tensor:
        """Frames (B, H, W, 3) of 0..255 on the device, as the trunk wants them."""
        images = self.network.normalise(frames.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float())
        return images.contiguous(memory_format=self.layout)

    def after_step(self, iteration: int) -> None:
        """Nothing."""

    def weights(self) -> Mapping[str, Tensor]:
        """The network, and under ``training.`` what the next stage goes on with; floats in fp16."""
        state = {**self.network.state_dict(), **{TRAINING + k: v for k, v in self.parts.state_dict().items()}}
        return {
            name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
            for name, value in state.items()
        }


def freeze(network: MuGNetwork, config: TrainingConfig) -> None:
    """Have the first stages of a small trunk learn nothing."""
    trunk = network.trunk
    if not config.frozen_stages or not isinstance(trunk, EfficientNetLite0):
        return
    blocks = trunk._blocks[: trunk.ends[config.frozen_stages - 1] + 1]
    for module in (trunk._conv_stem, trunk._bn0, blocks):
        module.requires_grad_(False)


def begin(config: TrainingConfig, path: Path | None, seed: int) -> tuple[MuGNetwork, Parts]:
    """Both: as a file of ours holds them, or drawn anew around a trunk from a file of others.

    Without a file an ``imagenet`` small takes the installed package's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        parts = Parts()
    if path is None and config.initial == "imagenet":
        path = find_published_weights()
    if path is None:
        return build_network(config.architecture, seed), parts
    state = read_weights(path)
    if not is_ours(state):
        network = build_network(config.architecture, seed)
        load_trunk(network, state, str(path))
        return network, parts
    kept = {name.removeprefix(TRAINING): value for name, value in state.items() if name.startswith(TRAINING)}
    if kept.keys() == parts.state_dict().keys():
        parts.load_state_dict(kept)
    return load_network(path), parts
