"""More first samples of a new target: cut out, turned, resized, and pasted onto the filled-in background elsewhere.

After FRTM (Robinson et al. 2020), whose 4 copies and the original make the first 5 samples.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3)
Share = NDArray[np.float32]  # (H, W) in 0..1

SCALES = (0.5, 2.5)
TURNS = (5.0, 45.0)  # degrees, to either side
FLIPPED = 0.2
BLURS = (0, 0, 1, 2, 5)  # of the background; half sides of a box
JITTER = 0.1
"""Of the sides of the frame, around the points of a grid of 3 x 3 that the target is pasted at; ours."""
TRIES = 10
SEEN = 0.5
"""A pasted target shows at least this share of the pixels it would have if nothing were cut off; ours."""
MOST = 0.9
"""Of a target that covers more than this there is no background to fill in with: its copies are in place."""


def draw_copies(image: Image, mask: Share, count: int, random: np.random.Generator) -> list[tuple[Image, Share]]:
    """``count`` images of a target with its masks; of an empty mask, images without it."""
    background = fill_in(image, mask)
    return [draw_copy(image, mask, background, random) for _ in range(count)]


def fill_in(image: Image, mask: Share) -> Image:
    """The image without the target, its place continued from around it; the image itself where too little is left."""
    hole = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    if not 0 < hole.mean() <= MOST:
        return image
    return np.asarray(cv2.inpaint(image, hole, 1, cv2.INPAINT_TELEA), np.uint8)


def draw_copy(image: Image, mask: Share, background: Image, random: np.random.Generator) -> tuple[Image, Share]:
    """One copy; the target stays in place where none of ``TRIES`` shows enough of it, or nearly all is target."""
    blur = 2 * int(random.choice(BLURS)) + 1
    behind = np.asarray(cv2.blur(background, (blur, blur)), np.uint8)
    area = float((mask > 0.5).sum())
    if not 0 < area <= MOST * mask.size:
        return (behind, mask) if area == 0 else (image, mask)
    rows, columns = np.nonzero(mask > 0.5)
    centre = np.array([columns.mean(), rows.mean()])
    for _ in range(TRIES):
        matrix, scale = draw_placement(centre, mask.shape, random)
        moved = warp(mask, matrix)
        if (moved > 0.5).sum() >= SEEN * area * scale**2 and (moved > 0.5).mean() <= MOST:
            break
    else:
        matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        moved = mask
    share = moved[..., None]
    pasted = share * warp(image, matrix).astype(np.float32) + (1 - share) * behind
    return np.rint(pasted).astype(np.uint8), moved


def draw_placement(
    centre: NDArray, size: tuple[int, ...], random: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """A similarity that brings the target's centre near a point of a 3 x 3 grid, and its scale."""
    low, high = np.log(SCALES)
    scale = float(np.exp(random.uniform(low, high)))
    turn = float(np.deg2rad(random.uniform(*TURNS) * random.choice((-1, 1))))
    mirror = -1.0 if random.random() < FLIPPED else 1.0
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    sides = np.array([size[1], size[0]])
    onto = sides * (random.integers(1, 4, 2) / 4 + random.uniform(-JITTER, JITTER, 2))
    return np.column_stack([linear, onto - linear @ centre]), scale


def warp(picture: NDArray, matrix: NDArray[np.float64]) -> NDArray:
    """The picture moved by a similarity; nothing lies beyond it."""
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_LINEAR)
