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
from harness_mug.network import Embedding
from harness_mug.training.clips import LOOKED_AT, KeptMaps, Labels, VideoBatch, VideoSource
from harness_mug.training.config import TrainingConfig
from harness_mug.training.granularities.frame import bootstrap, frame_loss
from harness_mug.training.granularities.long import long_loss
from harness_mug.training.granularities.short import follow, short_loss
from harness_mug.training.granularities.video import scores, video_loss
from harness_mug.training.trained import TrainedNetwork


class Views(NamedTuple):
    """A batch on the device: images (V, F, 3, H, W), what phi says of them all, and targets (V, F, 1, h, w)."""

    images: Tensor
    embedding: Embedding
    targets: Tensor

    def of(self, video: int, place: int) -> Embedding:
        """One frame's embedding."""
        return self.embedding.at(video * self.images.shape[1] + place)


class MuGLearner(TrainedNetwork):
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
        if config.video and context.world == config.videos > 1:
            raise ValueError(
                f"videos={config.videos} leave each of {context.world} processes one, which the video granularity "
                "tells from nothing; set a multiple, or video=false"
            )
        super().__init__(context, config, begin_from)
        self.source = VideoSource(context.samples, initial, predicted, config, context.seed, turn, kept)
        self.places = range(context.rank, config.videos, context.world)

    def batch(self, iteration: int) -> VideoBatch:
        """This rank's videos: every ``world``-th of the batch. Video granularity tells them from each other alone."""
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
        total = torch.stack([config.loss_weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def look(self, batch: VideoBatch) -> Views:
        """Frames, targets and what phi makes of all of them at once."""
        videos, count = batch.frames.shape[:2]
        images = self.images_of(batch.frames.flatten(0, 1))
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
        return video_loss(found, batch.which.to(self.device))


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
