"""Files made elsewhere, one a frame: found by names or by what the frame holds, and read without trusting them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.api.errors import DataError

Frame = UInt8[Tensor, "H W 3"]
"""RGB, as ``video[t]`` gives it."""
Around = tuple[Frame, ...]
"""The frames next to one, or none."""


class Place(NamedTuple):
    """Whose frame it is, by the dataset's own names: ``Place("dog", "00010")``."""

    video: str
    frame: str


def content_name(frame: Frame) -> str:
    """16 hex digits of the SHA-256 of a frame's size and pixels: its name where names are made up."""
    height, width, _ = frame.shape
    digest = hashlib.sha256(f"{height} {width} ".encode())
    digest.update(frame.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FrameFiles:
    """A folder with a file a frame (or pair of frames): ``VIDEO/FRAME.ext``, or ``content/NAME.ext``.

    A method is not told real names while it runs on a benchmark; then the file is named by `content_name`. Of a pair
    both names are joined by an underscore: ``dog/00010_00011.flo``.
    """

    folder: Path
    suffixes: tuple[str, ...]

    def find(self, frames: Sequence[Frame], places: Sequence[Place] | None) -> Path:
        """The file that belongs to ``frames``; DataError says where it was looked for."""
        if places is None:
            wanted = self.folder / "content" / "_".join(content_name(frame) for frame in frames)
        else:
            wanted = self.folder / places[0].video / "_".join(place.frame for place in places)
        found = [path for suffix in self.suffixes if (path := wanted.with_name(wanted.name + suffix)).is_file()]
        if len(found) == 1:
            return found[0]
        expected = " or ".join(wanted.name + suffix for suffix in self.suffixes)
        told = ", ".join(path.name for path in found) or "nothing"
        raise DataError.at(
            wanted.parent,
            found=told,
            expected=f"one file {expected}",
            hint="docs/providers.md says how files made elsewhere are named",
        )

    def fingerprint(self, video: str) -> str:
        """16 hex digits over name, size and time of every file of ``video``."""
        files = sorted((self.folder / video).glob("*"))
        told = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def read_npy(path: Path, shapes: Collection[tuple[int, ...]]) -> np.ndarray:
    """An array of finite float32 of one of ``shapes``, from a file of floats; memory is taken only for that many."""
    expected = "a .npy of floats, " + " or ".join(map(str, shapes))
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)  # an archive of arrays has none
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy lets through whatever a header that makes no sense leads to
        raise DataError.at(path, found=f"no readable array ({error!s:.200})", expected=expected) from None
    if stored.shape not in shapes or stored.dtype.kind != "f":
        raise DataError.at(path, found=f"{stored.shape} of {stored.dtype}", expected=expected)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes endless, and is refused
        return refuse_endless(path, np.array(stored, np.float32))


def refuse_endless(path: Path, values: np.ndarray) -> np.ndarray:
    """The values of a file; DataError where one is not finite."""
    if not np.isfinite(values).all():
        raise DataError.at(path, found=f"{(~np.isfinite(values)).sum()} values that are not finite", expected="numbers")
    return values
