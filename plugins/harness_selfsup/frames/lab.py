"""RGB to the Lab input of the encoder, equal to what OpenCV's float conversion gives, on any device."""

from __future__ import annotations

import functools

import cv2
import torch
from torch import Tensor
from torch.nn import functional

# OpenCV (color_lab.cpp, since 3.3) does not evaluate Lab of float images: it interpolates a table of 33^3 colours in
# fixed point. The difference to the formula is up to .44 of a and .19 of L, so the table is part of the convention.
GRID = 33
FINE = 16  # steps between two grid points
ONE = 1 << 14  # the fixed-point unit
TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.950456, 1.0, 1.088754)  # D65


def to_lab(images: Tensor) -> Tensor:
    """The encoder's input (B, 3, H, W) of RGB images (B, H, W, 3): uint8, or floats in [0, 1].

    L is (L - 50) / 50, a and b are over 127 (MAST a57b043, dataloaders). Channels lie last in memory; no gradient
    flows through.
    """
    values = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    lab = _by_opencv(values) if values.device.type == "cpu" else lab_by_table(values)
    lightness, a, b = lab.unbind(-1)
    return torch.stack([(lightness - 50) / 50, a / 127, b / 127], -1).permute(0, 3, 1, 2)  # (B, 3, H, W)


def _by_opencv(values: Tensor) -> Tensor:
    """Lab (B, H, W, 3) of RGB in [0, 1], by OpenCV itself: several times faster than a gather on a CPU."""
    flat = values.detach().reshape(-1, values.shape[-2], 3).contiguous()  # (B*H, W, 3), one image to OpenCV
    return torch.from_numpy(cv2.cvtColor(flat.numpy(), cv2.COLOR_RGB2Lab)).view(values.shape)


def lab_by_table(values: Tensor) -> Tensor:
    """Lab (B, H, W, 3) of RGB (B, H, W, 3) in [0, 1] by OpenCV's table, as one trilinear lookup."""
    fixed = (values.detach().clamp(0, 1) * ONE).round().int()
    place = (fixed >> 5).float() / FINE  # in cells of the table, cut to sixteenths
    grid = (place / ((GRID - 1) / 2) - 1).flip(-1)[None]  # (1, B, H, W, 3): b, g, r
    found = functional.grid_sample(_table(values.device), grid, mode="bilinear", align_corners=True)  # trilinear
    lightness, a, b = (found[0] + 0.5).floor() / ONE  # OpenCV adds in integers and rounds halves up
    return torch.stack([lightness * 100, a * 256 - 128, b * 256 - 128], -1)


@functools.lru_cache(maxsize=8)
def _table(device: torch.device) -> Tensor:
    """(1, 3, 33, 33, 33): L / 100, (a + 128) / 256 and (b + 128) / 256 of each r, g, b, in fixed point."""
    axis = torch.arange(GRID, dtype=torch.float64) / (GRID - 1)
    linear = torch.where(axis <= 0.04045, axis / 12.92, ((axis + 0.055) / 1.055) ** 2.4)  # sRGB
    rgb = torch.stack(torch.meshgrid(linear, linear, linear, indexing="ij"), -1)
    xyz = rgb @ torch.tensor(TO_XYZ, dtype=torch.float64).t() / torch.tensor(WHITE, dtype=torch.float64)
    f = torch.where(xyz > 216 / 24389, xyz.clamp(min=1e-9) ** (1 / 3), xyz * (841 / 108) + 16 / 116)
    lightness = 116 * f[..., 1] - 16
    lab = torch.stack([lightness, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
    unit = torch.tensor([100.0, 256.0, 256.0], dtype=torch.float64)
    offset = torch.tensor([0.0, 128.0, 128.0], dtype=torch.float64)
    return ((lab + offset) / unit * ONE).round().float().permute(3, 0, 1, 2)[None].to(device)
