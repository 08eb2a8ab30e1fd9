"""Masks made elsewhere: one that is absent, or of another size than its video, is told from one that is broken."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness.api.errors import DataError, IncompletePredictions
from harness.api.mask_files import read_mask, read_runs
from harness.api.mask_runs import MaskRuns

Mask = TypeVar("Mask", np.ndarray, MaskRuns)


def read_prediction(path: Path, size: tuple[int, int], *, binary: bool = False) -> np.ndarray:
    """Read one mask made elsewhere; IncompletePredictions where it is absent, DataError where its size is not ``size``.

    ``size`` is (rows, columns) of the video's frames; ``binary`` and every other refusal are ``read_mask``'s.
    """
    return _read_of_size(path, size, functools.partial(read_mask, binary=binary))


def read_predicted_runs(
    path: Path, size: tuple[int, int], *, binary: bool = False, content: bytes | None = None
) -> MaskRuns:
    """As ``read_prediction``, as runs of one id; ``content`` as in ``read_runs``."""
    return _read_of_size(path, size, functools.partial(read_runs, binary=binary, content=content))


def _read_of_size(path: Path, size: tuple[int, int], read: Callable[[Path], Mask]) -> Mask:
    try:
        mask = read(path)
    except DataError as error:
        if path.is_file():
            raise
        raise IncompletePredictions(f"no mask {path}; expected one PNG for each scored frame of the video") from error
    if mask.shape != size:
        raise DataError.at(
            path,
            found=f"a mask of {mask.shape[0]} x {mask.shape[1]} (rows x columns)",
            expected=f"{size[0]} x {size[1]} as the video's frames",
            hint="resize the masks with nearest neighbour",
        )
    return mask
