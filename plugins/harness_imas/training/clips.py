"""Pairs of neighbouring frames to learn from, with the flow between them: one crop, mirrored or not, colours shifted.

Everything is a function of the seed and the iteration; no pair depends on how many processes share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError, Sample
from harness_imas.training.config import TrainingConfig

Image = NDArray[np.uint8]  # (H, W, 3) RGB
DRAW_ORDER, DRAW_PAIR = range(2)  # first word of the seed of each kind of draw
LINES = 480
"""Flow is in pixels of a video of so many lines, as the paper's constants are."""
WIDEST = 854 / 480
"""Of what is kept of whole videos of any shape: they are stretched to it, and back when a window is cut."""


@runtime_checkable
class Flows(Protocol):
    """Where the flow of a pair comes from: a cache on disk."""

    def pair(self, video: int, t: int) -> tuple[Tensor, Tensor]:
        """The flow t -> t + 1 and back (2, h, w), in pixels of the video."""
        ...


class PairBatch(NamedTuple):
    """B pairs of frames (B, 2, S, S, 3) uint8, their flows (B, 2, 2, h, w) forward and backward, and targets.

    Targets (B, 2, h, w) are the refined masks of both frames in 0..1; without a second stage they have no cells. Where
    the backbone is frozen there are its maps (B, 2, L, h, w) and (B, 2, D, i, j) fp16 instead of pixels.
    """

    frames: Tensor
    flows: Tensor
    targets: Tensor
    low: Tensor
    high: Tensor


class Window(NamedTuple):
    """The part of a frame that is seen, in shares of its height and width."""

    top: float
    left: float
    height: float
    width: float
    mirrored: bool


class Order:
    """Which pair is where: every frame is drawn once before any is drawn again, in an order of the seed."""

    def __init__(self, samples: Sequence[Sample], batch: int, seed: int) -> None:
        self.batch, self.seed = batch, seed
        self.index = [
            (video, min(frame, sample.length - 2))  # the last frame stands for the pair before it: code
            for video, sample in enumerate(samples)
            if sample.length > 1
            for frame in range(sample.length)
        ]
        if not self.index:
            raise DataError(
                "there is no pair of frames to learn motion from: every video has one frame",
                hint="name data with videos: harness ls benches",
            )

    def pair(self, iteration: int, place: int) -> tuple[int, int]:
        """The video and the first frame of the pair at a place of an iteration's batch."""
        epoch, turn = divmod(iteration * self.batch + place, len(self.index))
        order = np.random.default_rng((DRAW_ORDER, self.seed, epoch)).permutation(len(self.index))
        return self.index[order[turn]]


class PairSource:
    """The pairs of one training; ``targets`` has a (T, h, w) uint8 array of 0..255 a video, in the second stage."""

    def __init__(
        self,
        samples: Sequence[Sample],
        flow: Flows,
        config: TrainingConfig,
        seed: int,
        targets: Sequence[NDArray[np.uint8]] | None = None,
    ) -> None:
        self.samples, self.flow, self.config, self.seed, self.targets = samples, flow, config, seed, targets
        self.order = Order(samples, config.batch, seed)
        side = -(-config.crop // mask_stride(config))
        self.grid = (side, side)

    def pairs(self, iteration: int, places: Sequence[int]) -> PairBatch:
        """The pairs at these places of an iteration's batch."""
        return PairBatch(*map(torch.stack, zip(*(self._pair(iteration, place) for place in places), strict=True)))

    def _pair(self, iteration: int, place: int) -> tuple[Tensor, ...]:
        video, frame = self.order.pair(iteration, place)
        rng = np.random.default_rng((DRAW_PAIR, self.seed, iteration, place))
        sample = self.samples[video]
        window = draw_window(rng, sample.height, sample.width, self.config)
        frames = [np.asarray(sample.read_frame(t), np.uint8) for t in (frame, frame + 1)]
        seen = [cut(each, window, (self.config.crop, self.config.crop)) for each in frames]
        if self.config.photometric:
            seen = shift_colours(rng, seen)
        flows, targets = look_through(
            window,
            sample,
            self.flow.pair(video, frame),
            self.grid,
            self.config.clamp,
            [] if self.targets is None else [self.targets[video][t] for t in (frame, frame + 1)],
        )
        none = torch.zeros(2, 0, 0, 0)
        return torch.from_numpy(np.stack(seen)), flows, targets, none, none


def look_through(
    window: Window,
    sample: Sample,
    flows: Sequence[Tensor],
    grid: tuple[int, int],
    clamp: float,
    targets: Sequence[NDArray[np.uint8]],
) -> tuple[Tensor, Tensor]:
    """What a window shows of a pair's flow (2, 2, h, w), in pixels of 480 lines, and of its targets (2, h, w)."""
    scale = np.float32(LINES / sample.height)
    moved = [cut_flow(scale * each.float().numpy(), window, grid) for each in flows]
    made = [cut(each, window, grid) for each in targets]
    return (
        torch.from_numpy(np.stack(moved)).clamp(-clamp, clamp),
        torch.from_numpy(np.stack(made) / np.float32(255)) if made else torch.zeros(2, 0, 0),
    )


def mask_stride(config: TrainingConfig) -> int:
    """Pixels of the network's input a cell of its masks, each way."""
    if config.merging:
        return 4
    return 16 if config.architecture == "lite0" else 8


def draw_window(rng: np.random.Generator, height: int, width: int, config: TrainingConfig) -> Window:
    """A square of ``crop`` pixels of the resized frame, anywhere in it."""
    rows, columns = config.stretch or (height, width)
    scale = config.short_side * rng.uniform(*config.scale) / min(rows, columns)
    tall, wide = min(config.crop / (rows * scale), 1.0), min(config.crop / (columns * scale), 1.0)
    top, left = rng.uniform(0, 1 - tall), rng.uniform(0, 1 - wide)
    return Window(top, left, tall, wide, bool(rng.random() < config.flip))


def cut(image: NDArray[np.uint8], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The window of an image (H, W) or (H, W, 3) at another size, bilinear."""
    return np.asarray(_warp(image, _placement(image.shape, window, size), size), np.uint8)


def cut_flow(flow: NDArray[np.float32], window: Window, size: tuple[int, int]) -> NDArray[np.float32]:
    """The window of a flow (2, H, W); its values stay pixels of the whole video, and a mirrored dx is negated."""
    found = _warp(flow.transpose(1, 2, 0), _placement(flow.shape[1:], window, size), size).transpose(2, 0, 1)
    return np.ascontiguousarray(found * _MIRROR if window.mirrored else found, np.float32)


_MIRROR = np.array([-1, 1], np.float32)[:, None, None]


def _warp(image: NDArray[Any], placement: NDArray[np.float64], size: tuple[int, int]) -> NDArray[Any]:
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, placement, size[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped)


def _placement(shape: Sequence[int], window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    """From the centres of the pixels cut to those of the image."""
    rows, columns = window.height * shape[0] / size[0], window.width * shape[1] / size[1]
    top, left = window.top * shape[0] + rows / 2 - 0.5, window.left * shape[1] + columns / 2 - 0.5
    if window.mirrored:
        left, columns = left + columns * (size[1] - 1), -columns
    return np.array([[columns, 0, left], [0, rows, top]])


def shift_colours(rng: np.random.Generator, frames: Sequence[Image]) -> list[Image]:
    """mmsegmentation's photometric distortion by its defaults, the same draw for all frames of a pair. code."""
    brightness, contrast, saturation, hue = rng.uniform(-32, 32), *rng.uniform(0.5, 1.5, 2), int(rng.integers(-18, 18))
    is_on, contrast_first = rng.random(4) < 0.5, rng.random() < 0.5
    shifted = []
    for frame in frames:
        seen = frame
        if is_on[0]:
            seen = _linear(seen, 1.0, brightness)
        if is_on[1] and contrast_first:
            seen = _linear(seen, contrast, 0.0)
        if is_on[2]:
            seen = _shift_hsv(seen, 0, saturation)
        if is_on[3]:
            seen = _shift_hsv(seen, hue, 1.0)
        if is_on[1] and not contrast_first:
            seen = _linear(seen, contrast, 0.0)
        shifted.append(np.ascontiguousarray(seen))
    return shifted


def _linear(image: Image, factor: float, offset: float) -> Image:
    return np.clip(image.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)


def _shift_hsv(image: Image, hue: int, saturation: float) -> Image:
    """OpenCV's HSV, whose hue is in 0..179."""
    hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)
    hsv[..., 0] = (hsv[..., 0].astype(int) + hue) % 180
    hsv[..., 1] = _linear(hsv[..., 1], saturation, 0.0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
