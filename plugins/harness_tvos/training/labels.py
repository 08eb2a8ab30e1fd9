"""Ids of pixels as hard labels of 8 x 8 cells: the commonest, the centre's, or the official way through the palette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_tvos.network import STRIDE

Ids = NDArray[np.uint8]
CENTROIDS = 22  # code: annotation_centroids.npy


def commonest(ids: Ids) -> Ids:
    """The commonest id of each cell, the lower one on a tie: (..., H, W) to (..., H/8, W/8)."""
    blocks = _blocks(ids)
    values = np.unique(ids)
    counts = np.stack([(blocks == value).sum((-3, -1)) for value in values])
    return values[counts.argmax(0)]


def central(ids: Ids) -> Ids:
    """The id at the centre of each cell, which nearest-neighbour shrinking picks."""
    return _blocks(ids)[..., STRIDE // 2, :, STRIDE // 2]


def paint(ids: Ids) -> NDArray[np.uint8]:
    """The colours (..., H, W, 3) of ids in the VOC palette."""
    return palette().astype(np.uint8)[ids]


def nearest_classes(colours: NDArray[np.uint8]) -> Ids:
    """Each cell's mean of painted ids (..., H, W, 3), as bilinear shrinking takes it, to the nearest of 22 colours.

    So an exact half of background and object 1, (64, 0, 0), becomes class 8, whose colour that is
    (microsoft/transductive-vos 1312e43). Bilinear shrinking by 8 is the mean of the 2 x 2 pixels at the centre.
    """
    height, width = colours.shape[-3:-1]
    cells = colours.reshape(*colours.shape[:-3], height // STRIDE, STRIDE, width // STRIDE, STRIDE, 3)
    means = cells[..., 3:5, :, 3:5, :].mean((-4, -2))  # (..., h, w, 3)
    distances = np.square(means[..., None, :] - centroids()).sum(-1)
    return distances.argmin(-1).astype(np.uint8)


def palette() -> NDArray[np.float64]:
    """The VOC colours of all 256 ids: the bits of the id, spread over the channels from their highest bit down."""
    ids = np.arange(256)
    bits = [sum((ids >> (3 * place + channel) & 1) << (7 - place) for place in range(8)) for channel in range(3)]
    return np.stack(bits, -1).astype(np.float64)


def centroids() -> NDArray[np.float64]:
    """The official colours of classes 0 to 21: the palette's, with 191 in place of 192."""
    colours = palette()[:CENTROIDS]
    return np.where(colours == 192, 191, colours)


def _blocks(ids: Ids) -> Ids:
    """(..., h, 8, w, 8)."""
    height, width = ids.shape[-2:]
    return ids.reshape(*ids.shape[:-2], height // STRIDE, STRIDE, width // STRIDE, STRIDE)
