"""`mini`: an embedded benchmark, videos with exact masks and flow generated from a seed; nothing is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from harness.api.contracts import (
    COCO_CLASS_AGNOSTIC,
    DAVIS_2016_ZERO_SHOT,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    YOUTUBE_VIS,
    Benchmark,
    Rule,
)
from harness.api.dataclass import dataclass
from harness.api.hookspecs import hookimpl
from harness.api.tasks import TaskName
from harness.api.video import Sample

if TYPE_CHECKING:
    import numpy as np

    from harness.datasets.mini.scene import Scene

GENERATOR = "mini/1"
"""Change what any video shows, change this: it is part of every digest, so old results are not mixed with new ones."""


@dataclass(frozen=True)
class MiniVideo:
    """All that a generated video depends on, besides the generator and the photographs."""

    name: str
    story: str
    seed: str
    length: int
    height: int
    width: int

    def sample(self) -> Sample:
        """The video as the harness reads it; frames are made when they are asked for."""
        return Sample(
            name=self.name,
            length=self.length,
            height=self.height,
            width=self.width,
            frame_names=tuple(f"{frame:05d}" for frame in range(self.length)),
            read_frame=partial(read_frame, self),
            digest=partial(digest, self),
            read_truth=partial(read_truth, self),
            read_prompt=partial(read_truth, self),
            prompt_frames=(0,),
            read_flow=partial(read_flow, self),
            extra={
                "attributes": ATTRIBUTES[self.story],
                "category_names": dict(enumerate(CATEGORIES, start=1)),
                "tracks": TrueTracks(self),
            },
        )


@dataclass(frozen=True)
class TrueTracks(Sequence[dict[str, Any]]):
    """The objects of a video as `track_ap` takes them, by id; every mask of the video is made when one is asked for."""

    video: MiniVideo

    def __len__(self) -> int:
        return len(_kinds(self.video))

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | Sequence[dict[str, Any]]:
        return _tracks(self.video)[place]


CATEGORIES = ("quadruped", "biped", "fish", "bird", "cart", "jelly")
"""What an object can be; a category is its place here, from 1. Kept in this order: records and methods name numbers."""
ATTRIBUTES = {
    "cross": ("occlusion", "look-alikes"),
    "return": ("out-of-view", "occlusion"),
    "crowd": ("occlusion", "look-alikes", "camera-shake"),
    "deform": ("deformation", "motion-blur", "scale-variation"),
    "free": (),
}
MINI = tuple(
    MiniVideo(f"mini-{story}", story, "0", length, 480, 854)
    for story, length in (("cross", 36), ("return", 40), ("crowd", 36), ("deform", 32))
)
SMALL = tuple(
    MiniVideo(f"small-{story}", story, "0", length, 120, 214)
    for story, length in (("cross", 24), ("return", 30), ("crowd", 24), ("deform", 24))
)
TRAIN = tuple(MiniVideo(f"train-{i:03d}", "free", f"train-{i}", 30, 240, 427) for i in range(96))


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Offer `mini`, the quick `mini-small`, and `mini-train`, whose videos share no seed with the others.

    `mini-frames` are the frames of `mini-small`, each scored as an image.
    """
    return [
        _benchmark("mini", "Generated videos, 480p", MINI),
        _benchmark("mini-small", "Generated videos, 120p, for tests and first runs", SMALL),
        _benchmark("mini-train", "Generated videos, 240p, for training", TRAIN),
        _benchmark("mini-frames", "Generated videos, 120p, each frame an image", SMALL, {"vis": COCO_CLASS_AGNOSTIC}),
    ]


MINI_RULES: Mapping[TaskName, Rule] = {
    "one-shot": DAVIS_2017,
    "instance-zvos": DAVIS_2017_UNSUPERVISED,
    "object-zvos": DAVIS_2016_ZERO_SHOT,
    "vis": YOUTUBE_VIS,
}


def _benchmark(
    name: str, title: str, videos: tuple[MiniVideo, ...], rules: Mapping[TaskName, Rule] = MINI_RULES
) -> Benchmark:
    def open_samples(root: Path | None, partial: bool) -> Sequence[Sample]:
        return [video.sample() for video in videos]

    return Benchmark(
        name=name,
        title=title,
        rules=rules,
        open=open_samples,
        expected=tuple(video.name for video in videos),
        needs_root=False,
        licence="Apache-2.0; textures from photographs in scikit-image without known copyright restrictions",
        layout="generated; needs no folder",
    )


def read_frame(video: MiniVideo, frame: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB; the caller's own copy."""
    return _picture(video, _check(video, frame)).copy()


def read_truth(video: MiniVideo, frame: int) -> np.ndarray:
    """(H, W) uint8 ids of what lies under each pixel's centre; the caller's own copy."""
    return _ids(video, _check(video, frame)).copy()


def read_flow(video: MiniVideo, frame: int) -> np.ndarray:
    """(H, W, 2) float32 flow to the next frame, of the surface seen at each pixel; not defined at the last frame."""
    if frame == video.length - 1:
        raise IndexError(f"video {video.name!r} ends at frame {frame}; it has no flow to a next one")
    return _scene(video).flow(_check(video, frame))


def digest(video: MiniVideo) -> str:
    """SHA-256 over the generator's version, the photographs and the video's parameters; no pixel is made for it."""
    from harness.datasets.mini.textures import PHOTOGRAPHS

    parts = (GENERATOR, tuple(sorted(PHOTOGRAPHS.items())), astuple(video))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _check(video: MiniVideo, frame: int) -> int:
    if not 0 <= frame < video.length:
        raise IndexError(f"video {video.name!r} has frames 0..{video.length - 1}, not {frame}")
    return frame


@lru_cache(maxsize=8)
def _scene(video: MiniVideo) -> Scene:
    from harness.datasets.mini.stories import tell

    return tell(video.story, video.seed, video.length, (video.height, video.width))


def _kinds(video: MiniVideo) -> list[str]:
    """What the objects 1, 2, ... of a video are."""
    actors = sorted((actor for actor in _scene(video).actors if actor.id), key=lambda actor: actor.id)
    return [actor.kind for actor in actors]


@lru_cache(maxsize=2)
def _tracks(video: MiniVideo) -> list[dict[str, Any]]:
    from harness.api.mask_files import RunLength

    masks: dict[int, list[RunLength | None]] = {i: [] for i, _ in enumerate(_kinds(video), start=1)}
    for frame in range(video.length):
        truth = _ids(video, frame)
        for i, found in masks.items():
            found.append(RunLength.encode(truth == i) if (truth == i).any() else None)
    return [
        {
            "id": i,
            "category_id": CATEGORIES.index(kind) + 1,
            "iscrowd": 0,
            "areas": [None if mask is None else mask.area for mask in masks[i]],
            "segmentations": masks[i],
        }
        for i, kind in enumerate(_kinds(video), start=1)
    ]


@lru_cache(maxsize=8)
def _picture(video: MiniVideo, frame: int) -> np.ndarray:
    from harness.datasets.mini.picture import picture

    return picture(_scene(video), frame)


@lru_cache(maxsize=8)
def _ids(video: MiniVideo, frame: int) -> np.ndarray:
    return _scene(video).ids(frame)
