"""TVOS (Zhang et al. 2020): labels flow to each new frame from a few earlier ones, along affinities of pixels.

The order is that of section 3 of the paper; where paper and released code differ, ``Config`` says which is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from harness import BuildContext, Prompts, Video, stage
from harness.ops.labels import VOID, one_hot, resize_nearest
from harness_tvos.config import Config
from harness_tvos.kernels import embed, propagate, upsample
from harness_tvos.memory import Memory, merged, overlaid, overlaid_labels, with_classes, written_over
from harness_tvos.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    build_network,
    for_inference,
    load_checkpoint,
    network_for,
)
from harness_tvos.references import frames_kept, reference_frames, sigmas
from harness_tvos.sizes import Size, grid_of, hard_labels, resized_image, soft_labels, working_size
from harness_tvos.transferred import build_layer3_network, layer3_network_for


def build(context: BuildContext) -> TVOS:
    """TVOS with the context's weights, whose names decide the architecture; without weights, an untrained network."""
    config: Config = context.config
    network = for_inference(
        network_of(context), context.device, context.precision, normalised=config.normalise_features
    )
    return TVOS(network, config, context.device)


def network_of(context: BuildContext) -> nn.Module:
    """The network that gives the features the config asks for."""
    config: Config = context.config
    is_transferred = config.features == "layer3"
    if context.weights is None:
        make = build_layer3_network if is_transferred else build_network
        return make(config.untrained_architecture, seed=context.seed)
    state = load_checkpoint(context.weights)
    return layer3_network_for(state) if is_transferred else network_for(state)


class TVOS:
    """Transductive video object segmentation, one-shot; ``network`` gives features (1, C, ceil(h/8), ceil(w/8))."""

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
        for frame, prompt in self.prompted(video, prompts):
            if memory is None:
                if prompt is None:
                    yield video[frame].new_zeros(video.size)
                    continue
                first, mask, features = frame, prompt, self.embed(video[frame])  # (h*w, C)
                memory = Memory(min(len(video) - frame, frames_kept(self.config)), self.grid_of(video), features)
                memory.add_objects(prompt)
                labels = self.first_labels(prompt, memory)
            else:
                features = self.embed(video[frame])
                scores = self.scores(memory, features, frame - first)  # (K, h, w)
                mask = self.mask_of(scores, memory.ids, video.size)
                labels = one_hot(scores.argmax(0).byte(), range(len(scores)))  # hard, as history is kept
                if prompt is not None:
                    memory.add_objects(prompt)
                    mask, labels = self.with_later_objects(mask, labels, prompt, memory)
            memory.write(frame - first, features, labels)
            yield mask

    def prompted(self, video: Video, prompts: Prompts) -> Iterator[tuple[int, Tensor | None]]:
        """Every frame with its prompt, where that shows an object; void is background."""
        found = 0
        for frame in range(len(video)):
            prompt = prompts.get(frame)
            if prompt is not None:
                found += 1
                prompt = prompt.masked_fill(prompt == VOID, 0)
                is_skipped = self.config.official_bugs and found == 3
                prompt = prompt if prompt.any() and not is_skipped else None
            yield frame, prompt

    def embed(self, image: Tensor) -> Tensor:
        """Features (h*w, C) of a (H, W, 3) uint8 RGB image (section 3.5: no resizing unless asked for)."""
        with stage("backbone"):
            pixels = resized_image(image, self.size_of(image.shape[:2]))  # (1, 3, H, W)
            return embed((pixels / 255 - self.mean) / self.std, self.network)  # (h*w, C)

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

    def mask_of(self, scores: Tensor, ids: Tensor, size: Size) -> Tensor:
        """The id of the highest score at each pixel of a video of this size, (H, W) uint8."""
        with stage("upsample"):
            if self.config.upsample == "direct":
                return upsample(scores, ids, size)
            return resize_nearest(upsample(scores, ids, self.size_of(size)), size)

    def first_labels(self, prompt: Tensor, memory: Memory) -> Tensor:
        """What the first prompt says of every feature pixel, (K, h, w): shares that stay soft, unlike later labels."""
        size = self.size_of(prompt.shape)
        if self.config.prompt_labels == "soft":
            return soft_labels(prompt, memory.ids.tolist(), size)
        return hard_labels(prompt, memory.ids.tolist(), (size, memory.grid))

    def with_later_objects(self, mask: Tensor, labels: Tensor, prompt: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Lay a later prompt over the mask (H, W) and the labels (k, h, w) predicted for its frame."""
        ids = memory.ids.tolist()
        if self.config.official_bugs:
            prompted = hard_labels(merged(prompt), ids, (memory.grid,))
            return mask, written_over(with_classes(labels, len(ids)), prompted)
        if self.config.prompt_labels == "soft":
            prompted = soft_labels(prompt, ids, self.size_of(prompt.shape))
        else:
            prompted = hard_labels(prompt, ids, (memory.grid,))
        return overlaid(mask, prompt), overlaid_labels(labels, prompted)

    def size_of(self, size: Sequence[int]) -> Size:
        """What the network sees of frames of this size."""
        return working_size((size[0], size[1]), self.config.short_side)

    def grid_of(self, video: Video) -> Size:
        """(h, w) of a video's features."""
        return grid_of(self.size_of(video.size))
