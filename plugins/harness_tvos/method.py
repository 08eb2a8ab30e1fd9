"""TVOS (Zhang et al. 2020): labels flow to each new frame from a few earlier ones, along affinities of pixels.

The order is that of section 3 of the paper; where paper and released code differ, ``Config`` says which is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from harness import BuildContext, Prompts, Video, stage
from harness.ops.labels import VOID, one_hot, resize_bilinear
from harness_tvos.config import Config
from harness_tvos.kernels import propagate
from harness_tvos.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    build_network,
    for_inference,
    load_checkpoint,
    network_for,
)
from harness_tvos.sizes import grid_of, resized_image, soft_labels, working_size


def build(context: BuildContext) -> TVOS:
    """TVOS with the context's weights, whose names decide the architecture; without weights, an untrained network."""
    if context.weights is None:
        network = build_network(context.config.untrained_architecture, seed=context.seed)
    else:
        network = network_for(load_checkpoint(context.weights))
    return TVOS(for_inference(network, context.device, context.precision), context.config, context.device)


class TVOS:
    """Transductive video object segmentation, one-shot; ``network`` gives features (1, C, ceil(H/8), ceil(W/8))."""

    def __init__(self, network: nn.Module, config: Config, device: str) -> None:
        self.network = network
        self.config = config
        self.mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; background until a first object is prompted, from where frames are counted."""
        memory: Memory | None = None
        first = 0
        for frame in range(len(video)):
            prompt = prompts.get(frame)
            if prompt is not None:
                prompt = prompt.masked_fill(prompt == VOID, 0)
            if memory is None:
                mask = video[frame].new_zeros(video.size) if prompt is None else prompt
                if prompt is not None and prompt.any():
                    first, features = frame, self.embed(video[frame])
                    frames = min(len(video) - frame, frames_kept(self.config))
                    memory = Memory(frames, grid_of(working_size(video.size, self.config.short_side)), features)
                    memory.add_objects(prompt)
                    memory.write(0, features, self.prompted_labels(prompt, memory))
                yield mask
                continue
            features = self.embed(video[frame])
            scores = self.scores(memory, features, frame - first)  # (K, h, w)
            labels = one_hot(scores.argmax(0).byte(), range(len(scores)))  # hard, as history is kept
            with stage("upsample"):
                mask = memory.ids[
                    resize_bilinear(scores, video.size).max(0).indices
                ]  # argmax is 20 times slower on CPU
            if prompt is not None and prompt.any():
                memory.add_objects(prompt)
                mask, labels = overlaid(mask, prompt), overlaid_labels(labels, self.prompted_labels(prompt, memory))
            memory.write(frame - first, features, labels)
            yield mask

    def embed(self, image: Tensor) -> Tensor:
        """Features (h*w, C) of a (H, W, 3) uint8 RGB image (section 3.5: no resizing unless asked for)."""
        with stage("backbone"):
            images = (resized_image(image, self.config.short_side) / 255 - self.mean) / self.std  # (1, 3, H, W)
            features = self.network(images)  # (1, C, h, w)
            return features[0].permute(1, 2, 0).flatten(0, 1).contiguous()  # (h*w, C)

    def prompted_labels(self, prompt: Tensor, memory: Memory) -> Tensor:
        """What a prompt says of every feature pixel, (K, h, w)."""
        return soft_labels(prompt, memory.ids.tolist(), self.config.short_side)

    def scores(self, memory: Memory, features: Tensor, target: int) -> Tensor:
        """Class scores (K, h, w) of frame ``target``: equations 4 and 6 over its references."""
        references = reference_frames(target, self.config)
        with stage("propagate"):
            scores = propagate(
                features,
                memory.features,
                memory.labels,
                memory.slots(references),
                sigmas(target, len(references), self.config),
                size=memory.grid,
                temperature=self.config.temperature,
            )  # (K, h*w)
            if self.config.renormalise:
                total = scores.sum(0)
                scores = torch.where(total > 0, scores / total, scores)
            return scores.unflatten(1, memory.grid)


def reference_frames(target: int, config: Config) -> tuple[int, ...]:
    """The frames labels come from, ascending: dense in the near past, sparse in the far (section 3.3, figure 3)."""
    if target <= config.sparse + config.dense:
        return tuple(range(target))
    end = target - 1 - config.dense
    start = max(target - config.reach, 0)
    steps = max(config.sparse - 1, 1)
    spread = [start + k * (end - start) // steps for k in range(config.sparse)]  # truncated linspace(start, end)
    return (*spread, *range(end + 1, target))


def sigmas(target: int, references: int, config: Config) -> tuple[float, ...]:
    """The width of the spatial prior for each reference (section 3.3, "a simple motion prior")."""
    if target < config.far_from:
        return (config.sigma_near,) * references
    near = min(config.near, references)
    return (config.sigma_far,) * (references - near) + (config.sigma_near,) * near


def frames_kept(config: Config) -> int:
    """How far back any target ever looks."""
    return max(config.sparse + config.dense, config.reach if config.sparse else 0)


class Memory:
    """Features and labels of the last frames in two rings, allocated once: constant in the length of the video."""

    def __init__(self, frames: int, grid: tuple[int, int], features: Tensor) -> None:
        self.grid = grid
        self.features = features.new_empty(frames, *features.shape)  # (S, h*w, C)
        self.labels = torch.zeros(frames, 1, len(features), device=features.device)  # (S, K, h*w)
        self.ids = torch.zeros(1, dtype=torch.uint8, device=features.device)  # (K,) object id of each class

    def slots(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Where these frames lie in the rings."""
        return tuple(frame % len(self.features) for frame in frames)

    def write(self, frame: int, features: Tensor, labels: Tensor) -> None:
        """Keep a frame's features (h*w, C) and labels (K, h, w) in place of the oldest frame's."""
        slot = frame % len(self.features)
        self.features[slot] = features
        self.labels[slot] = labels.flatten(1)

    def add_objects(self, prompt: Tensor) -> None:
        """Give each id of ``prompt`` that is new a class; earlier frames hold nothing of it."""
        known = set(self.ids.tolist())
        new = [value for value in prompt.unique().tolist() if value not in known]
        if new:
            self.ids = torch.cat([self.ids, self.ids.new_tensor(new)])
            self.labels = nn.functional.pad(self.labels, (0, 0, 0, len(new)))


def overlaid(mask: Tensor, prompt: Tensor) -> Tensor:
    """``mask`` with the objects of ``prompt`` exactly as prompted."""
    kept = mask.masked_fill(torch.isin(mask, prompt.unique()), 0)
    return torch.where(prompt > 0, prompt, kept)


def overlaid_labels(labels: Tensor, prompted: Tensor) -> Tensor:
    """The same for labels: ``prompted`` (K, h, w) where it shows objects, and ``labels`` of the other objects else.

    ``labels`` (k, h, w) are of the classes known before, so the first k of the K.
    """
    labels = nn.functional.pad(labels, (0, 0, 0, 0, 0, len(prompted) - len(labels)))
    others = labels * ~prompted.flatten(1).any(1)[:, None, None]
    others[0] = 1 - others[1:].sum(0)
    combined = others * prompted[0]  # the share that the prompt leaves to background
    combined[1:] += prompted[1:]
    return combined
