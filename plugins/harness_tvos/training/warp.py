"""Pictures and their ids moved by similarities, and recoloured."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from harness_tvos.training.clips import Image

Matrix = NDArray[np.float64]  # (3, 3): pixels (x, y, 1) of the source to pixels of the crop
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def similarity(scale: float, turn: float, mirror: float, centre: NDArray, onto: NDArray) -> Matrix:
    """Mirror (-1 or 1), turn and scale about ``centre``, which lands ``onto`` a point."""
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, onto - linear @ centre
    return matrix


def warp(image: Image, ids: Image, matrix: Matrix, side: int) -> tuple[Image, Image]:
    """The crop (side, side) that ``matrix`` says, reflected at the borders; ids nearest."""
    size, edge = (side, side), cv2.BORDER_REFLECT_101
    picture = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=edge)
    moved = cv2.warpAffine(ids, matrix[:2], size, flags=cv2.INTER_NEAREST, borderMode=edge)
    return np.asarray(picture, np.uint8), np.asarray(moved, np.uint8)


def recolour(image: Image, brightness: float, contrast: float, saturation: float) -> Image:
    """Factors on brightness, on the distance from the mean, and on the distance from grey, in this order."""
    x = image.astype(np.float32) * np.float32(brightness)
    mean = x.mean()
    x = (x - mean) * np.float32(contrast) + mean
    grey = x @ LUMA
    x = grey[..., None] + (x - grey[..., None]) * np.float32(saturation)
    return np.clip(x, 0, 255).astype(np.uint8)
