"""Actors of `mini`: bodies that walk, float and turn in front of the camera, and where each of their points is seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.api.dataclass import dataclass
from harness.datasets.mini.background import apply, grid
from harness.datasets.mini.motion import Curve, Matrix, View, invert, product, still, turn_about
from harness.datasets.mini.objects import Body, Surface, rim, surface
from harness.datasets.mini.textures import Look

Box = tuple[slice, slice]
ZERO, ONE = still(0.0), still(1.0)


@dataclass(frozen=True)
class Actor:
    """A body in the scene; ``id`` 0 is scenery.

    ``x`` is in half widths of the view at the actor's depth, so -1 to 1 is in sight; it goes with the camera unless
    ``anchored``. ``size`` is metres a unit of the body, ``turns`` are the times at which it begins to face the other
    way, ``idle`` adds strides over the whole video, ``tilt`` is in turns, ``squeeze`` narrows it as if turned away.
    """

    id: int
    body: Body
    looks: tuple[Look, ...]
    size: float
    x: Curve
    z: Curve
    lift: Curve = ZERO
    tilt: Curve = ZERO
    squeeze: Curve = ONE
    faces_right: bool = True
    turns: tuple[float, ...] = ()
    idle: float = 0.0
    anchored: bool = False
    kind: str = ""
    """What it is, where it is an object: a key of ``mini_objects.KINDS``."""

    def facing(self, time: float) -> int:
        """1 to the right, -1 to the left."""
        flips = sum(time >= turn for turn in self.turns)
        return 1 if (flips % 2 == 0) == self.faces_right else -1

    def stand(self, view: View, time: float, size: tuple[int, int]) -> tuple[float, float, float]:
        """The world point of the body's foot; ``view`` is the camera the actor goes with."""
        z = self.z(time)
        half_view = size[1] / size[0] / 2 / view.focal * (z - view.position[2])
        return view.position[0] + self.x(time) * half_view, -self.lift(time), z


@dataclass(frozen=True)
class Placed:
    """An actor at one moment: the maps between its parts at rest and the picture."""

    actor: Actor
    size: tuple[int, int]
    to_picture: Matrix
    from_picture: Matrix
    poses: tuple[Matrix, ...]
    rests: tuple[Matrix, ...]
    """The inverses of the poses."""
    gait: float
    scale: float
    """Pixels a unit of the body."""
    foot: tuple[float, float, float]
    facing: int

    def find_in_picture(self, part: int, x: Any, y: Any) -> tuple[Any, Any]:
        """Where points of a part at rest are in the picture (column, row)."""
        x, y = self.actor.body.bend.forward(*apply(self.poses[part], x, y), self.gait)
        return apply(self.to_picture, x, y)

    def at_rest(self, part: int, column: Any, row: Any) -> tuple[Any, Any]:
        """Which point of a part at rest is seen at a picture point; the exact inverse of ``find_in_picture``."""
        x, y = self.actor.body.bend.inverse(*apply(self.from_picture, column, row), self.gait)
        return apply(self.rests[part], x, y)

    def rim(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Picture points (columns, rows) close together round a part, the bulge where limbs blend included."""
        body = self.actor.body
        return self.find_in_picture(part, *rim(body.parts[part].limbs, 0.01 + body.blend / 4))

    def box(self, part: int) -> Box | None:
        """The rows and columns in which the part can be seen; None out of sight."""
        return box_round(*self.rim(part), self.size)

    def outline(self, part: int, box: Box, dtype: type) -> tuple[np.ndarray, np.ndarray, Surface]:
        """The part's rest coordinates at the pixels of a box, and its surface there."""
        columns, rows = grid(self.size, dtype)
        x, y = self.at_rest(part, columns[:, box[1]], rows[box[0]])
        return x, y, surface(self.actor.body.parts[part].limbs, x, y, self.actor.body.blend)


def box_round(columns: np.ndarray, rows: np.ndarray, size: tuple[int, int]) -> Box | None:
    """The rows and columns round some picture points, two pixels more on every side; None outside the picture."""
    left, right = max(int(columns.min()) - 2, 0), min(int(columns.max()) + 4, size[1])
    top, bottom = max(int(rows.min()) - 2, 0), min(int(rows.max()) + 4, size[0])
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def place(actor: Actor, start: View, view: View, time: float, size: tuple[int, int]) -> Placed:
    """Put an actor where it is at one moment, seen by ``view``; ``start`` is the camera at time 0."""
    foot = actor.stand(start if actor.anchored else view, time, size)
    facing = actor.facing(time)
    plane = view.plane(size, foot, (actor.size * facing * actor.squeeze(time), 0.0, 0.0), (0.0, actor.size, 0.0))
    to_picture = product(plane, turn_about(actor.tilt(time), 0.0, -0.4))
    way = (foot[0] - actor.stand(start, 0.0, size)[0]) * facing
    gait = way / (actor.size * actor.body.stride) + actor.idle * time
    poses = actor.body.pose(gait)
    return Placed(
        actor=actor,
        size=size,
        to_picture=to_picture,
        from_picture=invert(to_picture),
        poses=poses,
        rests=tuple(invert(pose) for pose in poses),
        gait=gait,
        scale=actor.size * view.focal * size[0] / (foot[2] - view.position[2]),
        foot=foot,
        facing=facing,
    )
