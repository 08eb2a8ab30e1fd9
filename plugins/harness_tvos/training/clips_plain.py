"""Plain clips, as the released code makes them: frames of one video, all cropped, flipped and recoloured alike."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from harness import DataError, Sample
from harness_tvos.config import OFFICIAL, Config
from harness_tvos.frames.references import reference_frames
from harness_tvos.training.clips import Clip, Image, list_annotated, read_pair
from harness_tvos.training.config import TrainingConfig
from harness_tvos.training.labels import CENTROIDS, central, commonest, nearest_classes, paint
from harness_tvos.training.warp import recolour

UNIFORM_REACH = 40  # paper 3.3: the preceding 40 frames
SHRINK = {"majority": commonest, "nearest": central, "palette": nearest_classes}


class PlainClips:
    """A clip for every frame of every video, in the order of the epoch; the target is the last of its frames."""

    def __init__(self, samples: Sequence[Sample], config: TrainingConfig, seed: int) -> None:
        self.frames = [list_annotated(sample) for sample in samples]
        short = [sample for sample, there in zip(samples, self.frames, strict=True) if len(there) <= config.references]
        if short or not samples:
            found = f"video {short[0].name!r} with {len(list_annotated(short[0]))}" if short else "no video"
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
        return self._augment(pairs, np.random.default_rng((self.seed, iteration, place)), side)

    def place_of(self, iteration: int, place: int) -> tuple[int, int]:
        """Which video, and which of its annotated frames, begins a clip."""
        epoch, step = divmod(iteration, self.epoch)
        order = np.random.default_rng((self.seed, epoch if self.config.reshuffle else 0)).permutation(self.starts[-1])
        number = int(order[(step * self.config.batch + place) % len(order)])
        video = int(np.searchsorted(self.starts, number, side="right")) - 1
        return video, number - int(self.starts[video])

    def _augment(self, pairs: list[tuple[Image, Image]], rng: np.random.Generator, side: int) -> Clip:
        wanted = max(self.config.short_side or min(pairs[0][1].shape), side)
        most = max(int(ids.max()) for _, ids in pairs)
        if most >= CENTROIDS:
            raise DataError(f"found object id {most}; TVOS learns from ids 0 to {CENTROIDS - 1} and void")
        frames = np.stack([resize(image, wanted, Pillow.Resampling.BILINEAR) for image, _ in pairs])
        masks = np.stack([self._resize_mask(ids, wanted) for _, ids in pairs])
        top, left = (int(rng.integers(0, length - side + 1)) for length in masks.shape[1:3])
        frames, masks = (x[:, top : top + side, left : left + side] for x in (frames, masks))
        for axis, chance in ((2, self.config.flip), (1, self.config.flip_vertically)):
            if rng.random() < chance:
                frames, masks = np.flip(frames, axis), np.flip(masks, axis)
        if self.config.colour_jitter:
            frames = jitter(frames, rng, self.config.colour_jitter)
        nothing = np.zeros((0, side // 8, side // 8, 2), np.float32)
        labels = SHRINK[self.config.labels](masks)
        return Clip(np.ascontiguousarray(frames), labels, nothing, nothing[..., 0].astype(np.bool_))

    def _resize_mask(self, ids: Image, short_side: int) -> Image:
        """The ids, or where the palette decides their colours, which mix at borders as those of frames do."""
        if self.config.labels == "palette":
            return resize(paint(ids), short_side, Pillow.Resampling.BILINEAR)
        return resize(ids, short_side, Pillow.Resampling.NEAREST)


def epoch_of(samples: Sequence[Sample], config: TrainingConfig) -> int:
    """The iterations in which every annotated frame begins a clip once; what does not fill a batch is left out."""
    return max(sum(len(list_annotated(sample)) for sample in samples) // config.batch, 1)


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


def resize(image: Image, short_side: int, how: Pillow.Resampling) -> Image:
    """An image whose shorter side is ``short_side``, the longer one cut to whole pixels, as torchvision has Pillow do.

    Pillow looks at all pixels where it shrinks; OpenCV's bilinear resizing looks at four.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter == short_side:
        return image
    size = int(short_side * width / shorter), int(short_side * height / shorter)
    return np.asarray(Pillow.fromarray(image).resize(size, how), np.uint8)


def jitter(frames: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation by factors 1 +- ``strength``, hue by as much of the circle; the same for all."""
    factors = [float(rng.uniform(1 - strength, 1 + strength)) for _ in range(3)]
    turn = round(180 * rng.uniform(-strength, strength))  # OpenCV halves degrees
    changed = []
    for frame in frames:
        hsv = cv2.cvtColor(recolour(frame, *factors), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
        changed.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return np.stack(changed)
