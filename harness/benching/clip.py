"""A clip of any size for timing: textured objects that move over a panning ground; nothing is scored on it."""

from __future__ import annotations

import numpy as np

from harness.api.contracts import Benchmark, Rule
from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.tasks import TASKS
from harness.api.video import Sample
from harness.files import digest_of

PAN = 2
"""Columns a frame by which the ground moves."""


@dataclass(frozen=True)
class Clip:
    """Its size; the default is DAVIS at 480p."""

    height: int = 480
    width: int = 854
    frames: int = 30
    objects: int = 1

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16 or self.frames < 2 or not 1 <= self.objects <= min(20, self.height // 4):
            raise UsageError(
                f"found a clip of {self.height} x {self.width}, {self.frames} frames, {self.objects} objects; expected "
                "16 x 16 pixels or more, 2 frames or more, 1 to 20 objects of at least 4 rows each"
            )

    @property
    def name(self) -> str:
        """854x480x30, 1 object."""
        return f"{self.width}x{self.height}x{self.frames}, {self.objects} object{'s' * (self.objects > 1)}"


def ids_of(clip: Clip, frame: int) -> np.ndarray:
    """(H, W) uint8: every object a box in a lane of its own, moved by one to three columns a frame, cut off nowhere."""
    ids = np.zeros((clip.height, clip.width), np.uint8)
    lane = clip.height // clip.objects
    side = max(2, lane * 2 // 3)
    breadth = max(2, min(side, clip.width // 3))
    for number in range(1, clip.objects + 1):
        top = (number - 1) * lane + (lane - side) // 2
        way = clip.width - breadth
        place = (number * 7 + frame * (1 + number % 3)) % (2 * way)
        left = place if place < way else 2 * way - place  # there and back
        ids[top : top + side, left : left + breadth] = number
    return ids


def benchmark_of(clip: Clip) -> Benchmark:
    """A benchmark of that one clip, for every task, that scores nothing."""
    texture = np.random.default_rng(0).integers(0, 256, (clip.height // 8 + 1, clip.width // 8 + 1, 3), dtype=np.uint8)
    ground = texture.repeat(8, axis=0).repeat(8, axis=1)[: clip.height, : clip.width]

    def read_frame(frame: int) -> np.ndarray:
        ids = ids_of(clip, frame)[..., None]
        panned = np.roll(ground, PAN * frame, axis=1)
        return np.where(ids > 0, 255 - ground // 2 - ids * 5, panned // 2).astype(np.uint8)

    sample = Sample(
        name="clip",
        length=clip.frames,
        height=clip.height,
        width=clip.width,
        frame_names=tuple(f"{frame:05d}" for frame in range(clip.frames)),
        read_frame=read_frame,
        read_prompt=lambda frame: ids_of(clip, frame),
        prompt_frames=(0,),
        digest=lambda: digest_of(["clip/1", clip.height, clip.width, clip.frames, clip.objects]),
    )
    rule = Rule(version="not-scored/1", metrics=())
    return Benchmark(
        name="clip",
        title=clip.name,
        rules={task.name: rule for task in TASKS.values()},
        open=lambda root, partial: [sample],
        expected=("clip",),
        needs_root=False,
        scored=False,
    )
