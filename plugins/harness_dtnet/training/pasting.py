"""Objects of other videos laid over a frame and the one before it: real texture, exact ids, true occlusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from harness_dtnet.training.targets import MOST
from harness_dtnet.training.videos import Ids, Image

Matrix = NDArray[np.float64]  # (3, 3): pixels (x, y, 1) of the source to pixels of the crop
SMALLEST = 64  # pixels of an object that is laid over
SIZES = (0.12, 0.5)  # of the crop's side: the root of the object's area
DRIFT = 0.02  # of the crop's side: how far an object may lie from where its own motion would bring it


class Crop(NamedTuple):
    """A part of a frame and its ids."""

    image: Image
    ids: Ids


@dataclass(frozen=True)
class PastedObject:
    """One object in the frames it was seen in."""

    name: int
    """Its id there."""
    images: tuple[Image, ...]
    shares: tuple[NDArray[np.float32], ...]


def pick_object(rng: np.random.Generator, frames: Sequence[tuple[Image, Ids]]) -> PastedObject | None:
    """An object of the first frame that is large enough, or None."""
    counts = np.bincount(frames[0][1].ravel(), minlength=MOST + 1)[: MOST + 1]
    names = [name for name in range(1, MOST + 1) if counts[name] >= SMALLEST]
    if not names:
        return None
    name = int(rng.choice(names))
    shares = tuple((ids == name).astype(np.float32) for _, ids in frames)
    return PastedObject(name, tuple(image for image, _ in frames), shares)


def lay_over(rng: np.random.Generator, crops: Sequence[Crop], found: PastedObject, name: int) -> list[Crop]:
    """The crops with the object over them, moving as it did, somewhere else in another size."""
    side = crops[0].ids.shape[0]
    rows, columns = np.nonzero(found.shares[0])
    centre = np.array([columns.mean(), rows.mean()])
    scale = side * rng.uniform(*SIZES) / np.sqrt(len(rows))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    onto = rng.uniform(0.1, 0.9, 2) * side
    laid = []
    for crop, image, share in zip(crops, found.images, found.shares, strict=True):
        there = onto + rng.normal(0, DRIFT * side, 2)
        laid.append(lay_one(crop, image, share, similarity(scale, 0.0, mirror, centre, there), name))
    return laid


def lay_one(crop: Crop, image: Image, share: NDArray[np.float32], matrix: Matrix, name: int) -> Crop:
    """A crop with one picture's object over it: soft at its edge, its id where it covers more than half."""
    size = crop.ids.shape[::-1]
    picture = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR)
    cover = np.asarray(cv2.warpAffine(share, matrix[:2], size, flags=cv2.INTER_LINEAR), np.float32)
    mixed = cover[..., None] * picture + (1 - cover[..., None]) * crop.image
    return Crop(np.rint(mixed).astype(np.uint8), np.where(cover > 0.5, np.uint8(name), crop.ids))


def similarity(scale: float, turn: float, mirror: float, centre: NDArray, onto: NDArray) -> Matrix:
    """Mirror (-1 or 1), turn and scale about ``centre``, which lands ``onto`` a point."""
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.eye(3)
    matrix[:2, :2] = [[cosine * mirror, -sine], [sine * mirror, cosine]]
    matrix[:2, 2] = onto - matrix[:2, :2] @ centre
    return matrix
