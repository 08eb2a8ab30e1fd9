"""The videos a method is tried on: generated, small, and each with one thing that breaks careless methods.

They are a benchmark of their own, ``conformance-probes``, which only the conformance kit can see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harness.api.contracts import DAVIS_2017, DAVIS_2017_UNSUPERVISED, YOUTUBE_VIS, Benchmark, Rule
from harness.api.dataclass import dataclass
from harness.api.hookspecs import hookimpl
from harness.api.tasks import TaskName
from harness.api.video import Sample
from harness.conformance.verdicts import EVERY_TASK

BENCH = "conformance-probes"
VOID = 255
Box = tuple[int, int, int, int]
"""Top, left, height, width; what lies outside the frame is cut off."""
Place = Callable[[int], Box | None]
"""Where an object is in each frame, None where it is not there."""


@dataclass(frozen=True)
class Actor:
    """One object; ``prompted`` is the frame it is asked for at."""

    id: int
    place: Place
    prompted: int | None = 0


@dataclass(frozen=True)
class Scene:
    """A video to be drawn: its size, its length and its objects, the last in front."""

    name: str
    actors: tuple[Actor, ...]
    height: int = 48
    width: int = 64
    length: int = 8
    void: Box | None = None
    """A part of the first prompt nobody knows about (255)."""
    empty_prompt: bool = False
    """Whether the first frame is prompted although nothing is in it."""

    def truth(self, frame: int) -> np.ndarray:
        """The (H, W) uint8 id map of one frame."""
        ids = np.zeros((self.height, self.width), np.uint8)
        for actor in self.actors:
            _fill(ids, actor.place(frame), actor.id)
        return ids

    def frame(self, frame: int) -> np.ndarray:
        """The (H, W, 3) uint8 picture of one frame: a still, dim background and objects in colours of their own."""
        picture = np.random.default_rng(0).integers(0, 90, (self.height, self.width, 3), dtype=np.uint8)
        for actor in self.actors:
            _fill(picture, actor.place(frame), colour_of(actor.id))
        return picture

    def prompt(self, frame: int) -> np.ndarray:
        """The ids of the objects that are asked for at ``frame``, and of no others."""
        asked = [actor.id for actor in self.actors if actor.prompted == frame]
        truth = self.truth(frame)
        ids = np.where(np.isin(truth, asked), truth, np.uint8(0))
        if frame == 0:
            _fill(ids, self.void, VOID)
        return ids

    @property
    def prompt_frames(self) -> tuple[int, ...]:
        """The frames at which something is asked for, ascending."""
        asked = {actor.prompted for actor in self.actors if actor.prompted is not None}
        return tuple(sorted(asked | ({0} if self.empty_prompt else set())))

    def sample(self) -> Sample:
        """The scene as a video of a dataset."""
        return Sample(
            name=f"{BENCH}-{self.name}",
            length=self.length,
            height=self.height,
            width=self.width,
            frame_names=tuple(f"{self.name}-{frame:05d}" for frame in range(self.length)),
            read_frame=self.frame,
            read_truth=self.truth,
            read_prompt=self.prompt,
            prompt_frames=self.prompt_frames,
            digest=lambda: hashlib.sha256(self.name.encode()).hexdigest(),
        )


def _fill(array: np.ndarray, box: Box | None, value: object) -> None:
    if box is not None:
        top, left, height, width = box
        array[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = value


def colour_of(number: int) -> tuple[int, int, int]:
    """A bright colour, another one for each id."""
    return 100 + number * 67 % 156, 100 + number * 101 % 156, 100 + number * 29 % 156


def move_box(top: int, left: int, height: int, width: int, down: int = 0, right: int = 1) -> Place:
    """A box that moves by whole pixels."""
    return lambda frame: (top + down * frame, left + right * frame, height, width)


def hide(place: Place, frames: range) -> Place:
    """The same, but not there in ``frames``."""
    return lambda frame: None if frame in frames else place(frame)


def swing(place: Place, period: int = 24) -> Place:
    """The same, begun again and again."""
    return lambda frame: place(frame % period)


ONE = Actor(1, move_box(8, 6, 14, 12))
TWO = Actor(2, move_box(26, 44, 12, 14, right=-1))
ORDINARY = Scene("ordinary", (ONE, TWO))
RETURNING = Scene(
    "leaves-and-returns",
    (Actor(1, hide(ONE.place, range(2, 5))), Actor(2, move_box(26, 50, 12, 14, right=4))),
    length=10,
)
LATE = Scene(
    "late-objects",
    (
        ONE,
        Actor(2, hide(TWO.place, range(3)), prompted=3),
        Actor(5, hide(move_box(2, 40, 8, 8), range(6)), prompted=6),
    ),
    length=10,
)


@dataclass(frozen=True)
class Probe:
    """One video and what a method promises on it."""

    scene: Scene
    promise: str
    tasks: tuple[TaskName, ...] = EVERY_TASK

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.scene.name


def _grid(number: int, ids: tuple[int, ...]) -> tuple[Actor, ...]:
    return tuple(Actor(ids[i], move_box(2 + 15 * (i // 4), 2 + 15 * (i % 4), 9, 9)) for i in range(number))


PROMPTED: tuple[TaskName, ...] = ("one-shot",)
PROBES = (
    Probe(ORDINARY, "Two objects that move: one mask a frame, of the right size, type and ids."),
    Probe(Scene("one-frame", (ONE, TWO), length=1), "A video of one frame is worked through."),
    Probe(Scene("two-frames", (ONE, TWO), length=2), "A video of two frames is worked through."),
    Probe(
        Scene("odd-size", (ONE, Actor(2, move_box(40, 20, 12, 10, right=-1))), height=57, width=33),
        "Masks have the video's size, also 57 x 33.",
    ),
    Probe(Scene("wide-and-low", (ONE,), height=17, width=97), "Masks have the video's size, also 17 x 97."),
    Probe(
        Scene(
            "objects-on-the-border",
            (
                Actor(1, lambda frame: (0, 0, 1, 64)),
                Actor(2, lambda frame: (1, 63, 47, 1)),
                Actor(3, move_box(20, -4, 9, 6, right=0)),
            ),
            length=4,
        ),
        "Objects one pixel thick along the border, and one cut by it, are no trouble.",
    ),
    Probe(
        Scene("one-pixel-objects", (Actor(1, move_box(9, 9, 1, 1)), Actor(2, move_box(30, 20, 1, 1))), length=4),
        "Objects of one pixel are no trouble.",
    ),
    Probe(
        Scene("no-object", (), length=4, empty_prompt=True),
        "A video in which there is nothing (one-shot: an empty first mask) is worked through.",
    ),
    Probe(RETURNING, "Objects that leave and return are no trouble."),
    Probe(LATE, "Objects that enter later (one-shot: by later prompts) are no trouble."),
    Probe(
        Scene("only-late-objects", (Actor(1, hide(ONE.place, range(3)), prompted=3),), empty_prompt=True),
        "A first object that enters after an empty first mask is no trouble.",
    ),
    Probe(Scene("twelve-objects", _grid(12, tuple(range(1, 13))), length=4), "Twelve objects are no trouble."),
    Probe(
        Scene("ids-with-gaps", _grid(3, (2, 7, 200)), length=4),
        "Masks hold the ids of the prompts as they are: 2, 7, 200 are not 1, 2, 3.",
        PROMPTED,
    ),
    Probe(
        Scene("void-in-the-prompt", (ONE, TWO), length=4, void=(0, 0, 6, 64)),
        "Void (255) in a prompt is no object: it is never yielded.",
        PROMPTED,
    ),
)
"""Every probe a method is tried on, with its promise."""

SWINGING = tuple(Actor(actor.id, swing(actor.place)) for actor in (ONE, TWO))
MEMORY = Scene("three-hundred-frames", SWINGING, length=300)
"""The video on which memory is watched."""
TWENTY_FRAMES = Scene("twenty-frames", SWINGING, length=20)
"""So long that frames long past come into play: what is 15 frames back is searched for otherwise by selfsup."""


def as_frozen(sample: Sample) -> Sample:
    """The sample with every frame and prompt drawn once, so that reading costs nothing while a clock runs."""
    frames = [sample.read_frame(frame) for frame in range(sample.length)]
    return replace(sample, read_frame=frames.__getitem__)


def with_noise_after(sample: Sample, frame: int) -> Sample:
    """The sample with every later frame replaced by noise and every later prompt taken away."""

    def read_frame(asked: int) -> np.ndarray:
        if asked <= frame:
            return sample.read_frame(asked)
        return np.random.default_rng(asked).integers(0, 256, (sample.height, sample.width, 3), dtype=np.uint8)

    kept = tuple(prompted for prompted in sample.prompt_frames if prompted <= frame)
    return replace(sample, read_frame=read_frame, prompt_frames=kept)


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Offer the probes as a benchmark without scores."""
    rules: dict[TaskName, Rule] = {
        "one-shot": DAVIS_2017,
        "object-zvos": DAVIS_2017,
        "instance-zvos": DAVIS_2017_UNSUPERVISED,
        "vis": YOUTUBE_VIS,
    }
    return [
        Benchmark(
            name=BENCH,
            title="Probe videos of the conformance kit",
            rules={task: replace(rule, metrics=()) for task, rule in rules.items()},
            open=lambda root, partial: [probe.scene.sample() for probe in PROBES],
            needs_root=False,
            scored=False,
        )
    ]
