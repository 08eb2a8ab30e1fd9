"""Which frames of which videos an iteration learns from, and what is known of them.

Everything is a function of the seed, the round and the iteration; no video depends on how many processes share a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError, Sample
from harness_mug.training.config import STRIDES, TrainingConfig

DRAW_ORDER, DRAW_VIDEO, DRAW_FRAME = range(3)  # first word of the seed of each kind of draw
LOOKED_AT = 3
"""Frames of a clip."""
Labels = Sequence[NDArray[np.uint8]]  # (T, h, w) of 0 and 1, a video
KeptMaps = Sequence[NDArray[np.float16]]
"""(T, 2, C, h, w) of each video: what the frozen part of the trunk makes of a frame as it is, and mirrored."""


class VideoBatch(NamedTuple):
    """V videos of F frames each: first one a segment, then the instance where it has its own, then three of a clip."""

    frames: Tensor
    """(V, F, H, W, 3) uint8."""
    initial: Tensor
    """(V, F, h, w) uint8, 0 and 1: the initial maps."""
    predicted: Tensor
    """The same by the round before; of no cells in the first round."""
    start: Tensor
    """(V, 2) the cell where the patch is cut out of the clip's first frame."""
    pair: Tensor
    """(V, 2) the segments whose frames are matched in the long term."""
    query: Tensor
    """(V,) the segment whose r is told from other videos'."""
    which: Tensor
    """(V,) the number of each video: where there are few, a batch may hold one twice."""
    maps: Tensor
    """(V, F, C, h, w) fp16: what the frozen part of the trunk makes of the frames; of no cells where it is not kept."""


class Choice(NamedTuple):
    """The frames of one video."""

    segments: list[int]
    instance: int
    clip: list[int]

    def in_order(self, config: TrainingConfig) -> list[int]:
        """In the order of a batch."""
        return [*self.segments, *([] if config.share_clip else [self.instance]), *self.clip]


def draw_frames(rng: np.random.Generator, length: int, config: TrainingConfig) -> Choice:
    """One frame of each of K equal segments, one of the whole video, and three of six successive ones in order."""
    bounds = [part * length / config.segments for part in range(config.segments + 1)]
    segments = [min(int(low + rng.random() * (high - low)), length - 1) for low, high in itertools.pairwise(bounds)]
    begin = int(rng.integers(max(1, length - config.clip + 1)))
    window = min(config.clip, length)
    chosen = rng.choice(window, LOOKED_AT, replace=window < LOOKED_AT)
    clip = sorted(begin + int(each) for each in chosen)
    return Choice(segments, clip[0] if config.share_clip else int(rng.integers(length)), clip)


def draw_pair(rng: np.random.Generator, frames: Sequence[int], apart: int) -> tuple[int, int]:
    """Two places of ``frames`` in any order, so many frames apart; the two farthest where none are."""
    pairs = [(i, j) for i in range(len(frames)) for j in range(len(frames)) if i != j]
    far = [(i, j) for i, j in pairs if abs(frames[i] - frames[j]) >= apart]
    if far:
        return far[int(rng.integers(len(far)))]
    return max(pairs, key=lambda pair: abs(frames[pair[0]] - frames[pair[1]]))


def shrink(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame at another size, each pixel the mean of those it stands for."""
    if frame.shape[:2] == size:
        return np.ascontiguousarray(frame)
    smaller = frame.shape[0] >= size[0]
    return np.asarray(
        cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8
    )


class Window(NamedTuple):
    """The part of all frames of a video that is looked at, in cells."""

    top: int
    left: int
    rows: int
    columns: int

    def of_pixels(self, frame: NDArray[np.uint8], grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        """What a frame of any size shows there, at ``size``."""
        height, width = frame.shape[:2]
        rows = slice(self.top * height // grid[0], (self.top + self.rows) * height // grid[0])
        columns = slice(self.left * width // grid[1], (self.left + self.columns) * width // grid[1])
        return shrink(frame[rows, columns], size)

    def of_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What labels (F, h, w) of 0 and 1 say there, on as many cells as all of them have."""
        if not labels.size or (self.rows, self.columns) == labels.shape[1:]:
            return labels
        return np.stack([self.of_shares(each) >= 0.5 for each in labels]).astype(np.uint8)

    def of_shares(self, labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What labels (h, w) of one frame say there, on as many cells: between 0 and 1 where cells are halved."""
        part = labels[self.top : self.top + self.rows, self.left : self.left + self.columns].astype(np.float32)
        return np.asarray(cv2.resize(part, labels.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def draw_window(rng: np.random.Generator, grid: tuple[int, int], crop: float) -> Window:
    """Whole cells, of about ``crop`` of both sides or more."""
    share = crop + (1 - crop) * rng.random()
    rows, columns = (max(1, round(share * cells)) for cells in grid)
    return Window(int(rng.integers(grid[0] - rows + 1)), int(rng.integers(grid[1] - columns + 1)), rows, columns)


def recolour(rng: np.random.Generator, pixels: NDArray[np.uint8], reach: float) -> NDArray[np.uint8]:
    """Frames (F, H, W, 3) of one video, all in the same other light: saturation, contrast, brightness, each channel."""
    saturation, contrast, brightness = 1 + reach * rng.uniform(-1, 1, 3)
    tint = 1 + reach / 3 * rng.uniform(-1, 1, 3)
    values = pixels.astype(np.float32)
    grey = values.mean(3, keepdims=True)
    values = grey + (values - grey) * np.float32(saturation)
    mean = values.mean((1, 2), keepdims=True)
    values = ((values - mean) * np.float32(contrast) + mean * np.float32(brightness)) * tint.astype(np.float32)
    return np.asarray(np.clip(values, 0, 255).round(), np.uint8)


def draw_video(seed: tuple[int, int], place: int, videos: int) -> int:
    """The video at a place of a round, counted over its batches: each is drawn once before any is drawn again."""
    epoch, turn = divmod(place, videos)
    return int(np.random.default_rng((DRAW_ORDER, *seed, epoch)).permutation(videos)[turn])


class VideoSource:
    """The videos of one round of a training."""

    def __init__(
        self,
        samples: Sequence[Sample],
        initial: Labels,
        predicted: Labels | None,
        config: TrainingConfig,
        seed: int,
        turn: int,
        kept: KeptMaps | None = None,
    ) -> None:
        if not samples:
            raise DataError("there are no videos to learn from", hint="name data: harness ls benches")
        self.samples, self.initial, self.predicted = samples, initial, predicted
        self.config, self.seed, self.turn, self.kept = config, seed, turn, kept

    def video_at(self, iteration: int, place: int) -> int:
        """The video at a place of an iteration's batch."""
        return draw_video((self.seed, self.turn), iteration * self.config.videos + place, len(self.samples))

    def videos(self, iteration: int, places: Sequence[int]) -> VideoBatch:
        """The videos at these places of an iteration's batch."""
        parts = [self._video(iteration, place) for place in places]
        return VideoBatch(*(torch.stack(each) for each in zip(*parts, strict=True)))

    def _video(self, iteration: int, place: int) -> tuple[Tensor, ...]:
        config, video = self.config, self.video_at(iteration, place)
        rng = np.random.default_rng((DRAW_VIDEO, self.seed, self.turn, iteration, place))
        sample = self.samples[video]
        choice = draw_frames(rng, sample.length, config)
        frames = choice.in_order(config)
        window = Window(0, 0, *config.grid) if config.crop == 1 else draw_window(rng, config.grid, config.crop)
        read = (np.asarray(sample.read_frame(t), np.uint8) for t in frames)
        pixels = np.stack([window.of_pixels(frame, config.grid, config.size) for frame in read])
        if config.colour:
            pixels = recolour(rng, pixels, config.colour)
        known = [self.initial[video][frames]]
        known.append(
            np.zeros((len(frames), 0, 0), np.uint8) if self.predicted is None else self.predicted[video][frames]
        )
        known = [window.of_labels(each) for each in known]
        is_mirrored = bool(rng.random() < config.flip)
        if is_mirrored:
            pixels, known = pixels[:, :, ::-1], [each[..., ::-1] for each in known]
        maps = (
            np.zeros((len(frames), 0, 0, 0), np.float16)
            if self.kept is None
            else self.kept[video][frames, int(is_mirrored)]
        )
        side = config.patch // STRIDES[config.architecture]
        start = [int(rng.integers(cells - side + 1)) + side // 2 for cells in config.grid]
        return (
            torch.from_numpy(np.ascontiguousarray(pixels)),
            *(torch.from_numpy(np.ascontiguousarray(each)) for each in known),
            torch.tensor(start),
            torch.tensor(draw_pair(rng, choice.segments, config.apart)),
            torch.tensor(int(rng.integers(config.segments))),
            torch.tensor(video),
            torch.from_numpy(np.array(maps)),
        )
