"""Anybody's videos in the folders of YouTube-VOS or YouTube-VIS: any part or list, with meta.json or without."""

from __future__ import annotations

from pathlib import Path

from harness.api.contracts import YOUTUBE_VIS, YOUTUBE_VOS_OBJECTS, Benchmark
from harness.api.errors import DataError
from harness.api.file_names import natural_key
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import read_runs
from harness.api.video import Sample
from harness.datasets import youtube_vis, youtube_vos
from harness.datasets.files import VOID, absent, list_folder, list_images, open_all, open_root
from harness.datasets.own_trees import find_list, offer, seek_list
from harness.datasets.unlabelled import IMAGES
from harness.datasets.youtube_vos import Entrance

VOS, VIS = "youtube-vos-layout", "youtube-vis-layout"
VOS_WORDS = (
    "JPEGImages/<video>/00000.jpg, Annotations/<video>/00000.png, and meta.json where there is one; or the same in a "
    f"folder PART, for {VOS}:PART; or a list, LIST.txt or ImageSets/LIST.txt, for {VOS}:LIST"
)
VIS_WORDS = (
    "TABLE.json in the form of YouTube-VIS, and JPEGImages/<video>/00000.jpg beside it or in the folder TABLE; for "
    f"{VIS}:TABLE where there are several"
)


def open_vos(choice: str, root: Path | None, partial: bool) -> list[Sample]:
    """The videos of a part, or of a list; DataError for everything that is missing or malformed."""
    root = open_root(root, VOS, VOS_WORDS)
    root, listed = _find_part(root, choice)
    frames = root / "JPEGImages"
    meta = root / "meta.json"
    videos = youtube_vos.list_videos(meta) if meta.is_file() else None
    names = listed or sorted(videos or _folders_of(root / "Annotations"), key=natural_key)
    part = youtube_vos.Part(VOS, ".", ".", 0, has_truth=None, suffixes=IMAGES)

    def absence(name: str) -> DataError | None:
        return None if (frames / name).is_dir() else absent(frames / name, f"the frames of {name!r}")

    def open_one(name: str) -> Sample:
        if videos is not None and name not in videos:
            raise DataError.at(meta, found=f"no video {name!r}", expected="every video of the list")
        if videos is None:
            objects = _look_for_entrances(root / "Annotations" / name, name)
        else:
            objects = youtube_vos.entrances(meta, name, videos[name])
        return youtube_vos.open_video(part, root, name, objects, frozenset())

    return open_all(names, absence, open_one, root, partial=partial)


def _find_part(root: Path, choice: str) -> tuple[Path, tuple[str, ...]]:
    """The folder that holds JPEGImages, and the videos of the list that was chosen (none: all)."""
    if choice and (root / choice / "JPEGImages").is_dir():
        return root / choice, ()
    place = root
    if not (root / "JPEGImages").is_dir():
        folders = list_folder(root, "the folders of the layout").values()
        inner = [path for path in folders if (path / "JPEGImages").is_dir()]
        if len(inner) != 1:
            found = f"the parts {', '.join(path.name for path in inner)}" if inner else "no folder JPEGImages"
            hint = f"name one: {VOS}:{inner[0].name}" if inner else VOS_WORDS
            raise DataError.at(root, found=found, expected="one part", hint=hint)
        (place,) = inner
    if not choice:
        return place, ()
    return place, find_list(root if seek_list(root, choice) else place, choice)


def _folders_of(folder: Path) -> list[str]:
    return [name for name, path in list_folder(folder, "one folder of masks a video").items() if path.is_dir()]


def _look_for_entrances(folder: Path, name: str) -> list[Entrance]:
    """The objects of a video as its masks show them: each enters where its id is first seen."""
    from concurrent.futures import ThreadPoolExecutor  # every command imports this file, few get here

    masks = list_images(folder, (".png",), f"the masks of {name!r}")
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(lambda path: set(read_runs(path).ids) - {0, VOID}, masks.values()))
    frames: dict[int, list[str]] = {}
    for stem, ids in zip(masks, seen, strict=True):
        for id_ in sorted(ids):
            frames.setdefault(id_, []).append(stem)
    if not frames:
        raise DataError.at(folder, found=f"{len(masks)} masks without objects", expected="object ids 1, 2, ...")
    return [Entrance(id_, "", tuple(stems)) for id_, stems in sorted(frames.items())]


def open_vis(choice: str, root: Path | None, partial: bool) -> list[Sample]:
    """The videos of a table, in its order; without annotations there is no truth."""
    root = open_root(root, VIS, VIS_WORDS)
    tables = _find_tables(root, choice)
    if len(tables) != 1:
        there = ", ".join(str(table.relative_to(root)) for table in tables)
        hint = f"name one: {VIS}:{tables[0].stem}" if tables else VIS_WORDS
        raise DataError.at(root, found=f"the tables {there}" if tables else "no table", expected="one", hint=hint)
    (table,) = tables
    places = (table.parent, root / table.stem, root / choice, root)
    folder = next((place for place in places if (place / "JPEGImages").is_dir()), root)
    part = youtube_vis.Part(
        VIS, str(folder.relative_to(root)), (str(table.relative_to(root)),), 0, has_truth=None, suffixes=IMAGES
    )
    return youtube_vis.open_part(part, root, partial)


def _find_tables(root: Path, choice: str) -> list[Path]:
    if choice:
        named = (choice, f"{choice}.json", f"annotations/{choice}.json", f"{choice}/instances.json")
        return [path for place in named if (path := root / place).is_file() and path.is_relative_to(root)][:1]
    return sorted(root.glob("*.json")) or sorted(root.glob("annotations/*.json")) or sorted(root.glob("*/*.json"))


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Any tree in the layout of YouTube-VOS (MOSE and LVOS have it too) or of YouTube-VIS."""
    title = "Your own videos in the layout of YouTube"
    return [
        offer(VOS, f"{title}-VOS", {"one-shot": YOUTUBE_VOS_OBJECTS}, open_vos, VOS_WORDS),
        offer(VIS, f"{title}-VIS", {"vis": YOUTUBE_VIS}, open_vis, VIS_WORDS),
    ]
