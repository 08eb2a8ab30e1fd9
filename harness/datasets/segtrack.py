"""SegTrack v2: 14 short videos with one to six objects, merged into one, from the official folder tree."""

from __future__ import annotations

from pathlib import Path

from harness.api.contracts import Archive, Benchmark
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.video import Sample
from harness.datasets.files import (
    VideoFiles,
    absent,
    check_same_frames,
    check_size,
    image_size,
    list_folder,
    list_images,
    open_all,
    open_root,
)
from harness.datasets.merged import MERGED_ONE_SHOT, MERGED_ZERO_SHOT, read_thresholded_mask

NAME = "segtrackv2"
URL = "https://web.engr.oregonstate.edu/~lif/SegTrack2/SegTrackv2.zip"
IMAGES = (".bmp", ".png", ".jpg", ".jpeg")
OBJECTS = {
    "bird_of_paradise": 1,
    "birdfall": 1,
    "bmx": 2,
    "cheetah": 2,
    "drift": 2,
    "frog": 1,
    "girl": 1,
    "hummingbird": 2,
    "monkey": 1,
    "monkeydog": 2,
    "parachute": 1,
    "penguin": 6,
    "soldier": 1,
    "worm": 1,
}
"""Objects of each video: Li et al. 2013, "Video Segmentation by Tracking Many Figure-Ground Segments"."""

LAYOUT = (
    "JPEGImages/<video>/*.bmp or .png, GroundTruth/<video>/<same name>.bmp or .png; "
    "with several objects GroundTruth/<video>/1/<same name>, GroundTruth/<video>/2/..."
)


def open_segtrack(root: Path | None, partial: bool) -> list[Sample]:
    """The videos in alphabetical order; DataError for everything that is missing or malformed."""
    root = open_root(root, NAME, LAYOUT)
    folder = root / "JPEGImages"

    def absence(name: str) -> DataError | None:
        return None if (folder / name).is_dir() else absent(folder / name, f"the frames of {name!r}")

    return open_all(tuple(OBJECTS), absence, lambda name: _open_video(root, name), root, partial=partial)


def _open_video(root: Path, name: str) -> Sample:
    folder = root / "JPEGImages" / name
    frames = list_images(folder, IMAGES, f"the frames of {name!r}")
    size = image_size(next(iter(frames.values())))
    layers = []
    for mask_folder in _object_folders(root, name):
        masks = list_images(mask_folder, IMAGES, f"the masks of {name!r}")
        check_same_frames(frames, masks, folder, mask_folder)
        first = masks[next(iter(frames))]
        check_size(first, image_size(first), size, name)
        layers.append(masks)
    truths = {t: tuple(masks[stem] for masks in layers) for t, stem in enumerate(frames)}
    return VideoFiles(
        name=name,
        frames=tuple(frames.values()),
        size=size,
        truths=truths,
        prompts={0: truths[0]},
        read=read_thresholded_mask,
        extra={"is_merged": True},
    ).sample()


def _object_folders(root: Path, name: str) -> list[Path]:
    """The folder of masks, or one folder an object."""
    folder = root / "GroundTruth" / name
    entries = list_folder(folder, f"the masks of {name!r}")
    folders = [path for path in entries.values() if path.is_dir()]
    if not folders:
        return [folder]
    expected = [str(number) for number in range(1, OBJECTS[name] + 1)]
    if [path.name for path in folders] != expected:
        found = ", ".join(path.name for path in folders)
        raise DataError.at(folder, found=f"the folders {found}", expected=f"one an object: {', '.join(expected)}")
    return folders


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """SegTrack v2, whole."""
    return [
        Benchmark(
            name=NAME,
            title="SegTrack v2, objects merged",
            rules={"object-zvos": MERGED_ZERO_SHOT, "one-shot": MERGED_ONE_SHOT},
            open=open_segtrack,
            expected=tuple(OBJECTS),
            licence="non-commercial research (no licence file in the archive; see the homepage)",
            homepage="https://web.engr.oregonstate.edu/~lif/SegTrack2/dataset.html",
            layout=LAYOUT,
            archives=(Archive(URL, strip="SegTrackv2/"),),
        )
    ]
