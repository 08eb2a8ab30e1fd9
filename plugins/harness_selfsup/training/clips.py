"""Clips to learn from, without any truth: which frames, one crop for all of them, the colours of each.

Everything is a function of the seed and the iteration; no clip depends on how many processes share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample
from harness_selfsup.training.config import TrainingConfig
from harness_selfsup.training.homographies import random_path, warp

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Box = tuple[int, int, int, int]  # top, left, height, width
DRAW_VIDEOS, DRAW_CHANNEL, DRAW_CLIP = range(3)  # first word of the seed of each kind of draw


class ClipSource:
    """The videos (and images: videos of one frame) of one training."""

    def __init__(self, samples: Sequence[Sample], config: TrainingConfig, seed: int) -> None:
        if not samples:
            raise DataError("there are no videos to learn from", hint="see: harness ls benches")
        if config.videos > len(samples):
            raise DataError(
                f"found {len(samples)} videos, fewer than the {config.videos} asked for",
                hint="set videos to fewer, or to 0 for all",
            )
        order = np.random.default_rng((DRAW_VIDEOS, seed)).permutation(len(samples))
        self.samples = [samples[k] for k in sorted(order[: config.videos or len(samples)])]
        self.config = config
        self.seed = seed

    def clips(self, iteration: int, places: Sequence[int]) -> Image:
        """The clips at these places of an iteration's batch: (B, references + 1, S, S, 3), the target last."""
        return np.stack([self._clip(np.random.default_rng((DRAW_CLIP, self.seed, iteration, k))) for k in places])

    def draw_channel(self, iteration: int) -> int | None:
        """Which channel of Lab nobody sees in this iteration: 1 (a), 2 (b), never 0 (L), or None."""
        rng = np.random.default_rng((DRAW_CHANNEL, self.seed, iteration))
        channel = int(rng.integers(1, 3))
        return channel if rng.random() < self.config.drop else None

    def _clip(self, rng: np.random.Generator) -> Image:
        config, place = self.config, int(rng.integers(len(self.samples)))
        sample = self.samples[place]
        if config.stills or sample.length == 1:
            still = int(np.random.default_rng((DRAW_VIDEOS, self.seed, place)).integers(sample.length))
            image = np.asarray(sample.read_frame(still), np.uint8)
            height, width = image.shape[:2]
            path = random_path(rng, config.references + 1, height, width, config.homography)
            frames = [warp(image, matrix) for matrix in path]
        else:
            frames = [np.asarray(sample.read_frame(t), np.uint8) for t in frame_numbers(rng, sample.length, config)]
        height, width = frames[0].shape[:2]
        box = crop_box(rng, height, width, config)
        frames = [_resize(frame, box, config) for frame in frames]
        if rng.random() < config.flip:
            frames = [frame[:, ::-1] for frame in frames]
        if rng.random() < config.jitter:
            frames = [jitter(rng, frame, config.jitter_strength) for frame in frames]
        return np.stack(frames)


def frame_numbers(rng: np.random.Generator, length: int, config: TrainingConfig) -> list[int]:
    """The frames of a clip, the target last; a short video brings them closer together, then repeats references."""
    interval = int(rng.choice(config.intervals, p=config.interval_probabilities))
    interval = min(interval, (length - 1) // config.references)
    if interval == 0:
        references = np.linspace(0, length - 2, config.references).round().astype(int)
        return [*references.tolist(), length - 1]
    start = int(rng.integers(0, length - interval * config.references))
    return [start + interval * k for k in range(config.references + 1)]


def crop_box(rng: np.random.Generator, height: int, width: int, config: TrainingConfig) -> Box:
    """What part of every frame of a clip is seen."""
    if config.crop == "whole":
        return 0, 0, height, width
    if config.crop == "zoomed":
        side = config.size / np.exp(rng.uniform(*np.log(config.zoom)))
        rows = columns = min(round(side), height, width)
    else:
        rows, columns = _random_shape(rng, height, width, config)
    return int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1)), rows, columns


def _random_shape(rng: np.random.Generator, height: int, width: int, config: TrainingConfig) -> tuple[int, int]:
    """Rows and columns of a random area and aspect; where none fits in ten draws, the largest of the nearest aspect."""
    for _ in range(10):
        area = height * width * rng.uniform(*config.area)
        aspect = np.exp(rng.uniform(*np.log(config.aspect)))
        rows, columns = round(float(np.sqrt(area / aspect))), round(float(np.sqrt(area * aspect)))
        if 0 < rows <= height and 0 < columns <= width:
            return rows, columns
    aspect = float(np.clip(width / height, *config.aspect))
    return min(height, round(width / aspect)), min(width, round(height * aspect))


def _resize(frame: Image, box: Box, config: TrainingConfig) -> Image:
    top, left, rows, columns = box
    part = frame[top : top + rows, left : left + columns]
    by_area = config.shrink == "area" and min(rows, columns) > config.size
    size, how = (config.size, config.size), cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)


def jitter(rng: np.random.Generator, image: Image, strength: tuple[float, float, float, float]) -> Image:
    """Brightness, contrast, saturation and hue, each drawn once, in this order."""
    brightness, contrast, saturation = (rng.uniform(max(0.0, 1 - x), 1 + x) for x in strength[:3])
    turn = 2 * np.pi * rng.uniform(-strength[3], strength[3])
    values = image.astype(np.float32) * brightness
    grey = values @ _LUMA
    values = (values - grey.mean()) * contrast + grey.mean()
    mixture = _hue_matrix(turn) @ _saturation_matrix(saturation)
    return np.clip(values @ mixture.T.astype(np.float32) + 0.5, 0, 255).astype(np.uint8)


_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TO_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float64)


def _saturation_matrix(factor: float) -> NDArray[np.float64]:
    return factor * np.eye(3) + (1 - factor) * np.ones((3, 1)) * _LUMA


def _hue_matrix(turn: float) -> NDArray[np.float64]:
    """Turn the two colour axes of YIQ; grey stays grey."""
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.asarray(np.linalg.inv(_TO_YIQ) @ rotation @ _TO_YIQ)
