"""Predictions made elsewhere, in the forms servers and toolkits take: a folder or zip of masks, a results.json.

Everything found here is only located and parsed; ``harness.predictions.scoring`` says whether it is complete.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, IncompletePredictions
from harness.api.file_names import find_alike, is_left_behind
from harness.api.tasks import TASKS, TaskName
from harness.api.track_json import WRITE_NUMBERS, read_json_list, read_tracks, track_from_json
from harness.api.video import Sample, Track, Tracks
from harness.data.archives import extract
from harness.data.contents import Content, name_content
from harness.files import scratch_folder

RESULTS = "results.json"
"""What the YouTube-VIS server calls the file of all tracks."""
DEEPEST = 4
"""Folders around the masks that are looked through."""
SMALLEST_LIMIT = 1 << 32
"""Bytes a zip of predictions may find_predictions to in any case; beyond it, eight times the pixels of the videos."""
SHOWN = 5

_FORMS = ("a folder of masks, or a zip of it", f"{RESULTS}, or a zip of it")


@dataclass(frozen=True)
class Found:
    """Predictions ready to be read: ``place`` is the folder of the videos' folders, or a file or folder of tracks."""

    place: Path
    note: str = ""
    """Where they were found, if not in the path given itself."""


@contextmanager
def find_predictions(path: Path, samples: Sequence[Sample], task: TaskName) -> Iterator[Found]:
    """Find the predictions in ``path``, a folder or a zip (unpacked into a temporary folder until the context ends).

    Errors raised inside name the zip instead of the temporary folder.
    """
    is_of_tracks = TASKS[task].returns == "tracks"
    locate = _tracks_in if is_of_tracks else _masks_in
    if path.is_dir() or not path.exists():
        yield _note_place(path, locate(path, samples), path)
        return
    if is_of_tracks and path.suffix == ".json":
        yield Found(path)
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        content = name_content(path) if path.is_file() else Content("neither a file nor a folder", "")
        raise DataError.at(path, found=content.what, expected=_FORMS[is_of_tracks], hint=content.advice or None)
    with scratch_folder("harness-predictions") as temporary:
        folder = temporary.resolve()
        pixels = sum(sample.length * sample.height * sample.width for sample in samples)
        try:
            extract(path, folder, most_bytes=max(SMALLEST_LIMIT, 8 * pixels))
            yield _note_place(folder, locate(folder, samples), path)
        except HarnessError as error:
            error.message = error.message.replace(str(folder), str(path))
            raise


def _note_place(root: Path, place: Path, shown: Path) -> Found:
    return Found(place, f"predictions found in {shown / place.relative_to(root)}" if place != root else "")


def _masks_in(root: Path, samples: Sequence[Sample]) -> Path:
    """The first folder, from the root down, that holds a video's folder; the root itself where none does."""
    for place in _walk_inwards(root, "Annotations", "masks"):
        if any(find_alike(place, sample.name).is_dir() for sample in samples):
            return place
    return root


def _tracks_in(root: Path, samples: Sequence[Sample]) -> Path:
    """The file of all tracks, or the folder with one file a video, as a run writes it."""
    if not root.exists():
        raise DataError.at(root, found="no such file or folder", expected=_FORMS[True])
    for place in _walk_inwards(root, "tracks"):
        if (place / RESULTS).is_file():
            return place / RESULTS
        if any((place / f"{sample.name}.json").is_file() for sample in samples):
            return place
    raise DataError.at(root, found=f"no {RESULTS}", expected=f"{RESULTS}, or one <video>.json a video as a run has it")


def _walk_inwards(root: Path, *known: str) -> Iterator[Path]:
    """The root, then inwards: the folder of a known name, else the only folder there is."""
    place = root
    for _ in range(DEEPEST):
        yield place
        folders = {child.name: child for child in _visible(place) if child.is_dir()}
        inner = next((folders[name] for name in known if name in folders), None)
        if inner is None and len(folders) == 1:
            inner = next(iter(folders.values()))
        if inner is None:
            return
        place = inner


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not is_left_behind(child.name)) if folder.is_dir() else []


def read_all_tracks(
    place: Path, samples: Sequence[Sample], *, is_subset: bool, deep: bool = True
) -> tuple[dict[str, Tracks], str]:
    """The tracks of every video by name, and a note on videos without any (or with ``is_subset`` on those left out).

    ``place`` is a results.json, or a folder with one file a video. A video that results.json does not name has no
    tracks, as the official toolkit takes it; a file of a video that is missing is an error. Without ``deep`` the codes
    of the masks are left to whoever decodes them.
    """
    if place.is_dir():
        missing = [sample.name for sample in samples if not (place / f"{sample.name}.json").is_file()]
        if missing:
            what = f"{len(missing)} of {len(samples)} videos have no file in {place}: {', '.join(missing[:SHOWN])}"
            raise IncompletePredictions(what, hint="run the method on them: the same command goes on where it was")
        read = {}
        for sample in samples:
            path = place / f"{sample.name}.json"
            read[sample.name] = read_tracks(path, (sample.height, sample.width), sample.length, deep=deep)
            _check_categories(sample, read[sample.name], path)
        return read, ""
    return _read_results(place, samples, is_subset=is_subset, deep=deep)


def _read_results(
    path: Path, samples: Sequence[Sample], *, is_subset: bool, deep: bool
) -> tuple[dict[str, Tracks], str]:
    expected = "a list of {video_id, category_id, score, segmentations}"
    by_id = {_video_id(sample): sample for sample in samples}
    found: dict[str, list[Track]] = {sample.name: [] for sample in samples}
    left_out, number = 0, -1
    for number, entry in enumerate(read_json_list(path, expected)):
        where = f"{path}, entry {number}"
        sample = _sample_of(entry, by_id, where, is_subset=is_subset)
        if sample is None:
            left_out += 1
            continue
        track = track_from_json(entry, (sample.height, sample.width), sample.length, where=where, deep=deep)
        _check_categories(sample, [track], where)
        found[sample.name].append(track)
    if number < 0:
        raise IncompletePredictions(f"{path}: found an empty list, expected {expected}")
    empty = [name for name, tracks in found.items() if not tracks]
    notes = [f"{left_out} entries of other videos were left out"] if left_out else []
    if empty:
        more = " ..." if len(empty) > SHOWN else ""
        notes += [f"no tracks for {len(empty)} of {len(samples)} videos: {', '.join(empty[:SHOWN])}{more}"]
    return {name: Tracks(tuple(tracks)) for name, tracks in found.items()}, "; ".join(notes)


def _video_id(sample: Sample) -> int:
    if "video_id" not in sample.extra:
        raise DataError.at(f"video {sample.name!r}", found="no id in the benchmark's table", expected="video_id")
    return int(sample.extra["video_id"])


def _sample_of(entry: Any, by_id: dict[int, Sample], where: str, *, is_subset: bool) -> Sample | None:
    video = entry.get("video_id") if isinstance(entry, dict) else None
    if not isinstance(video, int) or isinstance(video, bool):
        found = "no video_id" if video is None else f"video_id {video!r:.40}"
        expected = "{video_id, category_id, score, segmentations}"
        hint = WRITE_NUMBERS if isinstance(video, str) else None
        raise DataError.at(where, found=found, expected=expected, hint=hint)
    if video not in by_id and not is_subset:
        ids = sorted(by_id)
        hint = "predict the videos of this benchmark's own table"
        expected = f"one of the {len(ids)} videos' ids, {ids[0]} to {ids[-1]}"
        raise DataError.at(where, found=f"video_id {video}", expected=expected, hint=hint)
    return by_id.get(video)


def _check_categories(sample: Sample, tracks: Sequence[Track] | Tracks, where: object) -> None:
    known = sample.extra.get("category_names", {})
    for track in tracks:
        if known and track.category not in known:
            raise DataError.at(where, found=f"category_id {track.category}", expected=f"one of {sorted(known)}")
