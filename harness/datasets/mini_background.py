"""The static world of `mini`: a ground, a wall or hedge at its far end, and a sky, seen by the moving camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.datasets.mini_motion import Camera, Curve, Matrix, Vector, invert
from harness.datasets.mini_objects import wave
from harness.datasets.mini_textures import Look, texture

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


def far_plane(world: Background, camera: Camera, time: float, size: tuple[int, int]) -> Matrix:
    """From the far plane's (x, y) in metres to the picture."""
    return camera.plane(time, size, (0.0, 0.0, world.far_depth), X_AXIS, Y_AXIS)


def paint(world: Background, camera: Camera, time: float, size: tuple[int, int]) -> np.ndarray:
    """The background as (3, H, W) float32 RGB planes."""
    x, y = apply(invert(far_plane(world, camera, time, size)), *grid(size, np.float32))
    picture = np.empty((3, *size), np.float32)
    scale = camera.focal(time) * size[0] / (world.far_depth - camera.z(time))
    below = np.maximum(y[:, 0], y[:, -1]) > 0
    above = np.minimum(y[:, 0], y[:, -1]) <= 0.5
    first_ground = int(np.argmax(below)) if below.any() else size[0]
    last_far = size[0] - int(np.argmax(above[::-1])) if above.any() else 0
    if last_far:
        picture[:, :last_far] = _paint_far(world, camera, time, x[:last_far], y[:last_far], scale)
    if first_ground < size[0]:
        ground = _paint_ground(world, camera, time, x[first_ground:], y[first_ground:], size)
        share = np.clip(y[first_ground:] * scale + 0.5, 0, 1)
        picture[:, first_ground:] = _over(picture[:, first_ground:], ground, share, opaque_from=last_far - first_ground)
    return picture


def _over(back: np.ndarray, front: np.ndarray, share: np.ndarray, *, opaque_from: int) -> np.ndarray:
    """``front`` over ``back``; rows from ``opaque_from`` on are all front."""
    rows = max(opaque_from, 0)
    front[:, :rows] = back[:, :rows] + (front[:, :rows] - back[:, :rows]) * share[:rows]
    return front


def _paint_far(
    world: Background, camera: Camera, time: float, x: np.ndarray, y: np.ndarray, scale: float
) -> np.ndarray:
    tiles = texture(world.far)
    level = tiles.level_for(tiles.sides[0] / 2 / world.far_tile / scale)
    colours = tiles.sample(x * (0.5 / world.far_tile), y * (0.5 / world.far_tile), level)
    shade = np.clip(0.95 - y * 0.25, 0.6, 1.0) - 0.35 * np.clip(1 + y * 1.5, 0, 1)
    planes = _planes(colours, shade)
    edge = world.top(x[:1])
    if (y < edge + 1).any():
        far = world.far_depth - camera.z(time)
        reach = (SKY_DEPTH - camera.z(time)) / far
        cx, cy, _ = camera.position(time)
        sky = texture(world.sky)
        at_x, at_y = (x - cx) * reach + cx, (y - cy) * reach + cy
        colours = sky.sample(at_x * (1 / 620), at_y * (1 / 300), sky.level_for(sky.sides[0] / 620 * reach / scale))
        planes = _over(_planes(colours, np.clip(1.05 + at_y * 0.001, 0.8, 1.1)), planes, np.clip((y - edge) * scale + 0.5, 0, 1), opaque_from=len(y))
    return planes


def _paint_ground(
    world: Background, camera: Camera, time: float, x: np.ndarray, y: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    gx, gz = on_ground(world, camera, time, x, np.maximum(y, -0.2))
    tiles = texture(world.ground)
    near = gz[:, gz.shape[1] // 2] - camera.z(time)
    texels = tiles.sides[0] / 2 / world.ground_tile / (camera.focal(time) * size[0])
    grain = texels * near * np.maximum(near / (2 * -camera.y(time)), 1.0)
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
    light = 1 + 0.13 * wave(gx * 0.09 + (gz * 0.05 + world.clouds(time)))
    light -= 0.3 * np.clip(1 - (world.far_depth - gz) * 0.7, 0, 1)
    return _planes(colours, light)


def _planes(colours: np.ndarray, shade: np.ndarray) -> np.ndarray:
    return np.stack([colours[..., c] * shade for c in range(3)])


def on_ground(
    world: Background, camera: Camera, time: float, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays through far-plane points below the horizon meet the ground: world x and z."""
    cx, cy, cz = camera.position(time)
    s = -cy / (y - cy)
    return (x - cx) * s + cx, s * (world.far_depth - cz) + cz


def move(
    world: Background, camera: Camera, times: tuple[float, float], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where every background point seen at the first time lies in the picture at the second; float64 columns, rows."""
    before, after = times
    x, y = apply(invert(far_plane(world, camera, before, size)), *grid(size, np.float64))
    columns, rows = apply(far_plane(world, camera, after, size), x, y)
    ground = y > 0
    gx, gz = on_ground(world, camera, before, x[ground], y[ground])
    columns[ground], rows[ground] = apply(
        camera.plane(after, size, (0.0, 0.0, 0.0), X_AXIS, Z_AXIS), gx, gz
    )
    sky = y < world.top(x)
    cx, cy, cz = camera.position(before)
    reach = (SKY_DEPTH - cz) / (world.far_depth - cz)
    columns[sky], rows[sky] = apply(
        camera.plane(after, size, (0.0, 0.0, SKY_DEPTH), X_AXIS, Y_AXIS),
        (x[sky] - cx) * reach + cx,
        (y[sky] - cy) * reach + cy,
    )
    return columns, rows
