"""Card ``dnet``: D-Net without T-Net, each frame's proposals and foreground on their own (paper, Table 3)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import BuildContext, Track, Tracks, Video, stage
from harness.api.mask_files import RunLength
from harness.ops.labels import resize_nearest
from harness_dtnet.config import DiscoveryConfig
from harness_dtnet.discovery.categories import Categories
from harness_dtnet.discovery.discover import Discoverer, Discovery
from harness_dtnet.discovery.frames import resize_frame, working_size
from harness_dtnet.network import categories_of, for_inference, networks_of


def build(context: BuildContext) -> FramesAlone:
    """D-Net with the context's weights; without weights, an untrained one."""
    config: DiscoveryConfig = context.config
    networks = networks_of(context)
    categories = categories_of(context, networks)
    return FramesAlone(Discoverer(*for_inference(networks.discovery, context), config), config, categories)


class FramesAlone:
    """The foreground as the primary object, or every proposal as a track of one frame."""

    def __init__(self, discoverer: Discoverer, config: DiscoveryConfig, categories: Categories) -> None:
        self.discoverer, self.config, self.categories = discoverer, config, categories

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield the foreground of each frame, ids 0 and 1."""
        for found in self.discoveries(video):
            inside = found.foreground > self.config.foreground_threshold
            yield resize_nearest(inside.to(torch.uint8), video.size)

    @torch.inference_mode()
    def segment_tracks(self, video: Video) -> Tracks:
        """Every proposal of every frame with its score, in one frame alone.

        Category 1 where the network tells none apart: score such tracks by ``--rule coco-class-agnostic``.
        """
        tracks: list[Track] = []
        for t, found in enumerate(self.discoveries(video)):
            numbers = number_masks(found, self.categories)
            for mask, score, category in zip(found.masks, found.scores, numbers, strict=True):
                if not self.categories.is_wanted(category):
                    continue
                full = resize_nearest(mask.to(torch.uint8), video.size).bool()
                masks: list[RunLength | None] = [None] * len(video)
                masks[t] = RunLength.encode(full.cpu().numpy())
                tracks.append(Track(category, score, masks))
        return Tracks(tuple(tracks))

    def discoveries(self, video: Video) -> Iterator[Discovery]:
        """What is found in each frame, helped by the frame before it."""
        size = working_size(video.size, self.config.short_side)
        before = None
        for t in range(len(video)):
            with stage("proposal"):
                image = resize_frame(video[t], size)
                found = self.discoverer.discover(image, before)
            before = image, found.foreground
            yield found


def number_masks(found: Discovery, categories: Categories) -> list[int]:
    """The category each proposal has most of; 1 where none is told apart."""
    if found.categories is None:
        return [1] * len(found.masks)
    sums = found.masks.flatten(1).float() @ found.categories.flatten(1).t()  # (P, c)
    return [categories.number(place) for place in sums.max(1).indices.tolist()] if len(sums) else []
