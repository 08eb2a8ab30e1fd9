"""Frames decoded once for a whole training: uint8, in memory that all batch workers share, bounded.

The memory is anonymous and mapped before workers are forked, so what one of them decodes all of them have. Nothing lies
on disk: a file would have to be looked through at each start, cleaned away, and would save a decode only where a
training is taken up again. A frame counts when the checksum beside it is right: a worker that was killed while it
wrote, or is still writing, leaves a frame that is decoded again, and no lock that others wait for.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from harness.api.errors import DataError
from harness.api.video import Sample

Image = UInt8[np.ndarray, "H W 3"]
IS_WRITTEN = 1 << 32
"""Above the 32 bits of a checksum: one that is 0 is told from none."""


def keep_frames(samples: Sequence[Sample], *, limit_mib: int) -> list[Sample]:
    """The same samples, whose frames are decoded once and then read from memory; each read is a copy of its own.

    Frames are kept in the order of the samples until ``limit_mib`` are promised; the others are decoded at each read.
    Memory is taken as frames are written. A frame that has not the size of its sample is a DataError.
    """
    if limit_mib < 0:
        raise ValueError(f"found a limit of {limit_mib} MiB; expected 0 or more")
    room = limit_mib << 20
    kept = []
    for sample in samples:
        size = sample.height * sample.width * 3
        count = min(sample.length, room // size) if size > 0 else 0
        room -= count * size
        kept.append(replace(sample, read_frame=_Frames(sample, count).read) if count else sample)
    return kept


class _Frames:
    """The first ``count`` frames of a video in shared memory."""

    def __init__(self, sample: Sample, count: int) -> None:
        self._sample = sample
        self._shape = (count, sample.height, sample.width, 3)
        self._pixels = np.frombuffer(mmap.mmap(-1, int(np.prod(self._shape))), np.uint8).reshape(self._shape)
        self._sums = np.frombuffer(mmap.mmap(-1, 8 * count), np.uint64)

    def read(self, t: int) -> Image:
        """Frame ``t``, from memory where it is whole there."""
        if not 0 <= t < len(self._sums):
            return self._decode(t)
        written = int(self._sums[t])
        if written:
            frame = self._pixels[t].copy()
            if written == _checksum(frame):
                return frame
        frame = self._decode(t)
        self._pixels[t] = frame
        self._sums[t] = _checksum(frame)
        return frame

    def _decode(self, t: int) -> Image:
        frame = np.ascontiguousarray(self._sample.read_frame(t), np.uint8)
        if frame.shape != self._shape[1:]:
            raise DataError(
                f"video {self._sample.name!r}, frame {t}: found {frame.shape}, expected {self._shape[1:]}, "
                "as its other frames"
            )
        return frame


def _checksum(frame: Image) -> int:
    return IS_WRITTEN | zlib.crc32(frame.data)
