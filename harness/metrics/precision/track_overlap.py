"""Overlaps of tracks: sums of intersection and area over the frames, from run-length codes, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import no_type_check

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.machine_code import Loops, as_array
from harness.api.mask_files import RunLength
from harness.api.run_lengths import CodedMasks, decode_all
from harness.metrics.shapes import Float64, Int64

LOOPS = Loops(__file__)
Masks = Sequence[RunLength | None]
"""One track: a code a frame, None where it is absent."""


@dataclass(frozen=True)
class Tubes:
    """Tracks as runs: ``ends[first[k] : first[k + 1]]``, k = n T + t, is start, end, ... of track n in frame t."""

    ends: Int64[np.ndarray, " E"]
    first: Int64[np.ndarray, " F"]
    areas: Int64[np.ndarray, "N T"]

    @classmethod
    def of(cls, tracks: Sequence[Masks], size: tuple[int, int], frames: int) -> Tubes:
        """Decode tracks of ``frames`` masks of ``size``; DataError where a code does not cover the mask exactly."""
        if any(len(track) != frames for track in tracks):
            found = sorted({len(track) for track in tracks})
            raise DataError.at("tracks", found=f"{found} masks a track", expected=f"{frames}, one a frame")
        texts: list[bytes] = []
        for track in tracks:
            if isinstance(track, CodedMasks):
                _check_size(track.size, size)
                texts.extend(track.texts)
                continue
            for code in track:
                if code is not None:
                    _check_size(code.size, size)
                    code.runs() if not code.counts else None  # raises: an empty code is no mask
                texts.append(b"" if code is None else code.counts)
        runs = decode_all(texts, size[0] * size[1])
        if runs.refused >= 0:
            RunLength(size, texts[runs.refused]).runs()  # raises, saying what is malformed
        return cls(runs.ends, runs.first, runs.areas.reshape(len(tracks), frames))

    def mean_areas(self) -> Float64[np.ndarray, " N"]:
        """The mean area over the frames where the track has one; 0 where it has none."""
        present = np.count_nonzero(self.areas, axis=1)
        return self.areas.sum(axis=1) / np.maximum(present, 1)


def tube_overlaps(
    tubes: Tubes, numbers: Int64[np.ndarray, " D"], truths: Tubes, truth_numbers: Int64[np.ndarray, " G"]
) -> Float64[np.ndarray, "D G"]:
    """Intersection over union of tracks through all frames, for some tracks of each side; 0 where both are empty."""
    inside = np.zeros((len(numbers), len(truth_numbers)), np.int64)
    sides = ((tubes, numbers), (truths, truth_numbers))
    arrays = [
        array
        for side, chosen in sides
        for array in (side.ends, len(side.ends), side.first, len(side.first), side.areas, chosen, len(chosen))
    ]
    intersect(*arrays, tubes.areas.shape[1], inside)
    total = tubes.areas.sum(axis=1)[numbers][:, None] + truths.areas.sum(axis=1)[truth_numbers][None, :]
    return inside / np.maximum(total - inside, 1)


def _check_size(found: tuple[int, int], size: tuple[int, int]) -> None:
    if tuple(found) != tuple(size):
        raise DataError.at("tracks", found=f"a mask of {tuple(found)}", expected=f"{tuple(size)}")


@LOOPS.entry("i8*, i8, i8*, i8, i8*, i8*, i8, i8*, i8, i8*, i8, i8*, i8*, i8, i8, i8* -> i8")
@no_type_check
def intersect(
    ends,
    ends_size,
    first,
    first_size,
    areas,
    numbers,
    found,
    truth_ends,
    truth_ends_size,
    truth_first,
    truth_first_size,
    truth_areas,
    truth_numbers,
    truths,
    frames,
    inside,
):
    """Add up the pixels that both tracks have, over all frames, for every pair; a merge of their runs."""
    ends, first = as_array(ends, (ends_size,)), as_array(first, (first_size,))
    truth_ends, truth_first = as_array(truth_ends, (truth_ends_size,)), as_array(truth_first, (truth_first_size,))
    areas = as_array(areas, (first_size - 1,))
    truth_areas = as_array(truth_areas, (truth_first_size - 1,))
    numbers, truth_numbers = as_array(numbers, (found,)), as_array(truth_numbers, (truths,))
    inside = as_array(inside, (found, truths))
    for d in range(found):
        for g in range(truths):
            for t in range(frames):
                code, truth_code = numbers[d] * frames + t, truth_numbers[g] * frames + t
                if areas[code] > 0 and truth_areas[truth_code] > 0:
                    inside[d, g] += _common(
                        ends,
                        first[code],
                        first[code + 1],
                        truth_ends,
                        truth_first[truth_code],
                        truth_first[truth_code + 1],
                    )
    return 0


@LOOPS.inner
@no_type_check
def _common(ends, a, a_stop, other, b, b_stop):
    """Pixels in the runs ends[a:a_stop] and other[b:b_stop], both start, end, start, end, ..."""
    common = 0
    while a < a_stop and b < b_stop:
        begin, end = max(ends[a], other[b]), min(ends[a + 1], other[b + 1])
        if begin < end:
            common += end - begin
        if ends[a + 1] < other[b + 1]:
            a += 2
        else:
            b += 2
    return common
