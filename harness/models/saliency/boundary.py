"""Saliency by boundary connectivity of superpixels (Zhu et al. 2014): what holds to the frame's border is background.

Their robust background measure and the contrast it weights; not their optimisation, and no manifold ranking.
"""

from __future__ import annotations

from importlib.metadata import version

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic
from torch import Tensor

from harness.models.frame_files import Around, Frame, Place
from harness.models.saliency.scale import to_unit

LONGEST = 320
"""Pixels of the longer side that superpixels are made on: more costs time and changes little."""
SUPERPIXELS = 200
COMPACTNESS = 10.0
COLOUR = 10.0
"""Units of Lab over which colours are alike (Zhu et al.: sigma_clr)."""
CONNECTIVITY = 1.0
"""Boundary connectivity from which on a superpixel is background (sigma_bndCon)."""
SPACE = 0.25
"""Longer sides over which contrast counts (sigma_spa)."""


class BoundaryConnectivity:
    """``boundary``: no label, no weights, nothing to download."""

    name = "boundary"
    looks_around = False

    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        height, width = frame.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(np.ascontiguousarray(frame.cpu().numpy()), size, interpolation=cv2.INTER_AREA)
        labels = superpixels(small)
        rated = rate_superpixels(labels, rgb2lab(small))[labels].astype(np.float32)
        whole = np.asarray(cv2.resize(rated, (width, height), interpolation=cv2.INTER_LINEAR))
        return to_unit(torch.from_numpy(whole)).to(frame.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-1-scikit-image-{version('scikit-image')}"


def superpixels(image: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Labels from 0 on, each of one connected part (SLIC, Achanta et al. 2012)."""
    if np.ptp(image.reshape(-1, 3), axis=0).max() == 0:
        return np.zeros(image.shape[:2], np.int64)  # one colour: SLIC would cut it where it likes
    found = slic(image, SUPERPIXELS, COMPACTNESS, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def rate_superpixels(labels: Int[np.ndarray, "h w"], lab: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " N"]:
    """The contrast of every superpixel with the background near it (Zhu et al., eq. 7)."""
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    axes = np.meshgrid(*(np.arange(side) / max(labels.shape) for side in labels.shape), indexing="ij")
    of_pixels = [*np.moveaxis(lab, -1, 0), *axes]
    means = np.stack([np.bincount(labels.ravel(), each.ravel(), count) / sizes for each in of_pixels], 1)
    colours, centres = means[:, :3], means[:, 3:]
    background = 1 - np.exp(-(boundary_connectivity(labels, colours) ** 2) / (2 * CONNECTIVITY**2))
    return (_apart(colours) * np.exp(-(_apart(centres) ** 2) / (2 * SPACE**2))) @ background


def boundary_connectivity(labels: Int[np.ndarray, "h w"], colours: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """How much of the border belongs to what each superpixel belongs to, to the root of its area (eqs. 3 to 5).

    Alike are superpixels with a short way of colours between them, over neighbours; those at the border are neighbours.
    """
    at_border = np.zeros(len(colours), bool)
    at_border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    first, second = _neighbours(labels, at_border)
    # a way of no length would count as none at all
    lengths = np.linalg.norm(colours[first] - colours[second], axis=1) + 1e-9
    graph = coo_array((lengths, (first, second)), (len(colours),) * 2).tocsr()
    alike = np.exp(-(dijkstra(graph, directed=False) ** 2) / (2 * COLOUR**2))
    return alike @ at_border / np.sqrt(alike.sum(1))


def _neighbours(labels: Int[np.ndarray, "h w"], at_border: Bool[np.ndarray, " N"]) -> Int[np.ndarray, "2 E"]:
    """Every pair of superpixels that touch, or both lie at the border, once, the smaller label first."""
    border = np.flatnonzero(at_border)
    pairs = [
        np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()]),
        np.stack([labels[:-1].ravel(), labels[1:].ravel()]),
        border[np.stack(np.triu_indices(len(border), 1))],
    ]
    together = np.sort(np.concatenate(pairs, 1), axis=0)
    return np.unique(together[:, together[0] != together[1]], axis=1)


def _apart(points: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N N"]:
    """The distance of every two points."""
    return np.linalg.norm(points[:, None] - points[None], axis=2)
