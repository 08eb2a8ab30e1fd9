"""Bodies of `mini`: articulated silhouettes of round limbs that bend, and the exact map of each part in time.

A body is drawn in its own plane: x forward, y down, the ground at y = 0, about one unit tall. A point of a part goes
from rest through its joints (rigid), then through the bend of the whole body (two shears, so it has an exact
inverse), then through the camera.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from harness.api.dataclass import dataclass
from harness.datasets.mini.motion import Matrix, cosine, product, sine, turn_about

Limb = tuple[float, float, float, float, float, float]
"""A tapered capsule: x, y, radius of one end, then of the other."""


@dataclass(frozen=True)
class Part:
    """A rigid piece of a body; it turns about ``joint`` by base + swing * sin(rate * gait + phase) turns.

    ``parent`` is the index of the part it hangs on. With ``rolls`` it turns by rate * gait: a wheel.
    """

    limbs: tuple[Limb, ...]
    joint: tuple[float, float] = (0.0, 0.0)
    parent: int | None = None
    swing: float = 0.0
    base: float = 0.0
    phase: float = 0.0
    rate: float = 1.0
    rolls: bool = False
    shade: float = 1.0
    look: int = 0

    def turn(self, gait: float) -> Matrix:
        """Where the gait (in strides) has turned this part to, without its parent."""
        if self.rolls:
            return turn_about(self.rate * gait, *self.joint)
        return turn_about(self.base + self.swing * sine(self.rate * gait + self.phase), *self.joint)


@dataclass(frozen=True)
class Bend:
    """Two waves through the whole body: ``up`` lifts columns, ``along`` pushes rows; (amplitude, waves a unit, rate).

    The rows at the ground stay where they are when ``rooted``.
    """

    up: tuple[float, float, float] = (0.0, 1.0, 1.0)
    along: tuple[float, float, float] = (0.0, 1.0, 1.0)
    rooted: bool = True

    def forward(self, x: np.ndarray, y: np.ndarray, gait: float) -> tuple[np.ndarray, np.ndarray]:
        """Rest to bent."""
        y = y + self._lift(x, gait)
        return x + self._push(y, gait), y

    def inverse(self, x: np.ndarray, y: np.ndarray, gait: float) -> tuple[np.ndarray, np.ndarray]:
        """Bent to rest."""
        x = x - self._push(y, gait)
        return x, y - self._lift(x, gait)

    def _lift(self, x: np.ndarray, gait: float) -> np.ndarray | float:
        amplitude, waves, rate = self.up
        return wave(x * waves - (rate * gait) % 1.0) * amplitude if amplitude else 0.0

    def _push(self, y: np.ndarray, gait: float) -> np.ndarray | float:
        amplitude, waves, rate = self.along
        if not amplitude:
            return 0.0
        push = wave(y * waves - (rate * gait) % 1.0) * amplitude
        return push * y if self.rooted else push


def wave(turns: np.ndarray) -> np.ndarray:
    """Parabolas that look like a sine of an angle in turns; smooth, and the same bits on every machine."""
    s = (turns - np.floor(turns)) * 2 - 1
    return -4 * s * (1 - np.abs(s))


@dataclass(frozen=True)
class Body:
    """Parts from back to front, the bend of the whole, and how far it moves in one stride."""

    parts: tuple[Part, ...]
    bend: Bend = Bend()
    stride: float = 1.0
    blend: float = 0.05

    def pose(self, gait: float) -> tuple[Matrix, ...]:
        """The rigid map of every part from rest, parents included."""
        poses: list[Matrix] = []
        for part in self.parts:
            turn = part.turn(gait)
            poses.append(turn if part.parent is None else product(poses[part.parent], turn))
        return tuple(poses)

    @property
    def half_width(self) -> float:
        """Half the width at rest."""
        points = [rim(part.limbs, 0.0)[0] for part in self.parts]
        return float(max(x.max() for x in points) - min(x.min() for x in points)) / 2


@dataclass(frozen=True)
class Surface:
    """A part seen at some points: signed distance to its outline (negative inside), and the normal of a round limb."""

    distance: np.ndarray
    normal_x: np.ndarray
    normal_y: np.ndarray


def surface(limbs: Sequence[Limb], x: np.ndarray, y: np.ndarray, blend: float) -> Surface:
    """The smooth union of limbs at rest points (polynomial smooth minimum, Quilez 2013)."""
    seen = _limb(limbs[0], x, y)
    for limb in limbs[1:]:
        other = _limb(limb, x, y)
        h = np.clip(0.5 + (other.distance - seen.distance) * (0.5 / blend), 0, 1)
        g = 1 - h
        seen = Surface(
            other.distance * g + seen.distance * h - h * g * blend,
            other.normal_x * g + seen.normal_x * h,
            other.normal_y * g + seen.normal_y * h,
        )
    return seen


def _limb(limb: Limb, x: np.ndarray, y: np.ndarray) -> Surface:
    x0, y0, r0, x1, y1, r1 = limb
    ex, ey = x1 - x0, y1 - y0
    square = ex * ex + ey * ey
    px, py = x - x0, y - y0
    if square > 0:
        h = np.clip((px * ex + py * ey) * (1 / square), 0, 1)
        px, py = px - h * ex, py - h * ey
        radius = h * (r1 - r0) + r0
    else:
        radius = np.full_like(px, r0)
    length = np.sqrt(px * px + py * py)
    over = 1 / np.maximum(length, radius)
    return Surface(length - radius, px * over, py * over)


@lru_cache(maxsize=4096)
def rim(limbs: tuple[Limb, ...], swell: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (x, y) at rest, close together, round the limbs and at most ``swell`` outside them."""
    points = [
        (x0 + s * (x1 - x0) + radius * cosine(i / 10), y0 + s * (y1 - y0) + radius * sine(i / 10))
        for x0, y0, r0, x1, y1, r1 in limbs
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
        for i in range(10)
        for radius in (r0 + s * (r1 - r0) + swell,)
    ]
    return np.array([x for x, _ in points]), np.array([y for _, y in points])


def quadruped(rng: Random) -> Body:
    """A walking animal: trunk, neck and head, tail, four legs with knees."""
    leg, trunk = rng.uniform(0.34, 0.5), rng.uniform(0.30, 0.42)
    girth, neck = rng.uniform(0.15, 0.2), rng.uniform(0.16, 0.34)
    ear, tail = rng.uniform(0.05, 0.16), rng.uniform(0.2, 0.42)
    back = -leg - girth * 0.8
    hx, hy = trunk + 0.16, back - neck
    head = Part(
        (
            (trunk - 0.04, back - 0.02, 0.12, hx, hy, 0.085),
            (hx + 0.01, hy, 0.115, hx + 0.2, hy + 0.07, 0.06),
            (hx - 0.05, hy - 0.08, 0.04, hx - 0.08, hy - 0.09 - ear, 0.02),
        ),
        joint=(trunk, back),
        swing=0.018,
        rate=2,
    )
    rear = Part(
        (
            (-trunk - girth * 0.7, back, 0.05, -trunk - girth - tail * 0.5, back + 0.06, 0.035),
            (-trunk - girth - tail * 0.5, back + 0.06, 0.035, -trunk - girth - tail, back - tail * 0.4, 0.02),
        ),
        joint=(-trunk - girth * 0.7, back),
        swing=0.05,
        phase=0.3,
    )
    torso = Part(((-trunk, back, girth, 0.0, back + 0.02, girth * 0.92), (0.0, back, girth, trunk, back, girth * 1.1)))
    far = _legs(((-trunk + 0.07, 0.5), (trunk - 0.02, 0.25)), leg, 0, 0.72)
    near = _legs(((-trunk - 0.02, 0.0), (trunk + 0.05, 0.75)), leg, len(far) + 3, 1.0)
    return Body((*far, rear, head, torso, *near), Bend(up=(0.02, 0.8, 2)), stride=leg * 2.2)


def _legs(hips: Sequence[tuple[float, float]], leg: float, first: int, shade: float) -> tuple[Part, ...]:
    """A thigh and a shin below each hip (x, phase); ``first`` is the index the first thigh will have."""
    parts: list[Part] = []
    for x, phase in hips:
        thigh = first + len(parts)
        knee = -leg * 0.5
        parts.append(
            Part(((x, -leg - 0.02, 0.1, x + 0.01, knee, 0.062),), (x, -leg - 0.04), None, 0.07, 0.0, phase, shade=shade)
        )
        parts.append(
            Part(
                ((x + 0.01, knee, 0.06, x, -0.04, 0.045), (x, -0.035, 0.04, x + 0.06, -0.03, 0.032)),
                (x + 0.01, knee),
                thigh,
                0.06,
                0.045,
                phase + 0.22,
                shade=shade,
            )
        )
    return tuple(parts)


def biped(rng: Random) -> Body:
    """A walking figure: head, trunk, two arms and two legs with elbows and knees."""
    leg, broad = rng.uniform(0.42, 0.5), rng.uniform(0.1, 0.15)
    shoulder, head = -leg - 0.34, rng.uniform(0.085, 0.11)
    trunk = Part(((0.0, -leg - 0.03, broad * 0.92, 0.0, shoulder + 0.02, broad * 1.08),))
    face = Part(
        (
            (0.0, shoulder - 0.04, 0.05, 0.01, shoulder - head - 0.04, head),
            (0.02, shoulder - head - 0.06, head, 0.05, shoulder - head, head * 0.7),
        ),
        joint=(0.0, shoulder),
        swing=0.012,
        rate=2,
        look=1,
    )
    far_leg, near_leg = _legs(((-0.01, 0.5),), leg, 0, 0.7), _legs(((0.01, 0.0),), leg, 6, 1.0)
    far_arm, near_arm = _arm(shoulder, 0.0, 2, 0.72), _arm(shoulder, 0.5, 8, 1.06)
    return Body((*far_leg, *far_arm, trunk, face, *near_leg, *near_arm), stride=leg * 1.7, blend=0.04)


def _arm(shoulder: float, phase: float, first: int, shade: float) -> tuple[Part, Part]:
    elbow = shoulder + 0.22
    upper = Part(((0.0, shoulder + 0.03, 0.06, 0.0, elbow, 0.045),), (0.0, shoulder), None, 0.08, 0, phase, shade=shade)
    lower = Part(
        ((0.0, elbow, 0.045, 0.02, elbow + 0.19, 0.035), (0.02, elbow + 0.2, 0.042, 0.025, elbow + 0.23, 0.04)),
        (0.0, elbow),
        first,
        0.04,
        -0.06,
        phase,
        shade=shade,
        look=1,
    )
    return upper, lower


def fish(rng: Random) -> Body:
    """A swimmer: a body through which a wave runs, tail and fins."""
    girth = rng.uniform(0.15, 0.21)
    tail = Part(
        ((-0.5, -0.4, 0.05, -0.72, -0.62, 0.05), (-0.5, -0.4, 0.05, -0.74, -0.2, 0.045)),
        joint=(-0.45, -0.4),
        swing=0.03,
        rate=2,
    )
    top = Part(
        ((0.0, -0.4 - girth * 0.6, 0.1, -0.24, -0.45 - girth, 0.035),), joint=(-0.1, -0.4), swing=0.01, shade=0.9
    )
    trunk = Part(
        (
            (-0.5, -0.4, 0.05, -0.05, -0.4, girth),
            (-0.05, -0.4, girth, 0.22, -0.4, girth * 0.9),
            (0.2, -0.4, girth * 0.8, 0.42, -0.39, 0.07),
        )
    )
    fin = Part(((0.08, -0.34, 0.045, -0.12, -0.24, 0.025),), joint=(0.08, -0.34), swing=0.09, rate=1.5, shade=1.12)
    return Body((tail, top, trunk, fin), Bend(up=(0.085, 0.85, -1.0), rooted=False), stride=4.0)


def bird(rng: Random) -> Body:
    """A flier: two beating wings, head, beak and tail."""
    span, girth = rng.uniform(0.42, 0.56), rng.uniform(0.11, 0.14)
    wing = (
        (0.02, -0.44, 0.09, -0.1, -0.44 - span * 0.6, 0.075),
        (-0.1, -0.44 - span * 0.6, 0.075, -0.26, -0.44 - span, 0.03),
    )
    far = Part(wing, joint=(0.02, -0.44), swing=0.11, base=0.05, shade=0.66)
    trunk = Part(
        (
            (-0.3, -0.36, 0.07, 0.12, -0.42, girth),
            (0.12, -0.42, girth, 0.3, -0.48, 0.085),
            (0.34, -0.48, 0.035, 0.44, -0.46, 0.015),
            (-0.32, -0.36, 0.06, -0.52, -0.34, 0.05),
        )
    )
    near = Part(wing, joint=(0.02, -0.44), swing=0.15, base=-0.02, shade=1.08, look=1)
    return Body((far, trunk, near), Bend(up=(0.03, 0.5, 1), rooted=False), stride=5.0)


def cart(rng: Random) -> Body:
    """A vehicle: a rigid body on two wheels that roll without slipping."""
    length, wheel = rng.uniform(0.5, 0.64), rng.uniform(0.125, 0.16)
    floor = -wheel * 1.5
    hull = Part(
        (
            (-length, floor - 0.05, 0.1, length, floor - 0.05, 0.09),
            (-length * 0.85, floor - 0.18, 0.1, length * 0.5, floor - 0.18, 0.1),
            (-length * 0.45, floor - 0.36, 0.07, length * 0.1, floor - 0.36, 0.07),
        )
    )
    spot = length * 0.62
    rate = 1 / (2 * math.pi * wheel)
    wheels = tuple(
        Part(((x, -wheel, wheel, x, -wheel, wheel),), (x, -wheel), rolls=True, rate=rate, look=1, shade=0.8)
        for x in (-spot, spot)
    )
    return Body((hull, *wheels), Bend(up=(0.008, 0.4, 3)), stride=1.0, blend=0.07)


def jelly(rng: Random) -> Body:
    """A soft thing that sways and swells: one smooth lump whose whole inside is carried along."""
    a, b, c = (rng.uniform(0.2, 0.3) for _ in range(3))
    lump = Part(
        (
            (-0.16, -0.36, a, 0.1, -0.4, b),
            (0.12, -0.42, b * 0.8, 0.05, -0.8, c * 0.7),
            (-0.12, -0.5, a * 0.7, -0.3, -0.74, 0.1),
        )
    )
    skirt = tuple(
        Part(((x, -0.3, 0.09, x + 0.02, -0.06, 0.045),), (x, -0.3), swing=0.07, phase=i * 0.22, rate=1.5, shade=0.86)
        for i, x in enumerate((-0.26, -0.04, 0.18))
    )
    return Body((*skirt, lump), Bend(up=(0.09, 1.1, 1), along=(0.16, 0.9, -1), rooted=False), stride=5.0, blend=0.16)


def pole(rng: Random) -> Body:
    """A standing obstacle: a trunk that leans a little."""
    lean = rng.uniform(-0.05, 0.05)
    return Body((Part(((0.0, 0.1, 0.115, lean, -1.6, 0.085), (lean * 0.5, -0.8, 0.1, lean * 2, -1.7, 0.07))),))


def bush(rng: Random) -> Body:
    """A low round heap of leaves that moves in the wind."""
    crown = [(-0.42 + 0.12 * i, rng.uniform(-0.1, 0.0), rng.uniform(0.07, 0.12)) for i in range(8)]
    limbs = tuple((x, y - 0.36 + 0.9 * x * x, r, x * 0.7, -0.12, 0.14) for x, y, r in crown)
    return Body((Part(limbs),), Bend(along=(0.05, 0.8, 1)), blend=0.04)


def with_bend(body: Body, *, up: float = 1.0, along: float = 1.0) -> Body:
    """The same body, bending more or less."""
    bend = body.bend
    return replace(
        body,
        bend=replace(bend, up=(bend.up[0] * up, *bend.up[1:]), along=(bend.along[0] * along, *bend.along[1:])),
    )


KINDS = {"quadruped": quadruped, "biped": biped, "fish": fish, "bird": bird, "cart": cart, "jelly": jelly}
