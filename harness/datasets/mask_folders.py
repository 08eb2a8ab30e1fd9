"""A folder of true masks and nothing else: one folder a video, and in it PNGs, or a folder of PNGs an object (SA-V)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

import numpy as np

from harness.api.contracts import DAVIS_2016_ZERO_SHOT, DAVIS_2017, DAVIS_2017_UNSUPERVISED, Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.file_names import natural_key
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import read_mask, read_mask_header, read_runs
from harness.api.mask_runs import MaskRuns
from harness.api.object_folders import find_object_folders, merge_objects
from harness.api.oddities import some
from harness.api.true_runs import TruthReader
from harness.api.video import Sample
from harness.datasets.files import check_size, list_folder, list_images, open_all, open_root
from harness.datasets.own_trees import find_list, offer

NAME = "truth-folder"
WORDS = "<video>/00000.png, or <video>/<object>/00000.png with masks of one object, 000, 001, ..."


def open_truths(choice: str, root: Path | None, partial: bool) -> list[Sample]:
    """The videos of a folder of masks, by name, or those of the list that was chosen."""
    root = open_root(root, NAME, WORDS)
    names = find_list(root, choice) if choice else _folders_of(root)
    if not names:
        raise DataError.at(root, found="no folder", expected=WORDS)

    def absence(name: str) -> DataError | None:
        return None if (root / name).is_dir() else DataError.at(root / name, found="no such folder", expected="masks")

    return open_all(names, absence, lambda name: _open_video(root / name), root, partial=partial)


def _folders_of(root: Path) -> list[str]:
    folders = [name for name, path in list_folder(root, "one folder of masks a video").items() if path.is_dir()]
    return sorted(folders, key=natural_key)


def _open_video(folder: Path) -> Sample:
    objects = find_object_folders(folder)
    if not objects:
        return MaskFiles(folder.name, _list_masks(folder)).sample()
    by_object = {
        number: MaskFiles(f"{folder.name}/{place.name}", _list_masks(place), is_object=True)
        for number, place in objects.items()
    }
    names = sorted({name for files in by_object.values() for name in files.masks}, key=natural_key)
    return MaskFiles(folder.name, dict.fromkeys(names, folder), by_object).sample()


def _list_masks(folder: Path) -> dict[str, Path]:
    inner = list_folder(folder, "masks")
    if inner and all(path.is_dir() for path in inner.values()):
        raise DataError.at(
            folder,
            found=f"folders alone: {some(inner)}",
            expected=WORDS,
            hint=f"if those are the videos, give {folder} in place of {folder.parent}",
        )
    return list_images(folder, (".png",), f"the masks of {folder.name!r}")


@dataclass(frozen=True)
class MaskFiles:
    """The true masks of one video, or of one object of it, by the name of their frame; the methods a Sample calls.

    ``objects`` holds those of each object where they lie apart, and may overlap.
    """

    name: str
    masks: Mapping[str, Path]
    objects: Mapping[int, MaskFiles] = field(default_factory=dict)
    is_object: bool = False
    """Masks of one object: every value that is not 0 is it, and it is object 1."""

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """(height, width), of the first mask."""
        first = self
        while first.objects:
            first = next(iter(first.objects.values()))
        header = read_mask_header(next(iter(first.masks.values())))
        return header.height, header.width

    def sample(self) -> Sample:
        """The video as the rest of the harness knows it; ``extra["objects_apart"]`` is one sample an object."""
        names = tuple(self.masks)
        extra = {"objects_apart": {id_: files.sample() for id_, files in self.objects.items()}} if self.objects else {}
        return Sample(
            name=self.name,
            length=len(names),
            height=self.size[0],
            width=self.size[1],
            frame_names=names,
            read_frame=self.frame,
            digest=self.digest,
            read_truth=TruthReader(self.truth, self.true_runs),
            truth_frames=tuple(range(len(names))),
            extra={**extra, "masks_only": True, "eval_t": _are_neighbours(names)},
        )

    def frame(self, index: int) -> np.ndarray:
        """DataError: there are none."""
        raise DataError(
            f"{NAME}, video {self.name!r}: found masks only, expected frames",
            hint="to run a method, give a tree with frames: davis17-layout, youtube-vos-layout",
        )

    def truth(self, index: int) -> np.ndarray:
        """The id map of a frame; of an object by itself 0 and 1."""
        name = list(self.masks)[index]
        if not self.objects:
            return self.read(name)
        apart = {number: files.read(name) for number, files in self.objects.items() if name in files.masks}
        return merge_objects(apart, self.size, has_zero=0 in self.objects)

    def true_runs(self, index: int) -> MaskRuns:
        """``truth`` as runs of one id."""
        if self.objects:
            return MaskRuns.of(self.truth(index))
        path = self.masks[list(self.masks)[index]]
        runs = read_runs(path, binary=self.is_object)
        check_size(path, runs.shape, self.size, self.name)
        return runs

    def read(self, name: str) -> np.ndarray:
        """The mask of the frame of that name."""
        mask = read_mask(self.masks[name], binary=self.is_object)
        check_size(self.masks[name], mask.shape, self.size, self.name)
        return mask

    def digest(self) -> str:
        """SHA-256 over the names and bytes of the masks."""
        total = hashlib.sha256()
        for id_, files in sorted(self.objects.items()):
            total.update(f"object {id_} {files.digest()}\n".encode())
        for name, path in self.masks.items() if not self.objects else ():
            content = path.read_bytes()
            total.update(f"{name} {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()


def _are_neighbours(names: tuple[str, ...]) -> bool:
    """Whether each mask is of the frame after the one before: T compares neighbours."""
    if not all(name.isascii() and name.isdigit() for name in names):
        return True
    numbers = [int(name) for name in names]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """What ``harness score --truth`` scores on."""
    return [
        offer(
            NAME,
            "A folder of true masks, without frames: harness score PREDICTIONS --truth DIR --rule NAME",
            {
                "one-shot": DAVIS_2017,
                "object-zvos": DAVIS_2016_ZERO_SHOT,
                "instance-zvos": DAVIS_2017_UNSUPERVISED,
            },
            open_truths,
            WORDS,
        )
    ]
