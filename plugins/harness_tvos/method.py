"""TVOS (Zhang et al. 2020): labels flow to each new frame from a few earlier ones, along affinities of pixels.

The order is that of section 3 of the paper; where paper and released code differ, ``Config`` says which is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from harness import BuildContext, Prompts, Video, stage
from harness.ops.labels import VOID, one_hot, overlay, resize_nearest
from harness.ops.propagation import Sigmas, Slots
from harness_tvos.config import Config
from harness_tvos.frames.references import Schedule, frames_kept
from harness_tvos.frames.sizes import Size, grid_of, hard_labels, resize_image, soft_labels, working_size
from harness_tvos.kernels import embed, has_triton, propagate, upsample
from harness_tvos.memory import Memory, overlay_labels
from harness_tvos.network import build_network, for_inference, image_statistics, load_checkpoint, network_for
from harness_tvos.speed.acceleration import Graphs, refuse_what_needs_cuda
from harness_tvos.variants import accidents
from harness_tvos.variants.transferred import build_layer3_network, layer3_network_for


def build(context: BuildContext) -> TVOS:
    """TVOS with the context's weights, whose names decide the architecture; without weights, an untrained network."""
    config: Config = context.config
    refuse_what_needs_cuda(config, context.device, has_triton=has_triton())
    network = for_inference(
        network_of(context),
        context.device,
        context.precision,
        normalised=config.normalise_features,
        compiled=config.compile,
        fused=config.fused_convolutions,
        tf32=config.tf32,
    )
    model = TVOS(network, config, context.device)
    if context.device.startswith("cuda") and not config.compile:  # which would compile for sizes that never come
        model.rehearse()
    return model


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
        mean, std = image_statistics(network)
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1)
        self.graphs = Graphs(self.frame, config) if config.cuda_graph else None

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; background until a first object is prompted, from where frames are counted."""
        memory: Memory | None = None
        first = 0
        for frame, prompt in self.pair_with_prompts(video, prompts):
            if memory is None:
                if prompt is None:
                    yield video[frame].new_zeros(video.size)
                    continue
                first, mask = frame, prompt
                memory = self.begin(video[frame], prompt, len(video) - frame)
                schedule = self.schedule(memory, len(video) - frame)
            else:
                target = frame - first
                if self.graphs is not None:
                    mask = self.graphs.run(memory, video[frame], schedule, target)
                else:
                    mask = self.frame(memory, video[frame], *schedule.of(target))
                if prompt is not None:
                    mask = self.with_later_objects(mask, prompt, memory, memory.slot_of(target))
            yield mask

    def rehearse(self) -> None:
        """Run a small video, so that kernels are compiled and libraries loaded before a clock or a peak is read."""
        image = torch.zeros(64, 96, 3, dtype=torch.uint8, device=self.mean.device)
        prompt = image[..., 0].clone()
        prompt[:32] = 1
        video = Video(name="rehearsal", length=4, height=64, width=96, read=lambda frame: image)
        for _ in self.propagate(video, Prompts({0: prompt})):
            pass
        if self.graphs is not None:
            self.graphs.graphs.clear()

    def schedule(self, memory: Memory, frames: int) -> Schedule:
        """Which slots each frame's labels come from; on a GPU this lies there, where all forms can read it there."""
        device = memory.features.device
        on_device = self.graphs is not None or (device.type == "cuda" and has_triton())
        return Schedule(self.config, frames, len(memory.features), device, on_device=on_device)

    def pair_with_prompts(self, video: Video, prompts: Prompts) -> Iterator[tuple[int, Tensor | None]]:
        """Every frame with its prompt, where that shows an object; void is background."""
        given = ((frame, prompts.get(frame)) for frame in range(len(video)))
        for frame, prompt in accidents.skip_third(given) if self.config.official_bugs else given:
            shown = None if prompt is None else prompt.masked_fill(prompt == VOID, 0)
            yield frame, shown if shown is not None and shown.any() else None

    def begin(self, image: Tensor, prompt: Tensor, frames: int) -> Memory:
        """Memory of the first prompted frame, of a video that has so many frames from there on."""
        features = self.embed(image)
        size = self.size_of(prompt.shape)
        if self.graphs is not None:
            memory = self.graphs.begin(grid_of(size), features)
        else:
            memory = Memory(min(frames, frames_kept(self.config)), grid_of(size), features)
        memory.add_objects(prompt)
        ids = memory.ids.tolist()
        is_soft = self.config.prompt_labels == "soft"  # unlike later labels
        labels = soft_labels(prompt, ids, size) if is_soft else hard_labels(prompt, ids, (size, memory.grid))
        memory.write(memory.slot_of(0), features, labels)
        return memory

    def frame(self, memory: Memory, image: Tensor, slots: Slots, widths: Sigmas, own: int | Tensor) -> Tensor:
        """The mask (H, W) of a frame from its references at ``slots``; memory holds the frame at ``own`` then."""
        features = self.embed(image)  # (h*w, C)
        scores = self.scores(memory, features, slots, widths)  # (K, h, w)
        classes = scores.max(0).indices.byte()  # the first of equals; argmax is 20 times slower on a CPU
        memory.write(own, features, one_hot(classes, range(len(scores))))  # history is hard
        return self.mask_of(scores, memory.ids, (image.shape[0], image.shape[1]))

    def embed(self, image: Tensor) -> Tensor:
        """Features (h*w, C) of a (H, W, 3) uint8 RGB image (section 3.5: no resizing unless asked for)."""
        with stage("backbone"):
            pixels = resize_image(image, self.size_of(image.shape))  # (1, 3, H, W)
            return embed((pixels / 255 - self.mean) / self.std, self.network)  # (h*w, C)

    def scores(self, memory: Memory, features: Tensor, slots: Slots, widths: Sigmas) -> Tensor:
        """Class scores (K, h, w) of the pixels of ``features``: equations 4 and 6 over the references."""
        with stage("propagate"):
            scores = propagate(
                features,
                memory.features,
                memory.labels,
                slots,
                widths,
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

    def with_later_objects(self, mask: Tensor, prompt: Tensor, memory: Memory, own: int) -> Tensor:
        """Lay a later prompt over the mask (H, W) and the labels predicted for its frame, which lies at ``own``."""
        memory.add_objects(prompt)
        if self.config.official_bugs:
            accidents.write_merged(memory, own, prompt)
            return mask
        ids = memory.ids.tolist()
        labels = memory.labels_at(own)  # (K, h, w)
        is_soft = self.config.prompt_labels == "soft"
        size = self.size_of(prompt.shape)
        prompted = soft_labels(prompt, ids, size) if is_soft else hard_labels(prompt, ids, (memory.grid,))
        memory.relabel(own, overlay_labels(labels, prompted))
        return overlay(mask, prompt)

    def size_of(self, size: Sequence[int]) -> Size:
        """What the network sees of frames of this size."""
        return working_size((size[0], size[1]), self.config.short_side, self.config.least_side)
