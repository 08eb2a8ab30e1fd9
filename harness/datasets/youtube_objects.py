"""YouTube-Objects: 126 shots of 10 categories with masks on every 10th frame (Jain and Grauman 2014)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.api.contracts import Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, DataProblems
from harness.api.hookspecs import hookimpl
from harness.api.video import Sample
from harness.datasets.files import (
    PARTIAL_HINT,
    VideoFiles,
    check_size,
    image_size,
    list_folder,
    list_images,
    open_all,
    open_root,
)
from harness.datasets.merged import MERGED_ONE_SHOT, MERGED_ZERO_SHOT, read_thresholded_mask

NAME = "youtube-objects"
CATEGORIES = ("aeroplane", "bird", "boat", "car", "cat", "cow", "dog", "horse", "motorbike", "train")
SIZE = 126
"""Shots with masks: Jain and Grauman 2014, "Supervoxel-Consistent Foreground Propagation in Video"."""

LAYOUT = (
    "<category>/data/<video>/shots/<shot>/images/frame0001.jpg and .../labels/00001.jpg (every 10th frame), "
    "or <category>_<n>/frame0001.jpg and <category>_<n>/gt/<object>/00001.jpg"
)


@dataclass(frozen=True)
class Shot:
    """One shot: where its frames lie, and one folder of masks an object."""

    name: str
    category: str
    frames: Path
    masks: tuple[Path, ...]


def open_youtube_objects(root: Path | None, partial: bool) -> list[Sample]:
    """Every shot with masks, by category, video and shot; DataError for everything that is missing or malformed.

    The official names are not published as a list: the tree names them, and all 10 categories and 126 shots must be
    there unless ``partial``.
    """
    root = open_root(root, NAME, LAYOUT)
    shots = {shot.name: shot for category in CATEGORIES for shot in _shots_of(root, category)}
    if not shots:
        raise DataError.at(root, found="no shot with masks", expected=LAYOUT)
    empty = [category for category in CATEGORIES if not any(shot.category == category for shot in shots.values())]
    if empty and not partial:
        found = f"no shots of {', '.join(empty)}"
        problem = DataError.at(root, found=found, expected=f"all {len(CATEGORIES)} categories", hint=PARTIAL_HINT)
        usable = open_all(
            tuple(shots), lambda name: None, lambda name: _open_shot(root, shots[name]), root, partial=True
        )
        raise DataProblems([problem], usable)
    return open_all(
        tuple(shots), lambda name: None, lambda name: _open_shot(root, shots[name]), root, partial=partial, size=SIZE
    )


def _shots_of(root: Path, category: str) -> Iterator[Shot]:
    """The shots of one category in either layout."""
    for name, folder in list_folder(root, "the categories").items():
        if re.fullmatch(rf"{category}_\d+", name) and (folder / "gt").is_dir():
            masks = list_folder(folder / "gt", f"the masks of {name!r}").values()
            yield Shot(name, category, folder, tuple(masks))
    videos = root / category / "data"
    if not videos.is_dir():
        return
    for video, folder in list_folder(videos, f"the videos of {category!r}").items():
        shots = folder / "shots"
        for shot, inside in list_folder(shots, "shots").items() if shots.is_dir() else ():
            if (inside / "labels").is_dir():
                yield Shot(f"{category}_{video}_{shot}", category, inside / "images", (inside / "labels",))


def _number(images: dict[str, Path], folder: Path) -> dict[int, Path]:
    """Images by the number their name ends with."""
    numbered = {}
    for stem, path in images.items():
        digits = re.search(r"(\d+)$", stem)
        if digits is None:
            raise DataError.at(folder, found=path.name, expected="a name that ends with the frame's number")
        numbered[int(digits[1])] = path
    return dict(sorted(numbered.items()))


def _open_shot(root: Path, shot: Shot) -> Sample:
    frames = _number(list_images(shot.frames, (".jpg",), f"the frames of {shot.name!r}"), shot.frames)
    numbers = list(frames)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        gap = next(n for n in range(numbers[0], numbers[-1]) if n not in frames)
        raise DataError.at(shot.frames, found=f"no frame {gap}", expected=f"frames {numbers[0]}..{numbers[-1]}")
    size = image_size(frames[numbers[0]])
    truths: dict[int, tuple[Path, ...]] = {}
    for folder in shot.masks:
        for number, path in _number(list_images(folder, (".jpg", ".png"), "masks"), folder).items():
            if number not in frames:
                raise DataError.at(path, found="a mask without frame", expected=f"frame {number} in {shot.frames}")
            t = number - numbers[0]
            truths[t] = (*truths.get(t, ()), path)
    first = min(truths)
    check_size(truths[first][0], image_size(truths[first][0]), size, shot.name)
    return VideoFiles(
        name=shot.name,
        frames=tuple(frames.values()),
        size=size,
        truths=truths,
        prompts={first: truths[first]},
        read=read_thresholded_mask,
        extra={"category": shot.category, "attributes": [shot.category], "is_merged": True},
    ).sample()


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """YouTube-Objects, all categories."""
    return [
        Benchmark(
            name=NAME,
            title="YouTube-Objects, objects merged",
            rules={"object-zvos": MERGED_ZERO_SHOT, "one-shot": MERGED_ONE_SHOT},
            open=open_youtube_objects,
            size=SIZE,
            licence="non-commercial research; the videos belong to their owners on YouTube",
            homepage="https://vision.cs.utexas.edu/projects/videoseg/data_download_register.html",
            layout=LAYOUT,
            manual="fill in the form on the homepage; it leads to the archive of frames and masks (youtube_masks)",
        )
    ]
