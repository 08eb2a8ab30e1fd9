"""What of a flow is the camera's, by a robust affine model, and what moves by itself."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from skimage.filters import threshold_otsu
from torch import Tensor

POINTS = 4096
"""Pixels, on a grid, that the model is fitted to: more change nothing."""
ROUNDS = 10
TOLERANCE = 2.0
"""How many standard deviations of the background's flow count as far (Geman and McClure's c)."""
NOISE = 0.05
"""Pixels that flow is never sure of: where all points agree, the deviation is no smaller."""
ROBUST = 1.4826
"""Standard deviations in a median of absolute values of a Gaussian."""
STILL = 0.25
"""Pixels: what moves less against the camera is not told from noise."""


def fit_camera(flow: Float[Tensor, "2 H W"]) -> Float[Tensor, "2 3"]:
    """The affine motion most of the frame follows: (dx, dy) at (x, y) is the matrix times (x, y, 1), in pixels.

    From the median motion on, least squares weighted anew (Geman and McClure 1987) with the median of what is left as
    scale, in float64. Frames of one row, column or pixel have the smallest matrix that fits.
    """
    places, motions = _sample(flow.double())  # (n, 3), (n, 2)
    model = torch.zeros(3, 2, dtype=places.dtype, device=places.device)
    model[2] = motions.median(dim=0).values
    for _ in range(ROUNDS):
        far = (motions - places @ model).norm(dim=1)
        scale = TOLERANCE * torch.clamp(ROBUST * far.median(), min=NOISE)
        weighted = places.T * (1 + (far / scale) ** 2) ** -2  # (3, n)
        model = torch.linalg.pinv(weighted @ places, hermitian=True) @ (weighted @ motions)  # (3, 2)
    return (model.T @ _to_unit(flow)).to(flow.dtype)


def camera_flow(camera: Float[Tensor, "2 3"], size: tuple[int, int]) -> Float[Tensor, "2 H W"]:
    """The flow of every pixel under an affine motion."""
    rows = torch.arange(size[0], dtype=camera.dtype, device=camera.device)[:, None]
    columns = torch.arange(size[1], dtype=camera.dtype, device=camera.device)[None, :]
    along, down, always = camera.T[:, :, None, None]
    return along * columns + down * rows + always


def residual_flow(flow: Float[Tensor, "2 H W"]) -> Float[Tensor, "2 H W"]:
    """The flow less that of the camera. All zero where nothing moves, or everything moves as one."""
    return flow - camera_flow(fit_camera(flow), (flow.shape[1], flow.shape[2]))


def motion_map(forward: Float[Tensor, "2 H W"], backward: Float[Tensor, "2 H W"] | None = None) -> Float[Tensor, "H W"]:
    """How far each pixel of a frame moves against the camera, in pixels.

    ``forward`` is the flow to the next frame, ``backward`` that to the one before: of both the smaller counts, since
    where a background is about to be covered, or has just been uncovered, one of them is wrong.
    """
    there = residual_flow(forward).norm(dim=0)
    return there if backward is None else torch.minimum(there, residual_flow(backward).norm(dim=0))


def split_of(motion: Float[Tensor, "H W"]) -> float:
    """The pixels from which on something moves by itself: Otsu's threshold (1979), and no less than ``STILL``."""
    values = motion.cpu().numpy()
    return max(float(threshold_otsu(values)), STILL) if np.ptp(values) > 0 else STILL


def moving(motion: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Which pixels move by themselves."""
    return motion > split_of(motion)


def _to_unit(flow: Float[Tensor, "2 H W"]) -> Float[Tensor, "3 3"]:
    """From (x, y, 1) in pixels to places in about -1..1, which keeps the fit well-conditioned."""
    _, height, width = flow.shape
    half = max(height, width) / 2
    return torch.tensor(
        [[1 / half, 0, -(width - 1) / 2 / half], [0, 1 / half, -(height - 1) / 2 / half], [0, 0, 1]],
        dtype=torch.float64, device=flow.device,
    )  # fmt: skip


def _sample(flow: Float[Tensor, "2 H W"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 2"]]:
    """Places and motions on a regular grid of pixels."""
    _, height, width = flow.shape
    stride = max(1, int((height * width / POINTS) ** 0.5))
    rows, columns = torch.arange(0, height, stride), torch.arange(0, width, stride)
    y, x = (axis.flatten().to(flow) for axis in torch.meshgrid(rows, columns, indexing="ij"))
    places = torch.stack([x, y, torch.ones_like(x)]) if len(x) else flow.new_zeros(3, 0)
    return (_to_unit(flow) @ places).T, flow[:, ::stride, ::stride].flatten(1).T
