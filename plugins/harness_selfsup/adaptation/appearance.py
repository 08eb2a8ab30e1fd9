"""Online adaptation: a U-Net that starts from nothing learns the propagated masks of one video (Zhu et al. 2020, 3.3).

``Lessons`` are the frames and masks it learns from, ``AppearanceModel`` is what learns and then segments each frame by
itself. What the paper leaves open is in ``adaptation_config``, with its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from harness import Video
from harness.api.records import Precision
from harness.models.precision import DTYPES
from harness.ops.labels import VOID, overlay
from harness_selfsup.adaptation.augment import change, draw
from harness_selfsup.adaptation.config import AdaptedConfig
from harness_selfsup.adaptation.unet import draw_untrained

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Lessons:
    """The frames to learn from and their masks, as class maps at the U-Net's size: 0 background, 1..N, 255 void.

    Frames themselves are not kept but read again. At most ``most`` masks are kept: when there are more, the spacing of
    the frames doubles; the prompted ones always stay.
    """

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.most = most
        self.entered: dict[int, int] = {}
        """The frame of each object's first prompt, by id; class 1 is the first of them."""
        self.maps: dict[int, Tensor] = {}
        self._prompted: set[int] = set()
        self._spacing = 1

    def add(self, frame: int, propagated: Tensor, prompt: Tensor | None) -> None:
        """Learn from ``frame`` too; ``prompt`` takes the place of ``propagated`` where it names an object, or void.

        Nothing is learnt from the frames before the first object is named.
        """
        if prompt is not None:
            named = set(prompt.unique().tolist()) - {0, VOID, *self.entered}
            self.entered |= dict.fromkeys(sorted(named), frame)
        if not self.entered or (frame % self._spacing and prompt is None):
            return
        mask = propagated
        if prompt is not None:
            mask = overlay(propagated, without_void(prompt)).masked_fill(prompt == VOID, VOID)
        small = functional.interpolate(mask[None, None], size=(self.size, self.size), mode="nearest-exact")[0, 0]
        self.maps[frame] = class_map(small, tuple(self.entered))
        if prompt is not None:
            self._prompted.add(frame)
        while len(self.maps) > max(self.most, len(self._prompted)):
            self._spacing *= 2
            self.maps = {t: kept for t, kept in self.maps.items() if t in self._prompted or t % self._spacing == 0}

    @property
    def first(self) -> int:
        """The frame of the first prompted object."""
        return min(self.entered.values())

    def ids_at(self, frame: int) -> tuple[int, ...]:
        """The objects that may be there at ``frame``: the first classes of all."""
        return tuple(value for value, entered in self.entered.items() if entered <= frame)

    def weights(self, frames: int, config: AdaptedConfig) -> Tensor:
        """The weight of each lesson, in order, in a video (so far) of ``frames`` frames."""
        first = self.first
        return torch.tensor([weight_of(frame - first, frames - first, config) for frame in self.maps])


def weight_of(frame: int, frames: int, config: AdaptedConfig) -> float:
    """How much frame ``frame`` of ``frames``, counted from the first prompted one, weighs: early ones drift less."""
    if frame == 0:
        return config.first_weight
    return max(config.least_weight, 1 - config.weight_slope * frame / frames)


def without_void(prompt: Tensor) -> Tensor:
    """The prompt with background where nobody knows."""
    return prompt.masked_fill(prompt == VOID, 0)


def class_map(mask: Tensor, ids: Sequence[int]) -> Tensor:
    """The mask with each id's class in its place: 1 for the first of ``ids``; void stays, other ids are background."""
    table = torch.zeros(256, dtype=torch.uint8)
    table[VOID] = VOID
    for index, value in enumerate(ids, start=1):
        table[value] = index
    return table.to(mask.device, non_blocking=True)[mask.int()]


class AppearanceModel:
    """One video's U-Net, with its optimiser and its own random numbers; classes are background and ``objects``."""

    def __init__(self, objects: int, config: AdaptedConfig, *, device: str, precision: Precision, seed: int) -> None:
        self.config = config
        self.device = torch.device(device)
        # On a CPU halves save nothing here, and torch 2.13 once crashed in a backward pass of autocast.
        self.dtype = DTYPES[precision] if self.device.type == "cuda" else torch.float32
        self.iteration = 0
        self._chance = torch.Generator().manual_seed(seed)
        # torch begins at 2^16, where first gradients (about 5 at 96 x 96) overflow and steps out of 200 are lost
        is_half = self.dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self.device.type, init_scale=1024.0, enabled=is_half)
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)
        network = draw_untrained(objects + 1, self._chance, config.unet_width).eval()
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = self._new_optimizer()

    def add_classes(self, objects: int) -> None:
        """Have classes for ``objects`` objects in all; what was learnt of the others stays, Adam's moments do not."""
        with torch.inference_mode(False):
            self.network.widen(objects + 1, self._chance)
            self._optimizer = self._new_optimizer()

    def learn(self, video: Video, lessons: Lessons, iterations: int, *, frames: int) -> None:
        """Go ``iterations`` steps further on the lessons of a video that has ``frames`` frames (so far)."""
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode is: it comes back
            weights = lessons.weights(frames, self.config).double()
            known = list(lessons.maps)
            self.network.train()
            for _ in range(iterations):
                picks = torch.multinomial(weights, self.config.unet_batch, replacement=True, generator=self._chance)
                chosen = [known[pick] for pick in picks.tolist()]
                self._step(video, lessons.maps, chosen, weights[picks].float().to(self.device, non_blocking=True))
            self.network.eval()

    def _step(self, video: Video, maps: Mapping[int, Tensor], frames: Sequence[int], weights: Tensor) -> None:
        config = self.config
        changes = draw(
            len(frames),
            self._chance,
            jitter=config.jitter,
            strengths=config.jitter_strengths,
            gray=config.gray,
            flip=config.flip,
        )
        images = torch.cat([self._small(video[frame]) for frame in frames])  # (B, 3, S, S)
        classes = torch.stack([maps[frame] for frame in frames])  # (B, S, S)
        images, classes = change(images, classes, changes)
        logits = self._logits(images)  # (B, K, S, S)
        loss = adaptation_loss(logits, classes, weights, smoothing=config.dice_smoothing)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.iteration, config)
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.iteration += 1

    @torch.inference_mode()
    def segment(self, image: Tensor, ids: Sequence[int]) -> Tensor:
        """The (H, W) uint8 id mask of a (H, W, 3) uint8 RGB image; only the first classes can win, those of ``ids``."""
        logits = self._logits(self._small(image))[:, : len(ids) + 1]  # (1, k, S, S)
        scores = functional.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False)[0]
        table = torch.tensor([0, *ids], dtype=torch.uint8).to(image.device, non_blocking=True)
        return table[scores.max(0).indices]  # argmax is 20 times slower on a CPU

    def _small(self, image: Tensor) -> Tensor:
        """A (H, W, 3) uint8 image as (1, 3, S, S) in [0, 1]; its aspect is not kept (section 4.1: 480x480)."""
        size = (self.config.unet_size, self.config.unet_size)
        planes = image.permute(2, 0, 1)[None].float() / 255
        return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)

    def _logits(self, images: Tensor) -> Tensor:
        images = ((images - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32):
            logits: Tensor = self.network(images)
        return logits.float()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)


def learning_rate(iteration: int, config: AdaptedConfig) -> float:
    """The rate of one iteration: by steps, and constant where the planned iterations are done (causal form)."""
    planned = min(iteration, max(config.iterations - 1, 0))
    return config.learning_rate * config.decay ** (planned // config.decay_every)


def adaptation_loss(logits: Tensor, classes: Tensor, weights: Tensor, *, smoothing: float) -> Tensor:
    """Mean over images (B, K, h, w) of weight x (cross-entropy + Dice); void pixels of ``classes`` count in neither.

    Dice is soft, one a class without background, and 1 - (2 overlap + s) / (sizes + s) with s the ``smoothing``.
    """
    known = classes != VOID  # (B, h, w)
    truth = torch.stack([classes == index for index in range(logits.shape[1])], 1).float()  # (B, K, h, w), void: none
    surprise = -functional.log_softmax(logits, 1)
    entropy = (surprise * truth).sum((1, 2, 3)) / known.sum((1, 2)).clamp(min=1)  # (B,)
    shares = (-surprise).exp() * known[:, None]
    overlaps = (shares * truth).sum((2, 3))[:, 1:]  # (B, N)
    sizes = (shares + truth).sum((2, 3))[:, 1:]
    dice = (1 - (2 * overlaps + smoothing) / (sizes + smoothing)).mean(1)  # (B,)
    return (weights * (entropy + dice)).mean()
