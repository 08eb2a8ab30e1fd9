"""Masks with a folder an object, as SA-V has them and SAM 2 writes them: ``<video>/000/00000.png`` of object 0."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.api.errors import DataError
from harness.api.file_names import is_left_behind

HIGHEST_ID = 254


def find_object_folders(folder: Path) -> dict[int, Path]:
    """The folders of a video's objects by number; none where it holds masks itself, or other folders.

    DataError for two of one number (``1`` and ``001``), and for a number that no id can be.
    """
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as all_entries:  # which tells folders apart without a look at each
        entries = [entry for entry in all_entries if not is_left_behind(entry.name)]
        folders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    if not folders or any(entry.name.lower().endswith(".png") for entry in entries):
        return {}
    if not all(path.name.isascii() and path.name.isdigit() for path in folders):
        return {}
    found: dict[int, Path] = {}
    for path in folders:
        number = int(path.name)
        if number in found or number > HIGHEST_ID:
            twice = f"the objects {found[number].name} and {path.name}" if number in found else f"object {path.name}"
            raise DataError.at(folder, found=twice, expected=f"a folder an object, 0 to {HIGHEST_ID}, each number once")
        found[number] = path
    return dict(sorted(found.items()))


def merge_objects(masks: Mapping[int, np.ndarray], size: tuple[int, int], *, has_zero: bool) -> np.ndarray:
    """One (H, W) uint8 id map of the masks of several objects; where they overlap the lower id, as SAM 2 has it.

    Ids are the objects' numbers, one more where the video has an object 0 in any frame: it would be background.

    >>> merge_objects({1: np.array([[1, 1, 0]]), 2: np.array([[0, 1, 1]])}, (1, 3), has_zero=False).tolist()
    [[1, 1, 2]]
    """
    merged = np.zeros(size, np.uint8)
    shift = int(has_zero)
    for number in sorted(masks, reverse=True):
        merged[masks[number] != 0] = number + shift
    return merged
