"""The page of a video: J(t) and F(t) of every run, and its frames with masks over them, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.file_names import natural_key
from harness.api.records import VideoResult
from harness.api.video import Sample
from harness.pages import words
from harness.pages.house import PageFolder
from harness.pages.series import draw_curves, series_of
from harness.viewing.gather import Footage, Viewed, check_size
from harness.viewing.layers import (
    IdMap,
    encode_difference_layer,
    encode_frame,
    encode_mask_layer,
    find_differences,
    read_prediction_of,
)

MOST_WORST = 10
"""Frames that have a button of their own."""


@dataclass(frozen=True)
class Side:
    """One run on one video."""

    run: Viewed
    result: VideoResult
    number: int


def page_of_video(video: str) -> str:
    """Where the page of a video lies."""
    return f"videos/{words.slug(video)}.html"


def write_video_page(
    folder: PageFolder, video: str, runs: Sequence[Viewed], footage: Footage, *, with_frames: bool, title: str
) -> str:
    """Write the page of a video and, ``with_frames``, a picture a frame and the masks over it."""
    sides = [Side(run, run.results[video], n) for n, run in enumerate(runs) if video in run.results]
    sample = footage.samples.get(video) if with_frames else None
    viewer = _lay_frames(folder, video, sides, sample, footage) if with_frames and sides else None
    return folder.write(
        page_of_video(video),
        "footage.html",
        f"{video}: {title}",
        video=video,
        runs=[side.run.label for side in sides],
        curves=draw_curves([(side.run.label, side.result) for side in sides]),
        summaries=[(side.run.label, list(_summarise(side.result))) for side in sides],
        viewer=viewer,
        missing=footage.missing,
    )


def score_frames(result: VideoResult) -> dict[int, dict[str, float]]:
    """For each scored frame the mean over objects of each figure that has a value there."""
    scores = series_of(result)
    if scores is None:
        return {}
    found: dict[int, dict[str, float]] = {}
    for figure, by_object in scores.series.items():
        for place, frame in enumerate(scores.frames):
            known = [row[place] for row in by_object.values() if place < len(row)]
            numbers = [value for value in known if value is not None]
            if numbers:
                found.setdefault(frame, {})[figure] = sum(numbers) / len(numbers)
    return found


def sort_worst(result: VideoResult) -> list[int]:
    """The scored frames, the lowest mean of all figures first."""
    scores = score_frames(result)
    return sorted(scores, key=lambda frame: (sum(scores[frame].values()) / len(scores[frame]), frame))


def _summarise(result: VideoResult) -> list[tuple[str, Mapping[str, float | None]]]:
    """For each object the figures of all metrics; a figure that one object has, every one has a place for."""
    rows: dict[str, dict[str, float | None]] = {}
    for scores in result.scores.values():
        for id_, figures in scores.summary.items():
            rows.setdefault(id_, {}).update(figures)
    columns = dict.fromkeys(column for figures in rows.values() for column in figures)
    return [(id_, {column: figures.get(column) for column in columns}) for id_, figures in rows.items()]


def _lay_frames(
    folder: PageFolder, video: str, sides: Sequence[Side], sample: Sample | None, footage: Footage
) -> dict[str, Any] | None:
    """Write the pictures; what the viewer needs to know of them, or None where no run left masks."""
    kept = [side for side in sides if side.run.folder is not None and side.result.masks]
    if not kept:
        return None
    first, where = kept[0].result, kept[0].run.folder
    assert where is not None
    if sample is not None:
        check_size(sample, first)
    names = sample.frame_names if sample else read_names(where, first)
    readers = [read_prediction_of(side.run.folder, side.result, names) for side in kept if side.run.folder]
    place = words.slug(video)
    frames = [
        _lay_frame(folder, place, frame, kept, readers, sample, footage.is_single) for frame in range(first.length)
    ]
    return {
        "width": first.width,
        "height": first.height,
        "names": list(names),
        "runs": [
            {
                "label": side.run.label,
                "scores": {str(frame): told for frame, told in score_frames(side.result).items()},
                "worst": sort_worst(side.result)[:MOST_WORST],
            }
            for side in kept
        ],
        "frames": frames,
        "has_frames": sample is not None,
        "has_truth": any(frame["truth"] for frame in frames),
    }


def read_names(run: Path, result: VideoResult) -> tuple[str, ...]:
    """The frames' names as the masks in a run's folder have them, in the order of their numbers."""
    folder = run / result.masks
    if not folder.is_dir():
        return tuple(f"{frame:05d}" for frame in range(result.length))
    return tuple(sorted((path.stem for path in folder.glob("*.png")), key=natural_key))


def _lay_frame(
    folder: PageFolder,
    place: str,
    frame: int,
    sides: Sequence[Side],
    readers: Sequence[IdMap],
    sample: Sample | None,
    is_single: bool,
) -> dict[str, Any]:
    """Write one frame's pictures; their paths, as the video's page links to them."""
    truth = sample.read_truth(frame) if sample and sample.read_truth else None
    told: dict[str, Any] = {"image": "", "truth": "", "masks": [], "differences": []}
    if sample is not None:
        told["image"] = _put(folder, f"frames/{place}/{frame:05d}.jpg", encode_frame(sample, frame))
    if truth is not None:
        told["truth"] = _put(folder, f"truth/{place}/{frame:05d}.png", encode_mask_layer(truth))
    for side, read in zip(sides, readers, strict=True):
        mask = read(frame)
        told["masks"].append(_put(folder, f"masks/{side.number}/{place}/{frame:05d}.png", encode_mask_layer(mask)))
        if truth is not None and mask.shape == truth.shape:
            layer = encode_difference_layer(_differ(mask, truth, side.result, is_single=is_single))
            told["differences"].append(_put(folder, f"differences/{side.number}/{place}/{frame:05d}.png", layer))
    return told


def _differ(mask: np.ndarray, truth: np.ndarray, result: VideoResult, *, is_single: bool) -> np.ndarray:
    matched = next((scores.matched for scores in result.scores.values() if scores.matched), {})
    return find_differences(mask, truth, is_single=is_single, matched=matched)


def _put(folder: PageFolder, path: str, content: bytes) -> str:
    folder.put(path, content)
    return f"../{path}"
