"""Any folder of videos or of images, without a truth: what methods that need no masks learn from and run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.api.contracts import DAVIS_2016_ZERO_SHOT, DAVIS_2017_UNSUPERVISED, Benchmark
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.oddities import Oddity, some
from harness.api.video import Sample
from harness.datasets.files import VideoFiles, check_names, image_size, list_folder, list_images, open_all, open_root
from harness.datasets.video_files import SUFFIXES, open_video_file

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm")
VIDEOS_LAYOUT = f"one folder of frames a video, <video>/*.jpg ({', '.join(IMAGES)}), or video files, <video>.mp4"
STILLS_LAYOUT = f"images in one folder, *.jpg ({', '.join(IMAGES)})"


def open_videos(root: Path | None, partial: bool) -> list[Sample]:
    """Every folder of images and every video file of ``root``, by name; there is no list that could be incomplete."""
    root = open_root(root, "unlabelled", VIDEOS_LAYOUT)
    entries = list_folder(root, "folders of frames, or video files")
    videos = [name for name, path in entries.items() if path.is_dir() or path.suffix.lower() in SUFFIXES]
    if not videos:
        images = [name for name in entries if Path(name).suffix.lower() in IMAGES]
        raise DataError.at(
            root,
            found=f"{len(images)} images" if images else "no video",
            expected=VIDEOS_LAYOUT,
            hint="for single images name still-images instead of unlabelled" if images else None,
        )

    def open_one(name: str) -> Sample:
        return open_folder(root / name) if entries[name].is_dir() else open_video_file(root / name)

    first, *others = _open_each(videos, open_one, root)
    strays = [name for name in entries if name not in videos]
    if strays:
        odd = Oddity("files beside the videos that are none", VIDEOS_LAYOUT, some(strays), is_of_set=True)
        first = replace(first, oddities=(*first.oddities, odd))
    return [first, *others]


def open_stills(root: Path | None, partial: bool) -> list[Sample]:
    """Every image of ``root`` as a video of one frame, by name."""
    root = open_root(root, "still-images", STILLS_LAYOUT)
    images = list_images(root, IMAGES, "images")
    return _open_each(list(images), lambda name: _sample(name, [images[name]]), root)


def _open_each(names: Sequence[str], open_one: Callable[[str], Sample], root: Path) -> list[Sample]:
    check_names(names, root)
    return open_all(names, lambda name: None, open_one, root, partial=False)


def open_folder(folder: Path) -> Sample:
    """The video whose frames are the images of a folder, in the order of their numbers."""
    frames = list_images(folder, IMAGES, f"the frames of {folder.name!r}")
    check_names(frames, folder)
    return _sample(folder.name, list(frames.values()))


def _sample(name: str, frames: Sequence[Path]) -> Sample:
    return VideoFiles(name=name, frames=tuple(frames), size=image_size(frames[0]), has_truth=False).sample()


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Sets without a truth: masks are written, nothing is scored."""
    return [
        Benchmark(
            name=name,
            title=title,
            rules={"object-zvos": DAVIS_2016_ZERO_SHOT, "instance-zvos": DAVIS_2017_UNSUPERVISED},
            open=opens,
            scored=False,
            layout=layout,
            manual="these are your own videos: there is nothing to fetch",
        )
        for name, title, opens, layout in (
            ("unlabelled", "Any folder of videos, without masks", open_videos, VIDEOS_LAYOUT),
            ("still-images", "Any folder of images, each a video of one frame", open_stills, STILLS_LAYOUT),
        )
    ]
