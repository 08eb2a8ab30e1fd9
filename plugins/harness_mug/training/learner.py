"""How the network of MuG learns in one round: four granularities on the same frames (Lu et al. 2020, eq. 16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness import TrainingContext
from harness.models.efficientnet_lite import EfficientNetLite0, find_published_weights
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_mug.network import (
    TRAINING,
    Embedding,
    MuGNetwork,
    build_network,
    is_ours,
    load_network,
    load_trunk,
    read_weights,
)
from harness_mug.training.clips import LOOKED_AT, KeptMaps, Labels, VideoBatch, VideoSource
from harness_mug.training.config import TrainingConfig
from harness_mug.training.granularities.frame import bootstrap, frame_loss
from harness_mug.training.granularities.long import Kappa, long_loss
from harness_mug.training.granularities.short import follow, short_loss
from harness_mug.training.granularities.video import scores, video_loss


class Parts(nn.Module):
    """What learns beside the network and is left behind: kappa, and the bias of responses."""

    def __init__(self) -> None:
        super().__init__()
        self.kappa = Kappa()
        self.bias = nn.Parameter(torch.tensor(-2.0))  # most of a Gaussian response is 0


class Views(NamedTuple):
    """A batch on the device: images (V, F, 3, H, W), what phi says of them all, and targets (V, F, 1, h, w)."""

    images: Tensor
    embedding: Embedding
    targets: Tensor

    def of(self, video: int, place: int) -> Embedding:
        """One frame's embedding."""
        return self.embedding.at(video * self.images.shape[1] + place)


class MuGLearner:
    """One round's learner. A ``harness.Learner``. ``predicted`` are the labels by the round before."""

    def __init__(
        self,
        context: TrainingContext,
        *,
        initial: Labels,
        predicted: Labels | None,
        begin_from: Path | None,
        turn: int,
        kept: KeptMaps | None = None,
    ) -> None:
        config: TrainingConfig = context.config
        if config.videos % context.world:
            raise ValueError(f"videos={config.videos} cannot be shared by {context.world} processes; set a multiple")
        self.config, self.device, self.iterations = config, torch.device(context.device), config.iterations
        self.source = VideoSource(context.samples, initial, predicted, config, context.seed, turn, kept)
        self.places = range(context.rank, config.videos, context.world)
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
        """Over all that learns; the heads faster than the trunk."""
        return self._optimizer

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        return self.config.learning_rate(iteration)

    def batch(self, iteration: int) -> VideoBatch:
        """This rank's videos: every ``world``-th of the batch. It tells them from each other alone."""
        return self.source.videos(iteration, self.places)

    def loss(self, batch: VideoBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Eq. 16 with the read-out's cross-entropy, which its print omits; what is switched off is not computed."""
        config = self.config
        views = self.look(batch)
        represented = self.represent(views, detach=not config.frame)  # (V, K, D, h, w)
        terms = {"read-out": self.read_out(views, represented)}
        if config.frame:
            terms["frame"] = frame_loss(self.network.judge(views.embedding).float(), views.targets.flatten(0, 1))
        if config.short:
            terms["short"] = self.short(views, batch)
        if config.long:
            terms["long"] = self.long(views, batch)
        if config.video:
            terms["video"] = self.video(views, batch)
        weights = {"short": config.short_weight, "long": config.long_weight, "video": config.video_weight}
        total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def look(self, batch: VideoBatch) -> Views:
        """Frames, targets and what phi makes of all of them at once."""
        frames = batch.frames.to(self.device, non_blocking=True)
        videos, count = frames.shape[:2]
        images = self.network.normalise(frames.flatten(0, 1).permute(0, 3, 1, 2).float())
        images = images.contiguous(memory_format=self.layout)
        initial = batch.initial.to(self.device, non_blocking=True).float()
        predicted = batch.predicted.to(self.device, non_blocking=True).float() if batch.predicted.numel() else None
        targets = bootstrap(initial, predicted, self.config.alpha)[:, :, None]
        if batch.maps.numel():
            maps = batch.maps.to(self.device, non_blocking=True).flatten(0, 1).float()
            maps = maps.contiguous(memory_format=self.layout)
            embedding = self.network.project(self.network.maps_from(maps, self.config.frozen_stages))
        else:
            embedding = self.embed(images, count)
        return Views(images.unflatten(0, (videos, count)), embedding, targets)

    def embed(self, images: Tensor, count: int) -> Embedding:
        """phi of all images; of a video at a time where its maps are computed again on the way back."""
        if not self.config.checkpoint:
            return self.network.embed(images)
        parts = [checkpoint(self.network.embed, part, use_reentrant=False) for part in images.split(count)]
        x, match = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "match"))
        return Embedding(x, match, tuple(torch.cat(each) for each in zip(*(part.skips for part in parts), strict=True)))

    def represent(self, views: Views, *, detach: bool) -> Tensor:
        """r of each segment's frame, gathered from those of the other segments (eq. 9 to 11)."""
        found = []
        for video in range(len(views.images)):
            memories = [self.network.remember(views.of(video, k)) for k in range(self.config.segments)]
            if detach:
                memories = [tuple(each.detach() for each in memory) for memory in memories]
            found.append(
                torch.stack(
                    [
                        self.network.represent(own, [other for j, other in enumerate(memories) if j != k])
                        for k, own in enumerate(memories)
                    ]
                )
            )
        return torch.stack(found)

    def read_out(self, views: Views, represented: Tensor) -> Tensor:
        """The cross-entropy of upsilon(r), as eq. 15."""
        segments = self.config.segments
        x, match, skips = views.embedding
        chosen = self.segment_frames(views)
        frames = Embedding(x[chosen], match[chosen], tuple(each[chosen] for each in skips))
        if not self.config.frame:
            frames = Embedding(frames.x, frames.match, tuple(each.detach() for each in frames.skips))
        logits = self.network.read_out(represented.flatten(0, 1), frames)
        return frame_loss(logits.float(), views.targets[:, :segments].flatten(0, 1))

    def segment_frames(self, views: Views) -> Tensor:
        """Places of the segments' frames in the flat batch."""
        videos, count = views.images.shape[:2]
        return torch.arange(videos * count, device=self.device).view(videos, count)[:, : self.config.segments].flatten()

    def short(self, views: Views, batch: VideoBatch) -> Tensor:
        """Eq. 5 over the clips."""
        clip = slice(-LOOKED_AT, None)
        features = self.network.track(views.embedding.x).unflatten(0, views.images.shape[:2])[:, clip]
        stride = self.network.layout.stride
        start = batch.start.to(self.device)
        response, _ = follow(
            views.images[:, clip],
            features,
            start,
            self.embed_patches,
            self.parts.bias,
            side=self.config.patch // stride,
            stride=stride,
        )
        return short_loss(response.float(), start, self.config.response * self.config.patch / stride)

    def embed_patches(self, patches: Tensor) -> Tensor:
        """What patches are correlated by. Batch norms keep nothing of them: at test time there are only frames.

        Four patches are embedded to each look at frames; their statistics would be most of what is kept.
        """
        with keep_statistics(self.network):
            return self.network.embed_for_tracking(patches)

    def long(self, views: Views, batch: VideoBatch) -> Tensor:
        """Eq. 8 over the pairs."""
        match = views.embedding.match.unflatten(0, views.images.shape[:2])
        every = torch.arange(len(match), device=self.device)
        pair = batch.pair.to(self.device)
        return long_loss(match[every, pair[:, 0]].float(), match[every, pair[:, 1]].float(), self.parts.kappa)[0]

    def video(self, views: Views, batch: VideoBatch) -> Tensor:
        """Eq. 14: one query a video, and one instance, which is compared with the same segments."""
        segments = self.config.segments
        queries, instances = [], []
        for video, query in enumerate(batch.query.tolist()):
            memories = [self.network.remember(views.of(video, k)) for k in range(segments)]
            own = self.network.remember(views.of(video, segments))
            others = [memory for k, memory in enumerate(memories) if k != query]
            queries.append(self.network.represent(memories[query], others).mean((1, 2)))
            instances.append(self.network.represent(own, others).mean((1, 2)))
        found = scores(torch.stack(queries).float(), torch.stack(instances).float(), self.config.temperature)
        return video_loss(found)

    def after_step(self, iteration: int) -> None:
        """Nothing."""

    def weights(self) -> Mapping[str, Tensor]:
        """The network, and under ``training.`` what the next round goes on with; floats in fp16."""
        state = {**self.network.state_dict(), **{TRAINING + k: v for k, v in self.parts.state_dict().items()}}
        return {
            name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
            for name, value in state.items()
        }


@contextmanager
def keep_statistics(network: nn.Module) -> Iterator[None]:
    """Have the batch norms that learn keep their running statistics as they are, whatever passes meanwhile."""
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d) and each.training]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


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
