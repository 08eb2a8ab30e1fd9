"""Motion of `mini` as functions of time: curves, the camera, and 3 x 3 maps, equal to the last bit on every machine.

Machines differ in the last bit of sine and cosine, so these are rounded; all else is plain IEEE arithmetic.
"""

from __future__ import annotations

import math

from harness.api.dataclass import dataclass

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
GRID = 2.0**30


def sine(turns: float) -> float:
    """Sine of an angle in turns, rounded to 2**-30."""
    return round(math.sin(2 * math.pi * (turns % 1.0)) * GRID) / GRID


def cosine(turns: float) -> float:
    """Cosine of an angle in turns, rounded to 2**-30."""
    return sine(turns + 0.25)


@dataclass(frozen=True)
class Curve:
    """A smooth function of time: knots joined without overshoot, plus ripples (amplitude, cycles, phase)."""

    knots: tuple[tuple[float, float], ...]
    ripples: tuple[tuple[float, float, float], ...] = ()

    def __call__(self, time: float) -> float:
        return self._between_knots(time) + sum(a * sine(cycles * time + phase) for a, cycles, phase in self.ripples)

    def _between_knots(self, time: float) -> float:
        knots = self.knots
        if time <= knots[0][0]:
            return knots[0][1]
        if time >= knots[-1][0]:
            return knots[-1][1]
        i = max(i for i, (start, _) in enumerate(knots) if start <= time)
        (t0, v0), (t1, v1) = knots[i], knots[i + 1]
        s, width = (time - t0) / (t1 - t0), t1 - t0
        rise = v1 - v0
        m0, m1 = self._slope(i) * width, self._slope(i + 1) * width
        return v0 + s * (m0 + s * (3 * rise - 2 * m0 - m1 + s * (m0 + m1 - 2 * rise)))

    def _slope(self, i: int) -> float:
        """Harmonic mean of the two neighbouring slopes, 0 at a turning point (Fritsch and Butland 1984)."""
        knots = self.knots
        slopes = [(knots[j + 1][1] - knots[j][1]) / (knots[j + 1][0] - knots[j][0]) for j in range(len(knots) - 1)]
        if i == 0 or i == len(knots) - 1:
            return slopes[min(i, len(slopes) - 1)]
        before, after = slopes[i - 1], slopes[i]
        return 2 * before * after / (before + after) if before * after > 0 else 0.0


def still(value: float) -> Curve:
    """A curve that stays at one value."""
    return Curve(((0.0, value),))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: x right, y down (the ground is y = 0), z forward, in metres; angles in turns.

    ``focal`` is the focal length over the height of the picture.
    """

    x: Curve
    y: Curve
    z: Curve
    yaw: Curve
    pitch: Curve
    roll: Curve
    focal: Curve

    def at(self, time: float) -> View:
        """The camera at one moment."""
        yaw, pitch, roll = self.yaw(time), self.pitch(time), self.roll(time)
        cw, sw, cp, sp, cr, sr = cosine(yaw), sine(yaw), cosine(pitch), sine(pitch), cosine(roll), sine(roll)
        aside: Matrix = ((cw, 0.0, -sw), (0.0, 1.0, 0.0), (sw, 0.0, cw))
        down: Matrix = ((1.0, 0.0, 0.0), (0.0, cp, -sp), (0.0, sp, cp))
        level: Matrix = ((cr, -sr, 0.0), (sr, cr, 0.0), (0.0, 0.0, 1.0))
        turned = product(level, product(down, aside))
        return View((self.x(time), self.y(time), self.z(time)), turned, self.focal(time))


@dataclass(frozen=True)
class View:
    """A camera at one moment: where it is, how it is turned (world to camera), and its focal length."""

    position: Vector
    rotation: Matrix
    focal: float

    def plane(self, size: tuple[int, int], origin: Vector, u: Vector, v: Vector) -> Matrix:
        """The map from (a, b, 1), meaning the world point origin + a u + b v, to the picture (column, row, depth)."""
        px, py, pz = self.position
        ox, oy, oz = origin
        f, cx, cy = self.focal * size[0], (size[1] - 1) / 2, (size[0] - 1) / 2
        lens: Matrix = ((f, 0.0, cx), (0.0, f, cy), (0.0, 0.0, 1.0))
        spanned: Matrix = ((u[0], v[0], ox - px), (u[1], v[1], oy - py), (u[2], v[2], oz - pz))
        return product(lens, product(self.rotation, spanned))


def invert(m: Matrix) -> Matrix:
    """The inverse of a 3 x 3 matrix."""
    (a, b, c), (d, e, f), (g, h, i) = m
    det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (
        ((e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det),
        ((f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det),
        ((d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det),
    )


def product(m: Matrix, n: Matrix) -> Matrix:
    """The map that applies ``n`` first, then ``m``."""
    (a, b, c), (d, e, f), (g, h, i) = n
    x, y, z = ((p * a + q * d + r * g, p * b + q * e + r * h, p * c + q * f + r * i) for p, q, r in m)
    return x, y, z


def turn_about(turns: float, x: float, y: float) -> Matrix:
    """Rotation of the plane by an angle about a point."""
    c, s = cosine(turns), sine(turns)
    return (c, -s, x - c * x + s * y), (s, c, y - s * x - c * y), (0.0, 0.0, 1.0)
