"""Object discovery by D-Net and association by T-Net (Zhou et al. 2021), in the order of section 3 of the paper.

What the paper leaves to FRTM is done as FRTM does it; ``Config`` says where each constant comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness import BuildContext, Tracks, Video, stage
from harness.api.mask_files import RunLength
from harness.ops.labels import resize_nearest
from harness.ops.linking import mask_iou
from harness_dtnet.association.merging import merge
from harness_dtnet.association.tracks import TrackRecord
from harness_dtnet.association.verification import assign, find_new, lay_over, matching_scores
from harness_dtnet.config import Config
from harness_dtnet.discovery.categories import Categories
from harness_dtnet.discovery.discover import Discoverer, Discovery, enlarge
from harness_dtnet.discovery.frames import Size, resize_frame, working_size
from harness_dtnet.network import categories_of, for_inference, networks_of, refiner_for_inference
from harness_dtnet.target.bilinear import Bilinear
from harness_dtnet.target.features import describe
from harness_dtnet.target.gauss_newton import Penalty
from harness_dtnet.target.models import Learning, TargetModels, has_enough
from harness_dtnet.target.refiner import Refiner
from harness_dtnet.target.view import TargetView


def build(context: BuildContext) -> DTNet:
    """D-Net and T-Net with the context's weights; without weights, untrained networks."""
    config: Config = context.config
    networks = networks_of(context)
    discoverer = Discoverer(*for_inference(networks.discovery, context), config)
    view = TargetView(*for_inference(networks.target, context), config.target_side)
    refiner = refiner_for_inference(networks, context)
    return DTNet(discoverer, view, config, context.seed, categories_of(context, networks), refiner)


@dataclass
class State:
    """What is kept between the frames of a video."""

    size: Size
    generator: torch.Generator
    random: np.random.Generator
    before: tuple[Tensor, Tensor] | None = None
    """The frame before (1, 3, h, w) and its foreground (h, w)."""
    tracks: list[TrackRecord] = field(default_factory=list)
    models: TargetModels | None = None
    """Of the tracks, in their order; None before the first."""
    firsts: Tensor | None = None
    """What each track looked like in its first mask: (N, D)."""
    pending: set[int] = field(default_factory=set)
    """Tracks with samples that their models have not learnt from."""
    pixels: Bilinear | None = None
    """From T-Net's cells to the pixels that are worked on."""


@dataclass(frozen=True)
class Result:
    """What is known of one frame in the end."""

    masks: Bool[Tensor, "N H W"]
    """Of every track so far, at the size that is worked on; no pixel is of two."""
    labels: Float[Tensor, "N H W"]
    """The same, 0..1: what the models learn from."""
    reliability: dict[int, float]
    """Tracks whose result a proposal confirmed and replaced, and the score of that proposal (eq. 10)."""


class DTNet:
    """Instance-level zero-shot VOS, and video instance segmentation, online."""

    def __init__(
        self, discoverer: Discoverer, view: TargetView, config: Config, seed: int, categories: Categories,
        refiner: Refiner | None = None,
    ) -> None:  # fmt: skip
        self.discoverer, self.view, self.config, self.seed = discoverer, view, config, seed
        self.categories, self.refiner = categories, refiner

    @torch.inference_mode()
    def segment_instances(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame; ids count up from 1 in the order in which targets were found."""
        state = self.begin(video.size)
        for t in range(len(video)):
            _, result = self.step(state, video[t], t)
            yield paint(result.masks, video.size)

    @torch.inference_mode()
    def segment_tracks(self, video: Video) -> Tracks:
        """The same tracks with category and score, which the whole video decides."""
        state = self.begin(video.size)
        for t in range(len(video)):
            found, result = self.step(state, video[t], t)
            note(state.tracks, found, result, video.size)
        whole = [track.finish(len(video), self.categories) for track in state.tracks if track.qualities]
        return Tracks(tuple(track for track in whole if self.categories.is_wanted(track.category)))

    def begin(self, size: Size) -> State:
        """Nothing is known of a video of this size yet."""
        generator = torch.Generator().manual_seed(self.seed)
        return State(working_size(size, self.config.short_side), generator, np.random.default_rng(self.seed))

    def step(self, state: State, frame: Tensor, t: int) -> tuple[Discovery, Result]:
        """One frame: discover, track, verify, learn, take in what is new."""
        image = resize_frame(frame, state.size)  # (1, 3, h, w)
        with stage("proposal"):
            found = self.discoverer.discover(image, state.before)
        with stage("tracking"):
            maps = self.view.look_closely(image)
            features = maps[-1][0]  # (D, h/16, w/16)
            if state.pixels is None:
                state.pixels = Bilinear((features.shape[1], features.shape[2]), state.size, features)
            looks = describe(features, found.masks.float(), state.pixels)  # (P, D)
            tracked = self.track(state, maps, found)
            scores, verified = self.verify(state, features, found, looks, tracked)
            self.learn(state, features, verified, t)
            result = self.take_in(state, image, found, looks, scores, verified, t)
        state.before = image, found.foreground
        return found, result

    def track(self, state: State, maps: list[Tensor], found: Discovery) -> Result:
        """Target-specific tracking: eq. 8 for every target, refined where there is a refiner, and all as one map."""
        if state.models is None or state.pixels is None:
            nothing = found.foreground.new_zeros(0, *found.foreground.shape)
            return Result(nothing.bool(), nothing, {})
        coarse = state.models.scores(maps[-1][0])  # (N, h/16, w/16)
        scores = state.pixels.up(coarse) if self.refiner is None else self.refine(coarse, maps, state.size)  # (N, H, W)
        inside = found.foreground > self.discoverer.config.foreground_threshold
        labels, masks = merge(scores, inside if self.config.within_foreground else None)
        return Result(masks, labels, {})

    def refine(self, coarse: Tensor, maps: list[Tensor], size: Size) -> Float[Tensor, "N H W"]:
        """Probabilities of all targets by the decoder; one after the other, so that memory does not grow with them."""
        assert self.refiner is not None
        dtype = maps[0].dtype
        maps = [each.to(dtype) for each in maps]
        logits = torch.cat([self.refiner(each[None].to(dtype), maps) for each in coarse])  # (N, h/4, w/4)
        return enlarge(logits.float(), size).sigmoid()

    def verify(
        self, state: State, features: Tensor, found: Discovery, looks: Tensor, tracked: Result
    ) -> tuple[Tensor, Result]:
        """Target-agnostic verification: eq. 10 for every proposal and track (P, N), and results with the best of them.

        A track without a proposal above the threshold keeps its result.
        """
        if state.firsts is None or state.pixels is None:
            return looks.new_zeros(len(looks), 0), tracked
        iou = mask_iou(found.masks, tracked.masks)
        now = describe(features, tracked.masks.float(), state.pixels)
        scores = matching_scores(looks, now, state.firsts, iou, self.config.verified_overlap)
        if not self.config.verification:
            return scores, tracked
        pairs = assign(scores.cpu().numpy(), self.config.reid_threshold, self.config.matching)
        masks = lay_over(tracked.masks, {track: found.masks[proposal] for proposal, track, _ in pairs})
        labels = tracked.labels * masks
        for _, track, _ in pairs:
            labels[track] = masks[track].to(labels.dtype)
        return scores, Result(masks, labels, {track: score for _, track, score in pairs})

    def learn(self, state: State, features: Tensor, result: Result, t: int) -> None:
        """Adaptive memory updating: at once where a proposal confirmed the result, and every so many frames."""
        config = self.config
        if state.models is None or not config.update_every:
            return
        labels = self.view.labels(result.labels)
        enough = has_enough(labels)
        chosen = [
            track
            for track in range(len(labels))
            if enough[track] and (config.memory_adds == "all" or track in result.reliability)
        ]
        if chosen:
            reliable = [track in result.reliability for track in chosen]
            state.models.remember(chosen, features, labels[chosen], reliable)
        state.pending |= set(chosen)
        is_time = t % config.update_every == 0
        due = sorted(track for track in state.pending if is_time or track in result.reliability)
        if due:
            state.models.refit(due)
            state.pending -= set(due)

    def take_in(
        self, state: State, image: Tensor, found: Discovery, looks: Tensor, scores: Tensor, result: Result, t: int
    ) -> Result:
        """New targets: proposals that belong to no track. Each gets the next id, a model, and what of it is free."""
        room = self.config.most_tracks - len(state.tracks)
        if not room or not len(found.masks):
            return result
        areas = found.masks.flatten(1).sum(1).tolist()
        new = find_new(
            scores.cpu().numpy(),
            mask_iou(found.masks, result.masks).cpu().numpy(),
            areas,
            least_area=self.config.least_new * found.foreground.numel(),
            most_overlap=self.config.new_overlap,
        )[:room]
        if not new:
            return result
        self.add_targets(state, image, found.masks[new].float())
        state.firsts = looks[new] if state.firsts is None else torch.cat([state.firsts, looks[new]])
        state.tracks += [TrackRecord(id=len(state.tracks) + place + 1, born=t) for place in range(len(new))]
        fresh = found.masks[new] & ~result.masks.any(0)  # results lie over what is new
        masks = torch.cat([result.masks, fresh])
        return Result(masks, torch.cat([result.labels, fresh.to(result.labels.dtype)]), result.reliability)

    def add_targets(self, state: State, image: Tensor, masks: Float[Tensor, "N H W"]) -> None:
        """Begin models of targets from their masks, the pseudo truth of their first frame."""
        drawn = [self.view.first_samples(image, mask, self.config.copies, state.random) for mask in masks]
        features, labels = (torch.stack(parts) for parts in zip(*drawn, strict=True))  # (N, K, ...)
        if state.models is None:
            size = (labels.shape[2], labels.shape[3])
            state.models = TargetModels(learning_of(self.config), size, features[0, 0])
        state.models.add(features, labels, state.generator)


def learning_of(config: Config) -> Learning:
    """The constants of target models."""
    return Learning(
        channels=config.projection,
        first_iterations=config.first_iterations,
        later_iterations=config.later_iterations,
        gamma=config.gamma,
        slots=config.memory,
        solver=config.solver,
        penalty=Penalty(is_inside=config.regularisation_inside),
    )


def paint(masks: Bool[Tensor, "N h w"], size: Size) -> Tensor:
    """Disjoint masks as an id map (H, W) uint8 of the video's size."""
    ids = torch.zeros(masks.shape[1:], dtype=torch.uint8, device=masks.device)
    for place, mask in enumerate(masks):
        ids.masked_fill_(mask, place + 1)
    return resize_nearest(ids, size)


def note(tracks: list[TrackRecord], found: Discovery, result: Result, size: Size) -> None:
    """Write down what a frame says of every track: its mask, how sure, and how much of each category.

    How sure is the mean foreground inside the mask: a result that a proposal confirmed and one that was only tracked
    are measured alike.
    """
    ids = paint(result.masks, size).cpu().numpy()
    areas = result.masks.flatten(1).sum(1).clamp(min=1)  # (N,)
    inside = result.masks.flatten(1).float()
    qualities = (inside @ found.foreground.flatten() / areas).tolist()
    shares: list[list[float]] = [[] for _ in tracks]
    if found.categories is not None:
        shares = (inside @ found.categories.flatten(1).t() / areas[:, None]).tolist()
    for place, track in enumerate(tracks):
        mask = ids == place + 1
        track.note(RunLength.encode(mask) if mask.any() else None, qualities[place], shares[place])
