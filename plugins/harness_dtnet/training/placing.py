"""Where a crop lies in a frame, and how its pixels, ids and the guidance's mask change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.pasting import Crop, Matrix, similarity
from harness_dtnet.training.targets import VOID
from harness_dtnet.training.videos import Ids, Image

GREY = (124, 116, 104)  # ImageNet's mean colour: what a crop shows beyond the frame


def place(rng: np.random.Generator, ids: Ids, config: TrainingConfig) -> Matrix:
    """Scale, mirror and move a frame: where it is larger than the crop this lies in it, else it lies in the crop."""
    scale = rng.uniform(*config.scale) * config.lines / min(ids.shape)
    mirror = -1.0 if rng.random() < config.flip else 1.0
    sides = np.array(ids.shape[::-1], float)
    slack = sides - config.crop / scale  # of each side, what the crop leaves out; below 0: what it shows beyond
    centre = sides / 2 + (rng.random(2) - 0.5) * slack
    rows, columns = np.nonzero((ids > 0) & (ids != VOID))
    if rng.random() < config.on_object and len(rows):
        chosen = int(rng.integers(len(rows)))
        around = np.array([columns[chosen], rows[chosen]]) + (rng.random(2) - 0.5) * 0.5 * config.crop / scale
        reach = np.maximum(slack, 0) / 2
        centre = np.where(slack > 0, np.clip(around, sides / 2 - reach, sides / 2 + reach), centre)
    return similarity(scale, 0.0, mirror, centre - 0.5, np.full(2, config.crop / 2 - 0.5))


def cut(image: Image, ids: Ids, matrix: Matrix, side: int) -> tuple[Image, Ids]:
    """The crop (side, side) of a frame and of its ids; beyond the frame it is grey and void."""
    size = (side, side)
    picture = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderValue=GREY)
    names = cv2.warpAffine(ids, matrix[:2], size, flags=cv2.INTER_NEAREST, borderValue=VOID)
    return np.asarray(picture, np.uint8), np.asarray(names, np.uint8)


def recolour(rng: np.random.Generator, crops: list[Crop], strength: float) -> list[Crop]:
    """Brightness, contrast and tint, drawn once for all crops."""
    if not strength:
        return crops
    brightness, contrast = np.exp(rng.uniform(-1, 1, 2) * strength)
    gain = (brightness * np.exp(rng.uniform(-1, 1, 3) * strength / 2)).astype(np.float32)
    changed = []
    for image, ids in crops:
        x = image.astype(np.float32) * gain
        mean = x.mean()
        changed.append(Crop(np.clip((x - mean) * np.float32(contrast) + mean, 0, 255).astype(np.uint8), ids))
    return changed


def move_mask(rng: np.random.Generator, mask: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """A mask moved and resized by a share of its side, and grown or eaten away by a few pixels."""
    side = mask.shape[0]
    middle = np.full(2, (side - 1) / 2)
    onto = middle + rng.uniform(-1, 1, 2) * strength * side
    matrix = similarity(float(np.exp(rng.uniform(-1, 1) * strength)), 0.0, 1.0, middle, onto)
    moved = cv2.warpAffine(mask, matrix[:2], (side, side), flags=cv2.INTER_LINEAR)
    reach = max(int(rng.uniform(0, strength * side / 2)), 0)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return np.asarray(change(moved, kernel), np.float32)


def blur_mask(rng: np.random.Generator, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask with soft edges, as probabilities have."""
    reach = 2 * int(rng.integers(1, 4)) + 1
    return np.asarray(cv2.GaussianBlur(mask, (reach, reach), 0), np.float32)
