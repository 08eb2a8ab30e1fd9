"""FBMS-59: moving objects on a few annotated frames a video, merged into one, from the official folder tree."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import numpy as np

from harness.api.contracts import Archive, Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.video import Sample
from harness.datasets.files import (
    VideoFiles,
    absent,
    check_size,
    image_size,
    list_folder,
    list_images,
    open_all,
    open_root,
    read_image,
    read_lines,
)
from harness.datasets.merged import MERGED_ZERO_SHOT

URL = "https://lmb.informatik.uni-freiburg.de/resources/datasets/fbms"

# fmt: off
TEST = (
    "camel01", "cars1", "cars10", "cars4", "cars5", "cats01", "cats03", "cats06", "dogs01", "dogs02", "farm01",
    "giraffes01", "goats01", "horses02", "horses04", "horses05", "lion01", "marple12", "marple2", "marple4",
    "marple6", "marple7", "marple9", "people03", "people1", "people2", "rabbits02", "rabbits03", "rabbits04",
    "tennis",
)
TRAIN = (
    "bear01", "bear02", "cars2", "cars3", "cars6", "cars7", "cars8", "cars9", "cats02", "cats04", "cats05",
    "cats07", "ducks01", "horses01", "horses03", "horses06", "lion02", "marple1", "marple10", "marple11",
    "marple13", "marple3", "marple5", "marple8", "meerkats01", "people04", "people05", "rabbits01", "rabbits05",
)
# fmt: on
"""The 30 + 29 videos: Ochs, Malik and Brox 2014; as listed by RCF-UnsupVideoSeg d19a22fc."""


@dataclass(frozen=True)
class Part:
    """Test or training part: its folder in the official archive and its videos."""

    benchmark: str
    folder: str
    videos: tuple[str, ...]

    @property
    def layout(self) -> str:
        """The folders, in words."""
        return f"{self.folder}/<video>/*.jpg, {self.folder}/<video>/GroundTruth/*Def.dat with its .pgm or .ppm files"


PARTS = (Part("fbms59", "Testset", TEST), Part("fbms59-train", "Trainingset", TRAIN))


@dataclass(frozen=True)
class Definition:
    """What a *Def.dat file says: the colour of each region (the first is background), and (frame, mask) file names."""

    colours: tuple[int, ...]
    frames_in_all: int
    annotated: tuple[tuple[int, str, str], ...]
    """(0-based frame number, mask file, frame file)."""


def read_definition(path: Path) -> Definition:
    """Parse a definition file; the penalty matrix in it is not used."""
    lines = (line.strip() for line in read_lines(path) if line.strip())
    try:
        _after(lines, "Total number of regions")
        colours = tuple(int(next(lines)) for _ in range(int(next(lines))))
        _after(lines, "Total number of frames")
        frames_in_all = int(next(lines))
        _after(lines, "Total number of labeled frames")
        annotated = []
        for _ in range(int(next(lines))):
            _after(lines, "Frame number")
            number = int(next(lines))
            _after(lines, "File name")
            mask = PureWindowsPath(next(lines)).name
            _after(lines, "Input file name")
            annotated.append((number, mask, PureWindowsPath(next(lines)).name))
    except (StopIteration, ValueError) as error:
        raise DataError.at(path, found=f"a malformed definition ({error!r})", expected="regions and frames") from error
    if not colours or not annotated:
        raise DataError.at(path, found=f"{len(colours)} regions, {len(annotated)} frames", expected="at least one each")
    return Definition(colours, frames_in_all, tuple(annotated))


def _after(lines: Iterator[str], heading: str) -> None:
    while not next(lines).startswith(heading):
        pass


@dataclass(frozen=True)
class RegionReader:
    """Reads a region image as one object: every listed colour but the first, which is background.

    A colour that no definition lists is background, as in the official MoSeg evaluation (cats04 has such pixels).
    """

    objects: tuple[int, ...]

    def __call__(self, path: Path) -> np.ndarray:
        """The (H, W) uint8 mask of a .pgm (grey value) or .ppm (red * 65536 + green * 256 + blue) file."""
        if path.suffix == ".pgm":
            values = read_image(path, "L").astype(np.int64)
        else:
            values = read_image(path, "RGB").astype(np.int64) @ np.array([65536, 256, 1])
        return np.isin(values, self.objects).astype(np.uint8)


def open_part(part: Part, root: Path | None, partial: bool) -> list[Sample]:
    """The videos in alphabetical order; DataError for everything that is missing or malformed."""
    root = open_root(root, part.benchmark, part.layout)
    folder = root / part.folder

    def absence(name: str) -> DataError | None:
        return None if (folder / name).is_dir() else absent(folder / name, f"the frames of {name!r}")

    return open_all(part.videos, absence, lambda name: _open_video(folder / name), root, partial=partial)


def _open_video(folder: Path) -> Sample:
    name = folder.name
    frames = list_images(folder, (".jpg",), f"the frames of {name!r}")
    mask_folder = folder / "GroundTruth"
    files = list_folder(mask_folder, f"the masks of {name!r}")
    definitions = [path for path in files.values() if path.suffix == ".dat"]
    if len(definitions) != 1:
        raise DataError.at(mask_folder, found=f"{len(definitions)} definitions", expected="one *Def.dat")
    definition = read_definition(definitions[0])
    if len(frames) < definition.frames_in_all:
        raise DataError.at(folder, found=f"{len(frames)} frames", expected=f"{definition.frames_in_all}")
    size = image_size(next(iter(frames.values())))
    place = {stem: t for t, stem in enumerate(frames)}
    truths = {}
    for number, mask, frame in definition.annotated:
        t = place.get(Path(frame).stem, number)
        if not 0 <= t < len(frames):
            raise DataError.at(folder / frame, found="no such file", expected=f"frame {number} of {name!r}")
        if mask not in files:
            raise DataError.at(mask_folder / mask, found="no such file", expected=f"the mask of {frame}")
        check_size(files[mask], image_size(files[mask]), size, name)
        truths[t] = (files[mask],)
    return VideoFiles(
        name=name,
        frames=tuple(frames.values()),
        size=size,
        truths=truths,
        read=RegionReader(definition.colours[1:]),
        facts=repr(definition),
        extra={"is_merged": True},
    ).sample()


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """FBMS-59: the test set the papers report, and the training set."""
    return [
        Benchmark(
            name=part.benchmark,
            title=f"FBMS-59 {part.folder.removesuffix('set').lower()} set, objects merged",
            rules={"object-zvos": MERGED_ZERO_SHOT},
            open=functools.partial(open_part, part),
            expected=part.videos,
            licence="research only (no licence file in the archive; see the homepage)",
            homepage="https://lmb.informatik.uni-freiburg.de/resources/datasets/moseg.en.html",
            layout=part.layout,
            archives=(Archive(f"{URL}/FBMS_{part.folder}.zip"),),
        )
        for part in PARTS
    ]
