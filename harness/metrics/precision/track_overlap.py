"""Overlaps of tracks: sums of intersection and area over the frames, from run-length codes, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np

from harness.api.errors import DataError
from harness.api.machine_code import Loops, as_array
from harness.api.mask_files import RunLength
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
        codes = [code for track in tracks for code in track]
        if len(codes) != len(tracks) * frames:
            found = sorted({len(track) for track in tracks})
            raise DataError.at("tracks", found=f"{found} masks a track", expected=f"{frames}, one a frame")
        wrong = next((code for code in codes if code is not None and tuple(code.size) != tuple(size)), None)
        if wrong is not None:
            raise DataError.at("tracks", found=f"a mask of {tuple(wrong.size)}", expected=f"{tuple(size)}")
        decode = _decode_compiled if decode_codes.is_compiled else decode_plain
        ends, first, areas = decode(codes, size[0] * size[1])
        return cls(ends, first, areas.reshape(len(tracks), frames))

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


def decode_plain(
    codes: Masks, pixels: int
) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " F"], Int64[np.ndarray, " C"]]:
    """Ends of all object runs, where each code's begin, and areas, in NumPy; ``runs`` refuses what is malformed."""
    runs = [np.zeros(0, np.int64) if code is None else code.runs() for code in codes]
    ends = [np.cumsum(lengths)[: len(lengths) - len(lengths) % 2] for lengths in runs]
    first = np.concatenate(([0], np.cumsum([len(of_code) for of_code in ends]))).astype(np.int64)
    areas = np.array([lengths[1::2].sum() for lengths in runs], np.int64)
    return np.concatenate([np.zeros(0, np.int64), *ends]), first, areas


def _decode_compiled(
    codes: Masks, pixels: int
) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " F"], Int64[np.ndarray, " C"]]:
    texts = [b"" if code is None else code.counts for code in codes]
    begins = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=begins[1:])
    text = np.frombuffer(b"".join(texts), np.uint8)
    ends, first = np.empty(len(text), np.int64), np.zeros(len(begins), np.int64)
    areas = np.zeros(len(texts), np.int64)
    refused = decode_codes(text, len(text), begins, len(texts), pixels, ends, first, areas)
    empty = (code for code in codes if code is not None and not code.counts)
    wrong = codes[refused] if refused >= 0 else next(empty, None)
    if wrong is not None:
        wrong.runs()  # raises, saying what is malformed
    return ends[: first[-1]].copy(), first, areas


@LOOPS.entry("u1*, i8, i8*, i8, i8, i8*, i8*, i8* -> i8")
@no_type_check
def decode_codes(text, length, begins, codes, pixels, ends, first, areas):
    """Parse all codes; return the first malformed one, or -1.

    Each number is base 32, lowest digit first, bit 5 = more digits follow, bit 4 of the last digit = sign; from the
    fourth on it is the difference to the number two before (cocoapi).
    """
    text = as_array(text, (length,))
    begins, first = as_array(begins, (codes + 1,)), as_array(first, (codes + 1,))
    ends, areas = as_array(ends, (length,)), as_array(areas, (codes,))
    written = 0
    for code in range(codes):
        at, stop = begins[code], begins[code + 1]
        runs, total, before, last, area = 0, 0, 0, 0, 0
        while at < stop:
            number, place, digit = 0, 0, 32
            while digit & 32 and at < stop and place < 8:
                digit = np.int64(text[at]) - 48
                if digit < 0 or digit > 63:
                    return code
                number |= (digit & 31) << (5 * place)
                place += 1
                at += 1
            if digit & 32:
                return code
            if digit & 16:
                number -= 1 << (5 * place)
            if runs > 2:
                number += before
            if number < 0 or number > pixels:
                return code
            before, last = last, number
            total += number
            area += number * (runs % 2)
            ends[written + runs] = total
            runs += 1
        if at > begins[code] and total != pixels:
            return code
        areas[code] = area
        written += runs - runs % 2
        first[code + 1] = written
    return -1


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
