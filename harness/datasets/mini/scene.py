"""One scene of `mini` at any moment: its exact id map and its exact flow, each from the time alone."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from harness.api.dataclass import dataclass
from harness.datasets.mini.actors import Actor, Placed, place
from harness.datasets.mini.background import Background, grid, move
from harness.datasets.mini.motion import Camera, Curve, View


@dataclass(frozen=True)
class Scene:
    """Everything there is; times run from 0 (first frame) to 1 (last frame).

    ``light`` is the gain of red, green and blue. ``sun`` is the unit vector to the light: right, down, to the camera.
    """

    camera: Camera
    background: Background
    actors: tuple[Actor, ...]
    light: tuple[Curve, Curve, Curve]
    sun: tuple[float, float, float]
    noise: float
    key: int
    length: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def time(self, frame: float) -> float:
        """The time of a frame; fractions lie between frames."""
        return frame / (self.length - 1)

    @cached_property
    def start(self) -> View:
        """The camera at the first frame."""
        return self.camera.at(0.0)

    def view(self, frame: float) -> View:
        """The camera at a frame."""
        return self.camera.at(self.time(frame))

    def place_all(self, frame: float) -> list[Placed]:
        """All actors where they are at a frame, in the order of ``actors``."""
        view = self.view(frame)
        return [self.place(actor, view, frame) for actor in self.actors]

    def place(self, actor: Actor, view: View, frame: float) -> Placed:
        """One actor where it is at a frame, seen by the camera at that frame."""
        return place(actor, self.start, view, self.time(frame), self.size)

    def back_to_front(self, frame: float) -> list[int]:
        """Indices of the actors, the farthest first."""
        depths = [-actor.z(self.time(frame)) for actor in self.actors]
        return sorted(range(len(depths)), key=depths.__getitem__)

    def ids(self, frame: int) -> np.ndarray:
        """The (H, W) uint8 id map: what lies under each pixel's centre in the middle of the exposure."""
        owners, pieces = self._trace(frame)
        return np.array([0, *(self.actors[i].id for i, _ in pieces)], np.uint8)[owners]

    def flow(self, frame: int) -> np.ndarray:
        """(H, W, 2) float32 (dx, dy): where the surface under each pixel's centre goes until the next frame."""
        owners, pieces = self._trace(frame)
        now, then = self.place_all(frame), self.place_all(frame + 1)
        to_x, to_y = move(self.background, self.view(frame), self.view(frame + 1), self.size)
        for number, (i, part) in enumerate(pieces, 1):
            rows, columns = np.nonzero(owners == number)
            rest = now[i].at_rest(part, columns.astype(np.float64), rows.astype(np.float64))
            to_x[rows, columns], to_y[rows, columns] = then[i].find_in_picture(part, *rest)
        columns, rows = grid(self.size, np.float64)
        return np.stack([to_x - columns, to_y - rows], axis=-1).astype(np.float32)

    def _pieces(self, frame: float) -> list[tuple[int, int]]:
        """Every part of every actor (their indices), from back to front."""
        return [(i, part) for i in self.back_to_front(frame) for part in range(len(self.actors[i].body.parts))]

    def _trace(self, frame: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Which piece (1, 2, ...; 0: the background) is in front at each pixel, and the pieces."""
        owners, pieces, placed = np.zeros(self.size, np.int16), self._pieces(frame), self.place_all(frame)
        for number, (i, part) in enumerate(pieces, 1):
            if box := placed[i].box(part):
                owners[box][placed[i].outline(part, box, np.float64)[2].distance < 0] = number
        return owners, pieces


def soft_edge(distance: np.ndarray, scale: float) -> np.ndarray:
    """The share of a pixel inside an outline, from the signed distance of its centre; exactly 0.5 on the outline."""
    return np.clip(0.5 - distance * scale, 0, 1)
