"""What is computed before a round: a file a video, written whole, read as arrays that lie on the disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample, TrainingContext, whole_file
from harness.api.learning import Progress

PathOf = Callable[[Path, Sample], Path]
"""Where the file of a video lies in the folder of a stage."""
MakeFile = Callable[[Sample, Callable[[int], None]], NDArray[Any]]
"""What a file of a video holds, one entry a frame; told how many are done."""


def make_files(context: TrainingContext, path_of: PathOf, make: MakeFile, progress: Progress) -> None:
    """Write the file of each video that has none yet."""
    assert context.artefacts is not None
    total, done = sum(sample.length for sample in context.samples), 0
    for sample in context.samples:
        path = path_of(context.artefacts, sample)
        if not path.exists():
            made = make(sample, partial(_tell, progress, done, total))
            with whole_file(path) as file:
                np.save(file, made)
        done += sample.length
        progress(done, total)


def _tell(progress: Progress, before: int, total: int, frames: int) -> None:
    progress(before + frames, total)


def open_files(
    context: TrainingContext, stage: str, path_of: PathOf, dtype: type[np.generic], entry: tuple[int | None, ...]
) -> list[NDArray[Any]]:
    """The files that a stage prepared, memory-mapped, an ``entry`` of that shape a frame; None: any length.

    DataError where a file cannot be read or is not of its video.
    """
    found = []
    for sample in context.samples:
        path = path_of(context.artefacts_of(stage), sample)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise DataError(f"{path} cannot be read: {problem}", hint="remove the file") from None
        wanted = (sample.length, *entry)
        fits = len(array.shape) == len(wanted) and all(
            side is None or side == there for side, there in zip(wanted, array.shape, strict=True)
        )
        if not fits or array.dtype != dtype:
            sides = ", ".join("any" if side is None else str(side) for side in wanted)
            expected = f"{np.dtype(dtype)} of ({sides})"
            raise DataError.at(path, found=f"{array.dtype} of {array.shape}", expected=expected, hint="remove it")
        found.append(array)
    return found


def label_path(folder: Path, sample: Sample) -> Path:
    """Where the labels of a video lie."""
    return folder / f"labels-{sample.digest()[:16]}.npy"


def masks_path(folder: Path, sample: Sample) -> Path:
    """Where the initial maps of a video lie, on the pixels that the network looks at."""
    return folder / f"masks-{sample.digest()[:16]}.npy"


def maps_path(folder: Path, sample: Sample) -> Path:
    """Where the trunk's maps of a video lie."""
    return folder / f"maps-{sample.digest()[:16]}.npy"
