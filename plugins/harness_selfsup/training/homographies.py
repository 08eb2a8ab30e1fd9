"""A short video from one image: random homographies that move its corners steadily (Zhu et al. 2020, sec. 4.4)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]  # (3, 3), pixels (x, y, 1) of the image to pixels of the frame
Image = NDArray[np.uint8]


def random_path(rng: np.random.Generator, frames: int, height: int, width: int, strength: float) -> list[Matrix]:
    """One homography a frame: the first is the identity, then each corner goes its own way.

    Half of a corner's way is that of all four (the camera turns), half its own; the last frame's corners are up to
    ``strength`` of the width and height away from the first's. Steps between frames vary, directions do not.
    """
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    reach = strength * np.array([width, height])
    way = (rng.uniform(-1, 1, (1, 2)) + rng.uniform(-1, 1, (4, 2))) / 2 * reach
    steps = rng.uniform(0.5, 1.5, max(frames - 1, 1))
    done = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])[:frames]
    return [_onto(corners, corners + share * way) for share in done]


def warp(image: Image, matrix: Matrix) -> Image:
    """The frame that ``matrix`` makes of an image (H, W, 3), same size; what lies beyond its edge is mirrored in."""
    height, width = image.shape[:2]
    size, edge = (width, height), cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge), np.uint8)


def _onto(corners: NDArray[np.float64], moved: NDArray[np.float64]) -> Matrix:
    """The homography that takes four corners onto four others."""
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32)), np.float64)
