"""The static world of `mini`: a ground, a wall or hedge at its far end, and a sky, seen by the moving camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.api.dataclass import dataclass
from harness.datasets.mini.motion import Curve, Matrix, Vector, View, invert
from harness.datasets.mini.objects import wave
from harness.datasets.mini.textures import Look, texture

SKY_DEPTH = 400.0
X_AXIS: Vector = (1.0, 0.0, 0.0)
Y_AXIS: Vector = (0.0, 1.0, 0.0)
Z_AXIS: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Background:
    """Looks and measures in metres: ``tile`` is how much one photograph spans; ``ridge`` waves the far top edge."""

    ground: Look
    ground_tile: float
    far: Look
    far_tile: float
    far_depth: float
    far_height: float
    ridge: tuple[tuple[float, float, float], ...]
    """(amplitude in metres, waves a metre, phase in turns) each."""
    sky: Look
    clouds: Curve
    """How far a pattern of light and shade has wandered over the ground, in turns."""

    def top(self, x: np.ndarray) -> np.ndarray:
        """Height of the far edge (y, negative is up) at the world's x."""
        y = np.full_like(x, -self.far_height)
        for amplitude, waves, phase in self.ridge:
            y = y + wave(x * waves + phase) * amplitude
        return y


def apply(m: Matrix, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points through a 3 x 3 map."""
    u = m[0][0] * x + (m[0][1] * y + m[0][2])
    v = m[1][0] * x + (m[1][1] * y + m[1][2])
    if m[2] == (0.0, 0.0, 1.0):
        return u, v
    over = 1 / (m[2][0] * x + (m[2][1] * y + m[2][2]))
    return u * over, v * over


def grid(size: tuple[int, int], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Columns (1, W) and rows (H, 1) of the pixel centres."""
    height, width = size
    return np.arange(width, dtype=dtype)[None, :], np.arange(height, dtype=dtype)[:, None]


def far_plane(world: Background, view: View, size: tuple[int, int]) -> Matrix:
    """From the far plane's (x, y) in metres to the picture."""
    return view.plane(size, (0.0, 0.0, world.far_depth), X_AXIS, Y_AXIS)


def ground_plane(view: View, size: tuple[int, int]) -> Matrix:
    """From the ground's (x, z) in metres to the picture."""
    return view.plane(size, (0.0, 0.0, 0.0), X_AXIS, Z_AXIS)


def paint(world: Background, view: View, time: float, size: tuple[int, int]) -> np.ndarray:
    """The background as (3, H, W) float32 RGB planes."""
    x, y = apply(invert(far_plane(world, view, size)), *grid(size, np.float32))
    picture = np.empty((3, *size), np.float32)
    scale = view.focal * size[0] / (world.far_depth - view.position[2])  # pixels a metre of the far plane
    far_rows = _last(np.minimum(y[:, 0], y[:, -1]) <= 1 / scale)
    ground_rows = size[0] - _last((np.maximum(y[:, 0], y[:, -1]) >= -1 / scale)[::-1])
    _paint_far(picture[:, :far_rows], world, view, x[:far_rows], y[:far_rows], scale)
    ground = _ground(world, view, time, x[ground_rows:], y[ground_rows:], size)
    both = max(far_rows - ground_rows, 0)
    share = np.clip(y[ground_rows:far_rows] * scale + 0.5, 0, 1)
    picture[:, ground_rows:far_rows] += (ground[:, :both] - picture[:, ground_rows:far_rows]) * share
    picture[:, far_rows:] = ground[:, both:]
    return picture


def _last(is_wanted: Any) -> int:
    """One past the last true entry; 0 where there is none."""
    return int(is_wanted.nonzero()[0].max(initial=-1)) + 1


def _paint_far(picture: np.ndarray, world: Background, view: View, x: np.ndarray, y: np.ndarray, scale: float) -> None:
    edge = world.top(x[:1])
    sky_rows = _last((y < edge + 1 / scale).any(axis=1))
    solid = _last((y < edge - 1 / scale).all(axis=1))
    tiles = texture(world.far)
    level = tiles.level_for(tiles.sides[0] / 2 / world.far_tile / scale)
    colours = tiles.sample(x[solid:] * (0.5 / world.far_tile), y[solid:] * (0.5 / world.far_tile), level)
    shade = np.clip(y[solid:] * -0.25 + 0.95, 0.6, 1.0) - np.clip(y[solid:] * 0.525 + 0.35, 0, 0.35)
    _lay(picture[:, solid:], colours, shade)
    if sky_rows:
        x, y = x[:sky_rows], y[:sky_rows]
        at_x, at_y = _at_sky(world, view, x, y)
        colours = texture(world.sky).sample(at_x * (1 / 620), at_y * (1 / 300), 1)
        sky = np.empty((3, *x.shape), np.float32)
        _lay(sky, colours, np.clip(at_y * 0.001 + 1.05, 0.8, 1.1))
        share = np.clip((y[solid:] - edge) * scale + 0.5, 0, 1)
        picture[:, :solid] = sky[:, :solid]
        picture[:, solid:sky_rows] = sky[:, solid:] + (picture[:, solid:sky_rows] - sky[:, solid:]) * share


def _ground(
    world: Background, view: View, time: float, x: np.ndarray, y: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The ground as (3, h, w) planes, each row from the level of the texture that suits its distance."""
    gx, gz = on_ground(world, view, x, np.maximum(y, -0.2))
    tiles = texture(world.ground)
    near = gz[:, gz.shape[1] // 2] - view.position[2]
    texels = tiles.sides[0] / 2 / world.ground_tile / (view.focal * size[0])
    grain = texels * near * np.maximum(near / (2 * -view.position[1]), 1.0)
    levels = [tiles.level_for(float(g)) for g in grain]
    colours = np.empty((*gx.shape, 4), np.uint8)
    start = 0
    for stop in range(1, len(levels) + 1):
        if stop == len(levels) or levels[stop] != levels[start]:
            rows = slice(start, stop)
            colours[rows] = tiles.sample(
                gx[rows] * (0.5 / world.ground_tile), gz[rows] * (0.5 / world.ground_tile), levels[start]
            )
            start = stop
    light = wave(gx * 0.09 + (gz * 0.05 + world.clouds(time))) * 0.13
    light -= np.clip(gz * 0.21 + (0.3 - world.far_depth * 0.21), 0, 0.3)
    light += 1
    picture = np.empty((3, *gx.shape), np.float32)
    _lay(picture, colours, light)
    return picture


def _lay(picture: np.ndarray, colours: np.ndarray, shade: np.ndarray) -> None:
    for channel in range(3):
        np.multiply(colours[..., channel], shade, out=picture[channel])


def on_ground(world: Background, view: View, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays through far-plane points below the horizon meet the ground: world x and z."""
    cx, cy, cz = view.position
    s = -cy / (y - cy)
    return (x - cx) * s + cx, s * (world.far_depth - cz) + cz


def _at_sky(world: Background, view: View, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays through far-plane points meet the sky: world x and y."""
    cx, cy, cz = view.position
    reach = (SKY_DEPTH - cz) / (world.far_depth - cz)
    return (x - cx) * reach + cx, (y - cy) * reach + cy


def move(world: Background, before: View, after: View, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where every background point seen before lies in the picture after; float64 columns and rows."""
    x, y = apply(invert(far_plane(world, before, size)), *grid(size, np.float64))
    columns, rows = apply(far_plane(world, after, size), x, y)
    ground, sky = y > 0, y < world.top(x)
    columns[ground], rows[ground] = apply(ground_plane(after, size), *on_ground(world, before, x[ground], y[ground]))
    dome = after.plane(size, (0.0, 0.0, SKY_DEPTH), X_AXIS, Y_AXIS)
    columns[sky], rows[sky] = apply(dome, *_at_sky(world, before, x[sky], y[sky]))
    return columns, rows
