"""What happens in the videos of `mini`: the camera's way, the place, who is in it and where they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from harness.datasets.mini.actors import ZERO, Actor
from harness.datasets.mini.background import Background
from harness.datasets.mini.motion import Camera, Curve, still
from harness.datasets.mini.objects import KINDS, bush, pole, with_bend
from harness.datasets.mini.scene import Scene
from harness.datasets.mini.textures import Look

Thing = TypeVar("Thing")
Floor = tuple[Look, float]
"""A look of the ground and the metres one photograph spans."""
End = tuple[Look, float, float, tuple[tuple[float, float, float], ...]]
"""A look of what closes the view, the metres one photograph spans, its height, and the waves of its top edge."""

COATS = (
    Look("chelsea.png", 0.5, 0.0, 0.38),
    Look("chelsea.png", 0.9, 0.3, 0.6, (0.75, 0.78, 0.85), 0.5, 1.15),
    Look("astronaut.png", 0.35, 1.0, 0.5),
    Look("astronaut.png", 0.0, 0.0, 0.45, (1.0, 0.9, 0.8)),
    Look("coffee.png", 0.55, 0.55, 0.7),
    Look("coffee.png", 0.0, 0.9, 0.4, (1.15, 1.1, 0.9)),
    Look("ihc.png", 0.3, 0.2, 0.6),
    Look("ihc.png", 0.9, 0.8, 0.5, (0.8, 0.95, 1.1)),
    Look("camera.png", 0.2, 0.55, 0.5, (1.1, 0.95, 0.7), 1.0, 0.9),
    Look("grass.png", 0.5, 0.8, 0.3, (1.15, 0.72, 0.56), contrast=0.7),
    Look("brick.png", 0.2, 0.2, 0.4, (1.2, 0.75, 0.55), 1.0, 1.2),
    Look("gravel.png", 0.4, 0.1, 0.35, (0.8, 0.9, 1.25), 1.0, 1.1),
)
SECOND_COATS = tuple(COATS[i] for i in (0, 1, 3, 4, 5, 8))
"""For heads, hands, wheels and wings."""
GROUNDS: tuple[Floor, ...] = (
    (Look("grass.png", colour=(0.78, 0.92, 0.42), side=512), 2.2),
    (Look("gravel.png", colour=(0.98, 0.9, 0.78), side=512), 2.6),
    (Look("grass.png", colour=(1.05, 0.98, 0.6), contrast=0.8, side=512), 2.6),
    (Look("gravel.png", colour=(0.72, 0.74, 0.78), contrast=0.6, side=512), 3.2),
)
FARS: tuple[End, ...] = (
    (
        Look("grass.png", colour=(0.42, 0.62, 0.36), side=512),
        4.0,
        3.4,
        ((0.5, 0.13, 0.2), (0.22, 0.47, 0.5), (0.1, 1.3, 0.1)),
    ),
    (Look("brick.png", 0.05, 0.05, 0.55, (1.25, 0.86, 0.7), side=512, turned=True), 2.6, 3.8, ()),
    (Look("gravel.png", colour=(0.62, 0.6, 0.66), side=512), 6.0, 3.0, ((0.7, 0.08, 0.6), (0.25, 0.31, 0.0))),
    (Look("brick.png", 0.4, 0.3, 0.5, (1.0, 0.98, 0.9), contrast=0.8, side=512, turned=True), 3.0, 3.0, ()),
    (Look("ihc.png", contrast=0.6, side=512), 4.5, 3.6, ()),
    (Look("coffee.png", 0.3, 0.5, colour=(0.8, 0.8, 0.8), side=512), 5.0, 4.0, ()),
    (Look("camera.png", 0.5, 0.2, 0.9, (0.9, 0.95, 1.0), side=512), 5.0, 3.4, ()),
    (Look("astronaut.png", colour=(0.85, 0.85, 0.85), contrast=0.8, side=512), 5.0, 4.0, ()),
)
SKY = Look("gravel.png", 0.2, 0.3, 0.8, (1.25, 1.45, 1.68), contrast=0.4, soft=10)


PLACES = {
    "cross": (GROUNDS[2], FARS[0]),
    "return": (GROUNDS[0], FARS[1]),
    "crowd": (GROUNDS[3], FARS[3]),
    "deform": (GROUNDS[1], FARS[2]),
}
"""Ground and far end of the benchmark's own stories; any other story draws them."""


def tell(story: str, seed: str, length: int, size: tuple[int, int]) -> Scene:
    """Build the scene of a story; the same arguments give the same scene."""
    rng = Random(f"{story}/{seed}")
    camera = _camera(rng, **CAMERAS[story])
    actors = STORIES[story](rng)
    warm = rng.uniform(-0.03, 0.03)
    drift = rng.uniform(0.05, 0.12)
    gain = ((0.0, 1.0 - drift), (0.45, 1.0 + drift), (1.0, 1.0 - drift * 0.3))
    side = rng.uniform(-0.6, 0.6)
    return Scene(
        camera=camera,
        background=_background(rng, *PLACES.get(story, (pick(rng, GROUNDS), pick(rng, FARS)))),
        actors=actors,
        light=tuple(
            Curve(tuple((t, g + s * warm) for t, g in gain), ((0.01, 7.0, rng.random()),)) for s in (1.0, 0.0, -1.0)
        ),  # type: ignore[arg-type]
        sun=(side * 0.8, -0.6, (1 - 0.36 - side * side * 0.64) ** 0.5),
        noise=rng.uniform(1.6, 2.6),
        key=rng.getrandbits(62),
        length=length,
        height=size[0],
        width=size[1],
    )


def _camera(rng: Random, *, pan: float, push: float, shake: float) -> Camera:
    """A camera that goes ``pan`` metres aside and ``push`` metres ahead, unsteady by about ``shake`` of the height."""
    way = pan if rng.random() < 0.5 else -pan

    def unsteady(scale: float) -> tuple[tuple[float, float, float], ...]:
        return tuple(
            (scale * a, cycles * rng.uniform(0.8, 1.2), rng.random())
            for a, cycles in ((1.0, 2.0), (0.5, 5.0), (0.3, 9.0))
        )

    turn = shake / 7  # a picture height is about a seventh of a turn
    return Camera(
        x=Curve(((0.0, -way / 2), (0.5, way * rng.uniform(-0.1, 0.1)), (1.0, way / 2)), unsteady(0.03)),
        y=Curve(((0.0, -1.5), (1.0, -1.5 + rng.uniform(-0.15, 0.15))), unsteady(0.012)),
        z=Curve(((0.0, 0.0), (0.5, push * rng.uniform(0.3, 0.7)), (1.0, push))),
        yaw=Curve(((0.0, rng.uniform(-0.006, 0.006)), (1.0, rng.uniform(-0.006, 0.006))), unsteady(turn)),
        pitch=Curve(((0.0, 0.018), (1.0, 0.018 + rng.uniform(-0.003, 0.003))), unsteady(turn)),
        roll=Curve(((0.0, rng.uniform(-0.003, 0.003)), (1.0, rng.uniform(-0.003, 0.003))), unsteady(turn * 0.4)),
        focal=Curve(((0.0, 1.1), (0.5, 1.1 * rng.uniform(0.94, 1.06)), (1.0, 1.1 * rng.uniform(0.95, 1.12)))),
    )


def _background(rng: Random, floor: Floor, end: End) -> Background:
    ground, ground_tile = floor
    far, far_tile, height, ridge = end
    return Background(
        ground=_tint(rng, ground),
        ground_tile=ground_tile,
        far=_tint(rng, far),
        far_tile=far_tile,
        far_depth=rng.uniform(11.0, 15.0),
        far_height=height * rng.uniform(0.9, 1.2),
        ridge=ridge,
        sky=SKY,
        clouds=Curve(((0.0, rng.random()), (1.0, rng.random() + 0.5))),
    )


def pick(rng: Random, things: Sequence[Thing]) -> Thing:
    """One of some things; written out because `Random.choice` may change between versions of Python."""
    return things[int(rng.random() * len(things))]


def _tint(rng: Random, look: Look, amount: float = 0.08) -> Look:
    r, g, b = (c * rng.uniform(1 - amount, 1 + amount) for c in look.colour)
    return replace(look, colour=(r, g, b))


SIZES = {"quadruped": 1.55, "biped": 2.1, "fish": 1.6, "bird": 1.9, "cart": 1.7, "jelly": 1.9}
FLOATERS = ("fish", "bird", "jelly")


def _actor(
    rng: Random,
    id: int,
    kind: str,
    coat: Look,
    x: Curve,
    depth: float,
    *,
    turns: tuple[float, ...] = (),
    grown: float = 1.0,
) -> Actor:
    """An actor of a kind on its way; floaters get a height, a tilt and a beat of their own."""
    floats = kind in FLOATERS
    size = SIZES[kind] * grown * rng.uniform(0.93, 1.07)
    height = rng.uniform(0.35, 0.7) if floats else 0.0
    return Actor(
        id=id,
        body=KINDS[kind](rng),
        looks=(_tint(rng, coat), _tint(rng, pick(rng, SECOND_COATS), 0.15)),
        size=size,
        x=x,
        z=Curve(((0.0, depth), (0.5, depth + rng.uniform(-0.4, 0.4)), (1.0, depth + rng.uniform(-0.9, 0.9)))),
        lift=Curve(((0.0, height),), ((0.16, rng.uniform(1.0, 2.0), rng.random()),)) if floats else ZERO,
        tilt=Curve(((0.0, 0.0),), ((0.03, rng.uniform(1.0, 2.0), rng.random()),)) if floats else ZERO,
        squeeze=Curve(((0.0, 1.0), (0.5, rng.uniform(0.8, 1.0)), (1.0, rng.uniform(0.88, 1.0)))),
        faces_right=x(0.1) >= x(0.0),
        turns=turns,
        idle=rng.uniform(1.4, 2.2) if floats else 0.0,
        kind=kind,
    )


def _scenery(rng: Random, kind: str, x: float, depth: float, size: float) -> Actor:
    """Something that stands where it is: a trunk or a bush."""
    trunk = Look("coffee.png", 0.02, 1.0, 0.28, (0.72, 0.66, 0.62), 0.8)
    leaves = Look("grass.png", 0.3, 0.2, 0.5, (0.6, 0.82, 0.42), contrast=1.2)
    body, look = (pole(rng), trunk) if kind == "pole" else (bush(rng), leaves)
    return Actor(
        id=0,
        body=body,
        looks=(_tint(rng, look, 0.15),),
        size=size,
        x=still(x),
        z=still(depth),
        idle=2.0,
        anchored=True,
    )


def _way(rng: Random, start: float, end: float) -> Curve:
    """From one place to another at a speed that varies."""
    halfway = start + (end - start) * rng.uniform(0.38, 0.62)
    return Curve(((0.0, start), (0.5, halfway), (1.0, end)))


def _out_and_back(start: float, side: int, end: float, *, when: float = 0.5) -> Curve:
    """Out of sight on one side and back; it is farthest, and turns round, at ``when``."""
    return Curve(
        (
            (0.0, start),
            (when - 0.16, 0.95 * side),
            (when - 0.06, 1.3 * side),
            (when, 1.36 * side),
            (when + 0.06, 1.3 * side),
            (when + 0.16, 0.95 * side),
            (1.0, end),
        )
    )


def cross(rng: Random) -> tuple[Actor, ...]:
    """Two look-alikes walk towards each other and cross, and both pass behind a trunk."""
    coat = COATS[0]
    return (
        _actor(rng, 1, "quadruped", coat, _way(rng, -0.62, 0.72), 4.9),
        _actor(rng, 2, "quadruped", coat, _way(rng, 0.7, -0.66), 6.3, grown=1.1),
        _scenery(rng, "pole", 0.2, 3.3, 2.4),
        _scenery(rng, "bush", -0.75, 8.5, 2.4),
    )


def comeback(rng: Random) -> tuple[Actor, ...]:
    """A walker leaves and comes back, a flier leaves on the other side and comes back, a cart rolls behind a bush."""
    return (
        _actor(rng, 1, "biped", COATS[2], _out_and_back(0.3, 1, 0.25), 5.0, turns=(0.5,)),
        _actor(rng, 2, "bird", COATS[6], _out_and_back(-0.25, -1, -0.3, when=0.62), 6.6, turns=(0.62,), grown=1.1),
        _actor(rng, 3, "cart", COATS[4], _way(rng, -0.78, 0.45), 6.2, grown=0.9),
        _scenery(rng, "bush", -0.3, 4.3, 1.9),
    )


def crowd(rng: Random) -> tuple[Actor, ...]:
    """Four walkers in two coats mill past each other behind posts, filmed by an unsteady hand."""
    starts = ((-0.72, 0.5, 5.0), (-0.26, 0.75, 6.4), (0.24, -0.7, 5.6), (0.7, -0.35, 7.0))
    walkers = tuple(
        _actor(rng, i, "biped", COATS[(3, 9)[i % 2]], _way(rng, start, end), depth)
        for i, (start, end, depth) in enumerate(starts, 1)
    )
    posts = tuple(_scenery(rng, "pole", x, 3.6, 1.5) for x in (-0.5, 0.48))
    return (*walkers, *posts, _scenery(rng, "bush", 0.9, 8.0, 2.5))


def deform(rng: Random) -> tuple[Actor, ...]:
    """A soft swaying body, a swimmer and a fast flier change their outlines all the time; the camera comes nearer."""
    soft = _actor(rng, 1, "jelly", COATS[5], _way(rng, -0.3, 0.2), 5.2, grown=1.1)
    soft = replace(soft, body=with_bend(soft.body, up=1.25, along=1.3))
    swimmer = _actor(rng, 2, "fish", COATS[1], _way(rng, 0.7, -0.45), 6.2, grown=1.15)
    flier = _actor(rng, 3, "bird", COATS[7], Curve(((0.0, -0.7), (0.6, 0.6), (1.0, 0.75))), 6.6)
    return (soft, swimmer, flier, _scenery(rng, "bush", 0.6, 9.0, 2.6))


def free(rng: Random) -> tuple[Actor, ...]:
    """Anything: two to four actors of any kind, some alike, on ways that cross, leave and return, and scenery."""
    count = 2 + int(rng.random() * 3)
    alike, coat, kind = rng.random() < 0.45, pick(rng, COATS), pick(rng, tuple(KINDS))
    slots = [(-0.66 + 1.32 * i / (count - 1)) for i in range(count)]
    actors = []
    for i, start in enumerate(slots, 1):
        turns: tuple[float, ...] = ()
        mine = coat if alike else pick(rng, COATS)
        form = kind if alike else pick(rng, tuple(KINDS))
        depth = 4.8 + rng.random() * 2.4
        if rng.random() < 0.25:
            side = 1 if start > 0 else -1
            when = rng.uniform(0.42, 0.62)
            ways, turns = _out_and_back(start, side, rng.uniform(-0.4, 0.6) * side, when=when), (when,)
        else:
            side = -1 if start > 0 else 1
            ways = _way(rng, start, start + side * rng.uniform(0.25, 1.3))
        actors.append(_actor(rng, i, form, mine, ways, depth, turns=turns, grown=rng.uniform(0.85, 1.45)))
    props = [
        _scenery(rng, *pick(rng, (("pole", 0.0, 3.4, 1.9), ("bush", 0.0, 4.0, 1.6), ("bush", 0.0, 8.5, 2.4))))
        for _ in range(int(rng.random() * 4))
    ]
    return (*actors, *(replace(prop, x=still(rng.uniform(-0.95, 0.95))) for prop in props))


STORIES: dict[str, Callable[[Random], tuple[Actor, ...]]] = {
    "cross": cross,
    "return": comeback,
    "crowd": crowd,
    "deform": deform,
    "free": free,
}
CAMERAS: dict[str, dict[str, float]] = {
    "cross": {"pan": 2.2, "push": 0.3, "shake": 0.004},
    "return": {"pan": 0.9, "push": 0.6, "shake": 0.006},
    "crowd": {"pan": 0.8, "push": 0.2, "shake": 0.016},
    "deform": {"pan": 1.2, "push": 1.3, "shake": 0.005},
    "free": {"pan": 1.4, "push": 0.5, "shake": 0.008},
}
