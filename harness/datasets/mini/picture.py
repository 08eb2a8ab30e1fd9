"""How `mini` takes a picture of a scene: motion blur, shading, shadows, changing light, sensor noise."""

from __future__ import annotations

import numpy as np

from harness.datasets.mini.actors import Box, Placed, box_round
from harness.datasets.mini.background import apply, far_plane, grid, ground_plane, on_ground, paint
from harness.datasets.mini.motion import invert
from harness.datasets.mini.scene import Scene, soft_edge
from harness.datasets.mini.textures import texture

SHUTTER = 0.5
"""Share of the frame interval in which light is gathered (a 180 degree shutter)."""
BODY_TILES = 0.45
"""Tiles of texture a unit of a body; one photograph is half a tile."""


def picture(scene: Scene, frame: int) -> np.ndarray:
    """The frame as a camera takes it: (H, W, 3) uint8 RGB."""
    opened, closed = scene.place_all(frame - SHUTTER / 2), scene.place_all(frame + SHUTTER / 2)
    planes = _background(scene, frame)
    for placed in scene.place_all(frame):
        _cast_shadow(planes, scene, placed, frame)
    for i in scene.back_to_front(frame):
        _paint(planes, scene, i, frame, (opened[i], closed[i]))
    return _develop(planes, scene, frame)


def _background(scene: Scene, frame: int) -> np.ndarray:
    """The background averaged over the exposure: (3, H, W) float32."""
    height, width = scene.size
    x, y = np.array([0.0, width - 1, 0.0]), np.array([0.0, height - 1, height - 1])
    opened, closed = (far_plane(scene.background, scene.view(frame + s * SHUTTER / 2), scene.size) for s in (-1, 1))
    moments = _moments(np.stack([x, y]), np.stack(apply(closed, *apply(invert(opened), x, y))), most=3)
    return _mean([paint(scene.background, scene.view(frame + m), scene.time(frame + m), scene.size) for m in moments])


def _moments(opened: np.ndarray, closed: np.ndarray, most: int) -> list[float]:
    """Moments of the exposure, in frames, dense enough that no point jumps far between two of them."""
    way = float(np.abs(closed - opened).max())
    count = min(max(int(way / 2.5 + 0.5), 1), most)
    return [((i + 0.5) / count - 0.5) * SHUTTER for i in range(count)]


def _mean(pictures: list[np.ndarray]) -> np.ndarray:
    total = pictures[0]
    for other in pictures[1:]:
        total = total + other
    return total * np.float32(1 / len(pictures)) if len(pictures) > 1 else total


def _cast_shadow(planes: np.ndarray, scene: Scene, placed: Placed, frame: int) -> None:
    """Darken the ground in a soft ellipse below an actor, fainter the higher it floats."""
    view, (x0, lift, z0) = scene.view(frame), placed.foot
    wide = placed.actor.size * (placed.actor.body.half_width + 0.12)
    deep = 0.4 * wide
    if z0 - deep < view.position[2] + 0.5:
        return
    edges_x, edges_z = np.array([-wide, wide, wide, -wide]) + x0, np.array([-deep, -deep, deep, deep]) + z0
    columns, rows = apply(ground_plane(view, scene.size), edges_x, edges_z)
    box = box_round(columns, rows, scene.size)
    if box is None:
        return
    columns, rows = grid(scene.size, np.float32)
    far = invert(far_plane(scene.background, view, scene.size))
    x, y = apply(far, columns[:, box[1]], rows[box[0]])
    gx, gz = on_ground(scene.background, view, x, np.maximum(y, 0.01))
    dx, dz = (gx - x0) * (1 / wide), (gz - z0) * (1 / deep)
    inside = np.clip(1 - dx * dx - dz * dz, 0, 1) * (y > 0)
    planes[(slice(None), *box)] *= 1 - inside * (0.6 / (1 - lift))


def _paint(planes: np.ndarray, scene: Scene, index: int, frame: int, ends: tuple[Placed, Placed]) -> None:
    """Lay an actor over the picture, smeared by how it moves during the exposure."""
    opened, closed = (_points(placed) for placed in ends)
    columns, rows = np.concatenate([opened, closed], axis=1)
    box = box_round(columns, rows, scene.size)
    if box is None:
        return
    moments = _moments(opened, closed, most=5)
    sprite = _mean(
        [_sprite(scene, scene.place(scene.actors[index], scene.view(frame + m), frame + m), box) for m in moments]
    )
    area = planes[(slice(None), *box)]
    area *= 1 - sprite[3]
    area += sprite[:3]


def _points(placed: Placed) -> np.ndarray:
    """Picture points (2, n) round all parts of an actor."""
    return np.concatenate([np.stack(placed.rim(part)) for part in range(len(placed.poses))], axis=1)


def _sprite(scene: Scene, placed: Placed, box: Box) -> np.ndarray:
    """An actor at one moment inside a box: (4, h, w) float32, RGB times share, and share."""
    top, left = box[0].start, box[1].start
    sprite = np.zeros((4, box[0].stop - top, box[1].stop - left), np.float32)
    for part in range(len(placed.poses)):
        inner = placed.box(part)
        if inner is not None:
            rows, columns = (slice(max(i.start, b.start), min(i.stop, b.stop)) for i, b in zip(inner, box, strict=True))
            if rows.start < rows.stop and columns.start < columns.stop:
                area = sprite[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                _paint_part(area, scene, placed, part, (rows, columns))
    return sprite


def _paint_part(area: np.ndarray, scene: Scene, placed: Placed, part: int, box: Box) -> None:
    x, y, seen = placed.outline(part, box, np.float32)
    share = soft_edge(seen.distance, placed.scale)
    piece, actor = placed.actor.body.parts[part], placed.actor
    tiles = texture(actor.looks[min(piece.look, len(actor.looks) - 1)])
    level = tiles.level_for(tiles.sides[0] * BODY_TILES / placed.scale)
    colours = tiles.sample(x * BODY_TILES + 0.25, y * BODY_TILES, level)
    right, down, out = scene.sun
    depth = np.sqrt(np.maximum(1 - seen.normal_x * seen.normal_x - seen.normal_y * seen.normal_y, 0))
    lit = np.maximum(seen.normal_x * (right * placed.facing) + seen.normal_y * down + depth * out, 0)
    weight = share * ((lit * 0.75 + 0.4) * piece.shade)
    area *= 1 - share
    for channel in range(3):
        area[channel] += colours[..., channel] * weight
    area[3] += share


def _develop(planes: np.ndarray, scene: Scene, frame: int) -> np.ndarray:
    """Apply the light of the moment, the lens and the sensor: (H, W, 3) uint8."""
    height, width = scene.size
    time = scene.time(frame)
    columns, rows = grid(scene.size, np.float32)
    dx, dy = columns * (2 / width) - 1, rows * (2 / height) - 1
    lens = 1 - (dx * dx + dy * dy) * 0.09
    bits = np.random.Philox(key=scene.key + frame).random_raw(-(-3 * height * width // 4)).astype("<u8").view(np.uint8)
    bits = bits[: 6 * height * width].reshape(2, 3, height, width)
    grain = bits[0].astype(np.float32)
    grain += bits[1]
    grain -= 255
    developed = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        plane = planes[channel] * (lens * np.float32(scene.light[channel](time)))
        plane += grain[channel] * np.float32(scene.noise / 104.5)  # two bytes: deviation sqrt(2) * 73.9
        developed[..., channel] = np.clip(plane + 0.5, 0, 255)
    return developed
