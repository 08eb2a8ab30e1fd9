"""YouTube-VOS 2018: objects that enter later, 6 fps annotation, read from the official folder tree."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api.contracts import YOUTUBE_VOS, Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.file_names import natural_key
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import read_mask_header
from harness.api.records import is_safe_video_name
from harness.api.video import Sample
from harness.datasets.files import (
    VideoFiles,
    absent,
    advise_tree,
    check_names,
    check_size,
    image_size,
    list_images,
    open_all,
    open_root,
    read_json,
    refuse_dangling,
)

LICENCE = "CC BY 4.0 for the annotations; the videos belong to their owners on YouTube (youtube-vos.org, terms of use)"


@dataclass(frozen=True)
class Part:
    """One part of the data: the folder of frames, the folder with masks and meta.json, how many videos it has.

    ``has_truth`` is None where each video's masks tell: more than those in which objects enter are a truth.
    """

    benchmark: str
    frames: str
    masks: str
    size: int
    has_truth: bool | None
    suffixes: tuple[str, ...] = (".jpg",)

    @property
    def layout(self) -> str:
        """The folders, in words."""
        which = "annotated frame" if self.has_truth else "first mask of each object"
        return (
            f"{self.frames}/JPEGImages/<video>/00000.jpg, {self.masks}/Annotations/<video>/00000.png ({which}), "
            f"{self.masks}/meta.json"
        )


PARTS = (
    Part("youtube-vos18-val", "valid", "valid", 474, has_truth=False),
    Part("youtube-vos18-val-all-frames", "valid_all_frames", "valid", 474, has_truth=False),
    Part("youtube-vos18-train", "train", "train", 3471, has_truth=True),
)
"""Numbers of videos: youtube-vos.org/dataset/vos, the 2018 version."""


@dataclass(frozen=True)
class Entrance:
    """One object as meta.json knows it: its category (where public) and the frames it is annotated in."""

    id: int
    category: str
    frames: tuple[str, ...]

    @property
    def first(self) -> str:
        """The frame it enters in."""
        return self.frames[0]


def open_part(part: Part, root: Path | None, partial: bool) -> list[Sample]:
    """The videos that meta.json lists, sorted by name; DataError for everything that is missing or malformed."""
    root = open_root(root, part.benchmark, part.layout)
    path = root / part.masks / "meta.json"
    if not path.is_file():
        refuse_dangling(path, "a JSON file")
        raise DataError.at(path, found="no such file", expected="a JSON file", hint=advise_tree(part.layout))
    videos = list_videos(path)
    seen = read_seen_categories(root)
    folder = root / part.frames / "JPEGImages"

    def absence(name: str) -> DataError | None:
        return None if (folder / name).is_dir() else absent(folder / name, f"the frames of {name!r}")

    def open_one(name: str) -> Sample:
        return open_video(part, root, name, entrances(path, name, videos[name]), seen)

    return open_all(sorted(videos), absence, open_one, root, partial=partial, size=part.size)


def list_videos(path: Path) -> Mapping[str, Any]:
    """The entries of a meta.json by video."""
    content = read_json(path)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise DataError.at(path, found="no videos", expected='{"videos": {name: {"objects": {...}}}}')
    check_names(videos, path)
    return videos


def entrances(path: Path, video: str, entry: Any) -> list[Entrance]:
    """The objects of one video of meta.json, by id."""
    try:
        found = [
            Entrance(int(id_), str(item.get("category", "")), tuple(sorted(map(str, item["frames"]), key=natural_key)))
            for id_, item in entry["objects"].items()
        ]
        if not all(entrance.frames for entrance in found):
            raise ValueError("an empty list of frames")
        odd = [name for entrance in found for name in entrance.frames if not is_safe_video_name(name)]
        if odd:
            raise ValueError(f"a frame named {odd[0]!r:.80}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError.at(
            path,
            found=f"video {video!r} without objects that list their frames ({error!r})",
            expected="the official form",
        ) from error
    ids = [entrance.id for entrance in found]
    if not ids or not all(1 <= id_ <= 254 for id_ in ids) or len(set(ids)) < len(ids):
        raise DataError.at(path, found=f"the ids {ids} of {video!r}", expected="ids 1..254, each once")
    return sorted(found, key=lambda entrance: entrance.id)


@functools.cache
def read_seen_categories(root: Path) -> frozenset[str]:
    """The categories of the training part, where its meta.json lies in the tree; otherwise empty (unknown)."""
    path = root / "train" / "meta.json"
    if not path.is_file():
        return frozenset()
    videos = list_videos(path)
    return frozenset(e.category for name, entry in videos.items() for e in entrances(path, name, entry)) - {""}


def open_video(part: Part, root: Path, name: str, objects: list[Entrance], seen: frozenset[str]) -> Sample:
    """One video of a part, from the first frame in which an object enters."""
    folder = root / part.frames / "JPEGImages" / name
    mask_folder = root / part.masks / "Annotations" / name
    frames = list_images(folder, part.suffixes, f"the frames of {name!r}")
    masks = list_images(mask_folder, (".png",), f"the masks of {name!r}")
    starts = sorted({entrance.first for entrance in objects}, key=natural_key)
    needed = starts
    if part.has_truth is None:
        part = replace(part, has_truth=len(masks.keys() - set(starts)) > 0)
    if part.has_truth:
        needed = sorted({stem for entrance in objects for stem in entrance.frames}, key=natural_key)
    for stem in needed:
        if stem not in masks:
            expected = f"the mask of an object that meta.json annotates in {stem}"
            raise DataError.at(mask_folder / f"{stem}.png", found="no such file", expected=expected)
    for stem in masks if part.has_truth else starts:
        if stem not in frames:
            raise DataError.at(folder / f"{stem}.jpg", found="no such file", expected=f"the frame of {stem}.png")
    # Frames before the first prompt ask nothing of a method and are not scored: the video begins with the prompt.
    everything = list(frames)
    begin = everything.index(starts[0])
    early, stems = everything[:begin], everything[begin:]
    size = image_size(frames[stems[0]])
    header = read_mask_header(masks[starts[0]])
    check_size(masks[starts[0]], (header.height, header.width), size, name)
    place = {stem: t for t, stem in enumerate(stems)}
    enter = {place[stem]: tuple(e.id for e in objects if e.first == stem) for stem in starts}
    extra = _extra(part, root, name, objects, seen, early)
    return VideoFiles(
        name=name,
        frames=tuple(frames[stem] for stem in stems),
        size=size,
        truths={place[stem]: (masks[stem],) for stem in masks if stem in place} if part.has_truth else {},
        prompts={place[stem]: (masks[stem],) for stem in starts},
        prompt_ids=enter,
        has_truth=bool(part.has_truth),
        extra=extra,
        facts=json.dumps([enter, extra], sort_keys=True),
    ).sample()


def _extra(
    part: Part, root: Path, name: str, objects: list[Entrance], seen: frozenset[str], early: list[str]
) -> dict[str, Any]:
    extra: dict[str, Any] = {"frames_before_first_prompt": tuple(early)}
    categories = {e.id: e.category for e in objects if e.category}
    if categories:
        extra["categories"] = categories
    if categories and seen:
        extra["unseen"] = tuple(id_ for id_, category in categories.items() if category not in seen)
    if part.frames != part.masks:
        asked = list_images(root / part.masks / "JPEGImages" / name, (".jpg",), f"the 6 fps frames of {name!r}")
        extra["submitted_frames"] = tuple(asked)
    return extra


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """YouTube-VOS 2018: validation at 6 fps and at full rate (scored by the server), training (scored here)."""
    titles = ("validation, 6 fps", "validation, all frames", "training")
    return [
        Benchmark(
            name=part.benchmark,
            title=f"YouTube-VOS 2018 {title}",
            rules={"one-shot": YOUTUBE_VOS},
            open=functools.partial(open_part, part),
            size=part.size,
            scored=bool(part.has_truth),
            licence=LICENCE,
            homepage="https://youtube-vos.org/dataset/vos/",
            layout=part.layout,
            manual="register for the challenge on the homepage, accept its terms, and unpack the archives it offers",
        )
        for part, title in zip(PARTS, titles, strict=True)
    ]
