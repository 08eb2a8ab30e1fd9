"""Which feature cell of one crop lies where in another, from optical flow checked there and back."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from harness_tvos.network import STRIDE
from harness_tvos.training.clips import Image
from harness_tvos.training.warp import Matrix

Flow = NDArray[np.float32]  # (H, W, 2): (dx, dy) in pixels of the frame
UNKNOWN = np.float32(1e4)  # a flow that no check accepts


def dense_flow(first: Image, second: Image) -> Flow:
    """OpenCV's DIS flow from one RGB frame to another."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(engine.calc(grey[0], grey[1], np.zeros((*grey[0].shape, 2), np.float32)), np.float32)


def chain(steps: Sequence[Flow]) -> tuple[Flow, Flow]:
    """The flow over several exact steps, and the flow back: unknown where no pixel of the first frame lands."""
    there = np.array(steps[0])
    height, width = there.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    for step in steps[1:]:
        there += cv2.remap(
            step, columns + there[..., 0], rows + there[..., 1], cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(float(UNKNOWN),) * 2,
        )  # fmt: skip
    back = np.full_like(there, UNKNOWN)
    x, y = (np.rint(base + there[..., axis]) for axis, base in enumerate((columns, rows)))
    lands = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    back[y[lands].astype(int), x[lands].astype(int)] = -there[lands]
    return there, back


def find_again(
    flows: tuple[Flow, Flow], matrices: Sequence[Matrix], ids: Image, a: int, *, is_fixed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the cells of crop ``a`` (0 or 1) lie in the other crop, (h, w, 2) in cells, and where that is trusted.

    Trusted: flow there and back agree, both ends lie inside, the ids (K, S, S) agree, and nothing was laid over
    (``is_fixed``).
    """
    b, side = 1 - a, ids.shape[-1]
    centres = np.arange(side // STRIDE) * STRIDE + (STRIDE - 1) / 2
    x, y = np.meshgrid(centres, centres)
    crop = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])  # (3, N)
    source = np.linalg.inv(matrices[a]) @ crop
    there = _sample(flows[a], source)
    back = _sample(flows[b], source[:2] + there)
    landed = matrices[b] @ np.vstack([source[:2] + there, crop[2:]])
    height, width = flows[a].shape[:2]
    is_matched = ((source[:2] >= 0) & (source[:2] <= [[width - 1], [height - 1]])).all(0)
    is_matched &= ((landed[:2] >= 0) & (landed[:2] <= side - 1)).all(0)
    is_matched &= np.linalg.norm(there + back, axis=0) < 1.0 + 0.05 * np.linalg.norm(there, axis=0)
    from_row, from_column = y.ravel().astype(int), x.ravel().astype(int)
    column, row = np.clip(np.rint(landed[:2]), 0, side - 1).astype(int)
    is_matched &= ids[a][from_row, from_column] == ids[b][row, column]
    is_matched &= is_fixed[a][from_row, from_column] & is_fixed[b][row, column]
    cells = (landed[:2] - (STRIDE - 1) / 2) / STRIDE
    return cells.T.reshape(*x.shape, 2).astype(np.float32), is_matched.reshape(x.shape)


def _sample(flow: Flow, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The flow at points (2 or more, N), bilinear, as (2, N)."""
    x, y = (np.clip(points[axis], -UNKNOWN, UNKNOWN).astype(np.float32)[None] for axis in (0, 1))
    return cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0].T.astype(np.float64)
