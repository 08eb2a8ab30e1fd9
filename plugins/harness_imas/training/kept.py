"""Files of what is computed once a video, read back as memory, so that workers share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample

LARGEST_HEADER = 4096
"""Bytes: a file of no more may hold no values at all, which cannot be mapped."""


def open_kept(path: Path, sample: Sample, dtype: type[np.generic], axes: str) -> NDArray[Any]:
    """An array of one entry a frame, of ``axes`` each ("h w"); DataError where the file is not of its video."""
    try:
        found = np.load(path, mmap_mode="r" if path.stat().st_size > LARGEST_HEADER else None, allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise DataError(f"what is kept in {path} cannot be read: {problem}", hint="remove the file") from None
    if found.ndim != 1 + len(axes.split()) or len(found) != sample.length or found.dtype != dtype:
        raise DataError.at(
            path,
            found=f"{found.dtype} of {found.shape}",
            expected=f"{np.dtype(dtype)} of ({sample.length}, {', '.join(axes.split())})",
            hint="remove it",
        )
    return np.asarray(found)
