"""Textures of `mini`: crops of photographs that ship inside scikit-image, tinted, mirrored into tiles, in levels."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, EnvironmentProblem

PHOTOGRAPHS = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
}
"""File -> SHA-256 of the PNG photographs (lossless, so every decoder gives the same pixels) that scikit-image ships.

Free of known copyright restrictions, as scikit-image states for each: docs/mini.md lists source and licence.
"""


@cache
def photograph(name: str) -> np.ndarray:
    """One photograph as (H, W, 3) uint8 RGB; DataError where it is missing or is not the one `mini` was made from."""
    from PIL import Image

    path = photograph_folder() / name
    if not path.is_file():
        raise DataError(
            f"{path} is missing; `mini` takes its textures from the photographs inside scikit-image",
            hint="pip install --force-reinstall scikit-image",
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != PHOTOGRAPHS[name]:
        raise DataError(
            f"{path} has SHA-256 {found}, expected {PHOTOGRAPHS[name]}: `mini` would not be the same benchmark",
            hint="install a released scikit-image (0.24 to 0.26 are known to hold this file)",
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def photograph_folder() -> Path:
    """Where scikit-image keeps its photographs; found without importing it, so nothing is ever downloaded."""
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise EnvironmentProblem("scikit-image is not installed", hint="pip install scikit-image")
    return Path(package.submodule_search_locations[0]) / "data"


@dataclass(frozen=True)
class Look:
    """Which part of which photograph, and how it is coloured: ``colour`` scales RGB, ``saturation`` 0 makes it grey."""

    photograph: str
    left: float = 0.0
    top: float = 0.0
    share: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    side: int = 256
    turned: bool = False
    soft: int = 0
    """Keep only this many pixels a side: clouds out of stones."""


@dataclass(frozen=True)
class Texture:
    """A square tile in levels of halving size; ``levels[i]`` holds packed RGBx pixels, side * side of them."""

    sides: tuple[int, ...]
    levels: tuple[np.ndarray, ...]

    def level_for(self, texels_per_pixel: float) -> int:
        """The finest level with at most about one and a half texels a pixel."""
        level = 0
        while texels_per_pixel > 1.5 and level < len(self.sides) - 1:
            texels_per_pixel, level = texels_per_pixel / 2, level + 1
        return level

    def sample(self, u: np.ndarray, v: np.ndarray, level: int) -> np.ndarray:
        """RGBx bytes, shape (..., 4), at tile coordinates (1 is one tile, wrapped around)."""
        side = self.sides[level]
        column = np.floor(u * side).astype(np.int32) & (side - 1)
        row = np.floor(v * side).astype(np.int32) & (side - 1)
        packed: Any = self.levels[level].take(row * side + column)
        return packed.view(np.uint8).reshape(*u.shape, 4)


@lru_cache(maxsize=48)
def texture(look: Look) -> Texture:
    """Crop, resize, colour, halve, and mirror each level into a tile that wraps without a seam."""
    photo = _colour(_crop(replace(look, colour=(1.0, 1.0, 1.0), saturation=1.0, contrast=1.0)), look)
    levels, sides = [], []
    while photo.shape[0] >= 4:
        sides.append(2 * photo.shape[0])
        packed = np.concatenate([photo, np.zeros_like(photo[..., :1])], axis=2).view(np.uint32)[..., 0]
        wide = np.concatenate([packed, packed[:, ::-1]], axis=1)
        levels.append(np.concatenate([wide, wide[::-1]], axis=0).reshape(-1))
        sums = photo.astype(np.uint16)
        sums = sums[::2, ::2] + sums[1::2, ::2] + sums[::2, 1::2] + sums[1::2, 1::2]
        photo = ((sums + 2) // 4).astype(np.uint8)
    return Texture(tuple(sides), tuple(levels))


@lru_cache(maxsize=16)
def _crop(look: Look) -> np.ndarray:
    """The square crop as (side, side, 3) float64, not yet coloured."""
    photo: np.ndarray = photograph(look.photograph)
    if look.turned:
        photo = photo.transpose(1, 0, 2)
    height, width = photo.shape[:2]
    edge = look.share * (min(height, width) - 1)
    left, top = look.left * (width - 1 - edge), look.top * (height - 1 - edge)
    if not look.soft:
        return _resize(photo, left, top, edge, look.side)
    coarse = _resize(photo, left, top, edge, look.soft)
    middle = _resize(coarse, 0, 0, look.soft - 1, look.soft * 3)
    return _resize(middle, 0, 0, look.soft * 3 - 1, look.side)


def _resize(photo: np.ndarray, left: float, top: float, edge: float, side: int) -> np.ndarray:
    """A square of a photograph, bilinear, without a library's own rounding."""
    height, width = photo.shape[:2]
    steps = (np.arange(side) + 0.5) / side * edge
    x, y = steps + left, steps + top
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0)[None, :, None], (y - y0)[:, None, None]
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    upper = photo[y0][:, x0] * (1 - fx) + photo[y0][:, x1] * fx
    lower = photo[y1][:, x0] * (1 - fx) + photo[y1][:, x1] * fx
    return upper * (1 - fy) + lower * fy


def _colour(crop: np.ndarray, look: Look) -> np.ndarray:
    grey = (crop[..., 0] * 77 + crop[..., 1] * 150 + crop[..., 2] * 29) / 256
    planes = [
        ((grey + (crop[..., c] - grey) * look.saturation - 128) * look.contrast + 128) * look.colour[c]
        for c in range(3)
    ]
    return np.floor(np.clip(np.stack(planes, axis=-1), 0, 255) + 0.5).clip(0, 255).astype(np.uint8)
