"""The predicted masks of one video where they lie: a PNG a frame, or a folder an object as SAM 2 writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.file_names import find_alike
from harness.api.mask_runs import MaskRuns
from harness.api.object_folders import find_object_folders, merge_objects
from harness.api.predicted_masks import read_predicted_runs, read_prediction
from harness.api.video import Sample


@dataclass(frozen=True)
class VideoMasks:
    """Masks by the video's frames; ``objects`` holds the folder of each where they lie apart, and ``begins`` its first.

    Before the first mask of an object there is nothing of it.
    """

    sample: Sample
    place: Path
    objects: Mapping[int, Path]
    begins: Mapping[int, int]
    _entries: frozenset[str] = frozenset()
    """Of the place, as they were when it was looked at: asking for each costs as much as reading it."""
    contents: dict[Path, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of small files that were looked at before: what ``read_runs`` takes, once, in place of opening them again."""
    _paths: dict[int, list[Path]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def find(cls, folder: Path, sample: Sample) -> VideoMasks:
        """Those of ``sample`` in a folder of predictions, in whatever case or spelling of accents."""
        place = find_alike(folder, sample.name)
        objects = find_object_folders(place)
        names = [f"{name}.png" for name in sample.frame_names]
        begins = {
            number: next((t for t, name in enumerate(names) if find_alike(inner, name).is_file()), 0)
            for number, inner in objects.items()
        }
        entries = frozenset(os.listdir(place)) if place.is_dir() else frozenset()
        return cls(sample, place, objects, begins, entries)

    def list_paths(self, frame: int) -> list[Path]:
        """The files that make the mask of a frame, there or not; looked for once."""
        if frame not in self._paths:
            self._paths[frame] = self._find_paths(frame)
        return self._paths[frame]

    def _find_paths(self, frame: int) -> list[Path]:
        name = f"{self.sample.frame_names[frame]}.png"
        if not self.objects:
            return [self.place / name if name in self._entries else find_alike(self.place, name)]
        begun = [number for number in self.objects if self.begins[number] <= frame] or list(self.objects)
        return [find_alike(self.objects[number], name) for number in begun]

    def is_there(self, frame: int) -> bool:
        """Whether every file of a frame is there."""
        return all(path.is_file() for path in self.list_paths(frame))

    def where(self, frame: int) -> Path:
        """What an error about the mask of a frame names."""
        return self.list_paths(frame)[0]

    def read(self, frame: int, *, binary: bool = False) -> np.ndarray:
        """The (H, W) id map of a frame; where objects lie apart, the lower id is seen where they overlap."""
        size = (self.sample.height, self.sample.width)
        if not self.objects:
            return read_prediction(self.where(frame), size, binary=binary)
        if 0 in self.objects and not binary and not self.sample.extra.get("objects_apart"):
            raise DataError.at(
                self.objects[0],
                found="a folder of object 0, which is background in an id map",
                expected="folders named by ids, 001, 002, ...",
                hint="the truth lies in id maps: rename the folders to its ids",
            )
        apart = {int(path.parent.name): read_prediction(path, size, binary=True) for path in self.list_paths(frame)}
        merged = merge_objects(apart, size, has_zero=0 in self.objects)
        return (merged != 0).astype(np.uint8) if binary else merged

    def read_runs(self, frame: int, *, binary: bool = False) -> MaskRuns:
        """``read`` as runs of one id."""
        if not self.objects:
            path, size = self.where(frame), (self.sample.height, self.sample.width)
            return read_predicted_runs(path, size, binary=binary, content=self.contents.pop(path, None))
        return MaskRuns.of(self.read(frame, binary=binary))

    def read_object(self, number: int, name: str) -> np.ndarray:
        """The mask of one object, 0 and 1, in the frame of that name."""
        size = (self.sample.height, self.sample.width)
        if self.objects:
            return read_prediction(self.path_of_object(number, name), size, binary=True)
        found: np.ndarray = (read_prediction(self.path_of_object(number, name), size) == number).astype(np.uint8)
        return found

    def path_of_object(self, number: int, name: str) -> Path:
        """The file with the mask of one object, there or not; DataError for object 0 of an id map."""
        if self.objects:
            return find_alike(self.objects.get(number, self.place / f"{number:03d}"), f"{name}.png")
        if number == 0:
            raise DataError.at(
                self.place,
                found="id maps",
                expected=f"a folder an object: the truth of {self.sample.name!r} has an object 0",
                hint="SAM 2 writes them with --per_obj_png_file",
            )
        return find_alike(self.place, f"{name}.png")
