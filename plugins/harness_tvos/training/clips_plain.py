"""Plain clips, as the released code makes them: frames of one video, all cropped, flipped and recoloured alike."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample
from harness_tvos.config import OFFICIAL, Config
from harness_tvos.frames.references import reference_frames
from harness_tvos.training.clips import Clip, Image, annotated, read_pair
from harness_tvos.training.config import TrainingConfig
from harness_tvos.training.labels import CENTROIDS, central, commonest, through_palette
from harness_tvos.training.warp import recoloured

UNIFORM_REACH = 40  # paper 3.3: the preceding 40 frames
SHRINK = {"majority": commonest, "nearest": central, "palette": through_palette}


class PlainClips:
    """A clip for every frame of every video, in a new order each epoch; the target is the last of its frames."""

    def __init__(self, samples: Sequence[Sample], config: TrainingConfig, seed: int) -> None:
        self.frames = [annotated(sample) for sample in samples]
        short = [sample for sample, there in zip(samples, self.frames, strict=True) if len(there) <= config.references]
        if short or not samples:
            found = f"video {short[0].name!r} with {len(annotated(short[0]))}" if short else "no video"
            raise DataError(
                f"found {found} annotated frames; expected videos with {config.references + 1} or more",
                hint="leave it out, or train with fewer references: --set references=3",
            )
        self.samples = tuple(samples)
        self.config = config
        self.seed = seed
        self.epoch = epoch_of(samples, config)
        self.starts = np.cumsum([0, *(len(there) for there in self.frames)])
        """At which clip of an epoch each video begins, and how many there are."""

    def clip(self, iteration: int, place: int, side: int) -> Clip:
        """One clip of crops of ``side`` pixels."""
        video, start = self.place_of(iteration, place)
        there = self.frames[video]
        moments = clip_frames(start, len(there), self.config)
        pairs = [read_pair(self.samples[video], there[t]) for t in moments]
        return self._augmented(pairs, np.random.default_rng((self.seed, iteration, place)), side)

    def place_of(self, iteration: int, place: int) -> tuple[int, int]:
        """Which video, and which of its annotated frames, begins a clip."""
        epoch, step = divmod(iteration, self.epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.starts[-1])
        number = int(order[(step * self.config.batch + place) % len(order)])
        video = int(np.searchsorted(self.starts, number, side="right")) - 1
        return video, number - int(self.starts[video])

    def _augmented(self, pairs: list[tuple[Image, Image]], rng: np.random.Generator, side: int) -> Clip:
        wanted = max(self.config.short_side or min(pairs[0][1].shape), side)
        frames = np.stack([enlarged(image, wanted, cv2.INTER_LINEAR) for image, _ in pairs])
        ids = np.stack([enlarged(ids, wanted, cv2.INTER_NEAREST) for _, ids in pairs])
        if ids.max() >= CENTROIDS:
            raise DataError(f"found object id {ids.max()}; TVOS learns from ids 0 to {CENTROIDS - 1} and void")
        top, left = (int(rng.integers(0, length - side + 1)) for length in ids.shape[1:])
        frames, ids = (x[:, top : top + side, left : left + side] for x in (frames, ids))
        for axis, chance in ((2, self.config.flip), (1, self.config.flip_vertically)):
            if rng.random() < chance:
                frames, ids = np.flip(frames, axis), np.flip(ids, axis)
        if self.config.colour_jitter:
            frames = jittered(frames, rng, self.config.colour_jitter)
        nothing = np.zeros((0, side // 8, side // 8, 2), np.float32)
        labels = SHRINK[self.config.labels](ids)
        return Clip(np.ascontiguousarray(frames), labels, nothing, nothing[..., 0].astype(np.bool_))


def epoch_of(samples: Sequence[Sample], config: TrainingConfig) -> int:
    """The iterations in which every annotated frame begins a clip once; what does not fill a batch is left out."""
    return max(sum(len(annotated(sample)) for sample in samples) // config.batch, 1)


def clip_frames(start: int, length: int, config: TrainingConfig) -> tuple[int, ...]:
    """The frames of the clip that begins at ``start``, or earlier where the video would end before the target."""
    rule = {
        "previous": Config(sparse=0, dense=config.references, reach=config.references),
        "uniform": Config(sparse=config.references, dense=0, reach=max(UNIFORM_REACH, config.references)),
        "sparse": OFFICIAL,
    }[config.strategy]
    span = min(rule.reach + 1, length)
    start = min(start, length - span)
    return tuple(start + t for t in (*reference_frames(span - 1, rule), span - 1))


def enlarged(image: Image, short_side: int, interpolation: int) -> Image:
    """An image resized so that its shorter side is ``short_side``; itself where it is so already."""
    height, width = image.shape[:2]
    factor = short_side / min(height, width)
    if factor == 1:
        return image
    size = (max(round(width * factor), short_side), max(round(height * factor), short_side))
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def jittered(frames: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation by factors 1 +- ``strength``, hue by as much of the circle; the same for all."""
    factors = [float(rng.uniform(1 - strength, 1 + strength)) for _ in range(3)]
    turn = round(180 * rng.uniform(-strength, strength))  # OpenCV halves degrees
    changed = []
    for frame in frames:
        hsv = cv2.cvtColor(recoloured(frame, *factors), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
        changed.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return np.stack(changed)
