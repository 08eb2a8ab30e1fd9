"""From centres, offsets and foreground to proposals: Zhou et al. 2021, inference of the instance head."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional


def find_centres(
    heatmap: Float[Tensor, "h w"], *, threshold: float, window: int, most: int
) -> tuple[Int[Tensor, "k 2"], Float[Tensor, " k"]]:
    """Rows and columns of the highest peaks, exactly one for each, highest first; and how high they are.

    A peak is above ``threshold`` and the first cell, row by row, of the highest in the ``window`` around it. The
    released line of Panoptic-DeepLab that keeps the k highest compares coordinates, and keeps all of equal height.
    """
    h, w = heatmap.shape
    highest = functional.max_pool2d(heatmap[None, None], window, 1, window // 2)[0, 0]
    is_highest = (heatmap == highest) & (heatmap > threshold)
    order = torch.arange(h * w, 0, -1, device=heatmap.device, dtype=torch.float64).view(h, w)  # earlier is more
    rank = torch.where(is_highest, order, 0.0)
    first = functional.max_pool2d(rank[None, None], window, 1, window // 2)[0, 0]
    cells = (is_highest & (rank == first)).nonzero()  # (p, 2)
    heights = heatmap[cells[:, 0], cells[:, 1]]
    best = heights.sort(descending=True, stable=True).indices[:most]
    return cells[best], heights[best]


def number_parts(foreground: Bool[Tensor, "H W"]) -> UInt8[Tensor, "H W"]:
    """The parts of a foreground without centres, the largest 255 of them, numbered from 1 by size."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.cpu().numpy().astype(np.uint8))
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:255]
    names = np.zeros(len(stats), np.uint8)
    names[order + 1] = np.arange(1, len(order) + 1)
    return torch.from_numpy(names[labels]).to(foreground.device)
