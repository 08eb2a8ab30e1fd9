"""YouTube-VIS 2019: categorised tracks in COCO-like JSON beside folders of frames."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api.contracts import YOUTUBE_VIS, Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import RunLength
from harness.api.run_lengths import CodedMasks, decode_all
from harness.api.track_json import segmentation_from_json
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
)

LICENCE = "CC BY 4.0 for the annotations; the videos belong to their owners on YouTube (youtube-vos.org, terms of use)"


@dataclass(frozen=True)
class Part:
    """One part of the data: its folder of frames, where its JSON may lie, how many videos it has.

    ``has_truth`` is None where the table tells: it has annotations or not.
    """

    benchmark: str
    folder: str
    tables: tuple[str, ...]
    size: int
    has_truth: bool | None
    suffixes: tuple[str, ...] = (".jpg",)

    @property
    def layout(self) -> str:
        """The folders, in words."""
        return f"{self.folder}/JPEGImages/<video>/00000.jpg, {' or '.join(self.tables)}"


PARTS = (
    Part(
        "youtube-vis19-val",
        "valid",
        ("valid.json", "annotations/valid.json", "annotations/youtube_vis_2019_valid.json", "valid/instances.json"),
        302,
        has_truth=False,
    ),
    Part(
        "youtube-vis19-train",
        "train",
        ("train.json", "annotations/train.json", "annotations/youtube_vis_2019_train.json", "train/instances.json"),
        2238,
        has_truth=True,
    ),
)
"""Numbers of videos: youtube-vos.org/dataset/vis, the 2019 version."""


def open_part(part: Part, root: Path | None, partial: bool) -> list[Sample]:
    """The videos the JSON lists, in its order; DataError for everything that is missing or malformed."""
    root = open_root(root, part.benchmark, part.layout)
    path = next((root / place for place in part.tables if (root / place).is_file()), None)
    if path is None:
        expected = " or ".join(part.tables)
        raise DataError.at(root, found="no table of videos", expected=expected, hint=advise_tree(part.layout))
    table = _Table.read(path, part)
    if part.has_truth is None:
        part = replace(part, has_truth=any(table.annotations.values()))
    folder = root / part.folder / "JPEGImages"

    def absence(name: str) -> DataError | None:
        return None if (folder / name).is_dir() else absent(folder / name, f"the frames of {name!r}")

    def open_one(name: str) -> Sample:
        return _open_video(part, root, table, name)

    return open_all(list(table.videos), absence, open_one, root, partial=partial, size=part.size)


@dataclass(frozen=True)
class _Table:
    """The JSON, by video: entry, annotations, and the names of the categories."""

    path: Path
    videos: Mapping[str, Mapping[str, Any]]
    annotations: Mapping[int, Sequence[Mapping[str, Any]]]
    categories: Mapping[int, str]

    @classmethod
    def read(cls, path: Path, part: Part) -> _Table:
        content = read_json(path)
        try:
            videos = {_folder_of(video): _with_numbers(video) for video in content["videos"]}
            categories = {int(item["id"]): str(item["name"]) for item in content["categories"]}
            annotations: dict[int, list[Mapping[str, Any]]] = {video["id"]: [] for video in videos.values()}
            for item in (content.get("annotations") or ()) if part.has_truth is not False else ():
                annotations[int(item["video_id"])].append(item)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
            expected = '{"videos": [...], "categories": [...], "annotations": [...]} as YouTube-VIS writes it'
            raise DataError.at(path, found=f"a malformed entry ({error!r})", expected=expected) from error
        if not videos or (part.has_truth and not any(annotations.values())):
            found = "no annotations" if videos else "no videos"
            raise DataError.at(path, found=found, expected=f"the table of {part.benchmark}")
        check_names(videos, path)
        return cls(path, videos, annotations, categories)


def _folder_of(video: Mapping[str, Any]) -> str:
    """The folder all frames of a video lie in; its name is the video's name."""
    folders = {str(name).rpartition("/")[0] for name in video["file_names"]}
    if len(folders) != 1:
        raise ValueError(f"video {video['id']} has frames in the folders {sorted(folders)}")
    return folders.pop()


def _with_numbers(video: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with the numbers that are used as whole ones."""
    return {**video, **{key: int(video[key]) for key in ("id", "height", "width")}}


def _open_video(part: Part, root: Path, table: _Table, name: str) -> Sample:
    entry = table.videos[name]
    folder = root / part.folder / "JPEGImages" / name
    there = list_images(folder, part.suffixes, f"the frames of {name!r}")
    stems = [Path(str(file)).stem for file in entry["file_names"]]
    lost = [stem for stem in stems if stem not in there]
    if lost:
        raise DataError.at(folder / f"{lost[0]}.jpg", found=f"{len(lost)} frames missing", expected=f"{len(stems)}")
    size = image_size(there[stems[0]])
    check_size(there[stems[0]], size, (entry["height"], entry["width"]), name)
    raw = table.annotations[entry["id"]]
    tracks = [_track(table, item, name, size, len(stems)) for item in raw]
    extra: dict[str, Any] = {"category_names": dict(table.categories), "video_id": entry["id"]}
    if part.has_truth:
        extra["tracks"] = tracks
    return VideoFiles(
        name=name,
        frames=tuple(there[stem] for stem in stems),
        size=size,
        has_truth=False,
        extra=extra,
        facts=json.dumps([raw, sorted(table.categories.items())], sort_keys=True),
    ).sample()


def _track(table: _Table, item: Mapping[str, Any], video: str, size: tuple[int, int], length: int) -> dict[str, Any]:
    """One annotation with a RunLength or None a frame, and its areas (computed where the table has none)."""
    where = f"{table.path}, annotation {item.get('id')} of {video!r}"
    try:
        segmentations, found_areas = _masks(item["segmentations"], size)
        category = int(item["category_id"])
        areas = [_area(value) for value in item["areas"]] if item.get("areas") else found_areas
        track_id, is_crowd = int(item["id"]), int(item.get("iscrowd") or 0)
    except DataError as error:
        raise DataError.at(where, found=error.message, expected="one mask or null a frame") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError.at(where, found=f"a malformed entry ({error!r})", expected="the official form") from error
    if len(segmentations) != length or len(areas) != length:
        raise DataError.at(where, found=f"{len(segmentations)} masks", expected=f"{length}, one a frame")
    if category not in table.categories:
        raise DataError.at(where, found=f"category {category}", expected=f"one of {sorted(table.categories)}")
    return {
        "id": track_id,
        "category_id": category,
        "iscrowd": is_crowd,
        "areas": areas,
        "segmentations": segmentations,
    }


def _area(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool | str) or not math.isfinite(value)):
        raise ValueError(f"area {value!r:.40}")
    return None if value is None else value


def _masks(values: Sequence[Any], size: tuple[int, int]) -> tuple[Sequence[RunLength | None], list[float | None]]:
    """The masks of one annotation, and their areas; DataError for the first that is malformed."""
    coded = CodedMasks.of(values, size)
    runs = decode_all(coded.texts, size[0] * size[1]) if coded is not None else None
    if coded is None or runs is None or runs.refused >= 0:
        codes = [segmentation_from_json(value, size) for value in values]
        return codes, [None if code is None else code.area for code in codes]
    areas = zip(coded.texts, runs.areas.tolist(), strict=True)
    return coded, [area if text else None for text, area in areas]


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """YouTube-VIS 2019: validation (scored by the server) and training (scored here)."""
    return [
        Benchmark(
            name=part.benchmark,
            title=f"YouTube-VIS 2019 {'training' if part.has_truth else 'validation'}",
            rules={"vis": YOUTUBE_VIS},
            open=functools.partial(open_part, part),
            size=part.size,
            scored=bool(part.has_truth),
            licence=LICENCE,
            homepage="https://youtube-vos.org/dataset/vis/",
            layout=part.layout,
            manual="register for the challenge on the homepage, accept its terms, and unpack the archives it offers",
        )
        for part in PARTS
    ]
