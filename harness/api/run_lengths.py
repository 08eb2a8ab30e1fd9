"""Many run-length codes at once: the masks of a track as they stand in JSON, checked and decoded by one loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, no_type_check, overload

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.machine_code import Loops, as_array
from harness.api.mask_files import MAX_PIXELS, RunLength

LOOPS = Loops(__file__)
LONGEST = 7
"""Digits of 5 bits that a run of a mask of 2^26 pixels, or a difference of two, can have."""


@dataclass(frozen=True, eq=False)
class CodedMasks(Sequence[RunLength | None]):
    """The masks of one track, one a frame, all of one size; a code is made into a RunLength when it is looked at.

    ``texts`` holds the compressed codes, empty where the object is absent.
    """

    size: tuple[int, int]
    texts: tuple[bytes, ...]

    @classmethod
    def of(cls, values: Sequence[Any], size: tuple[int, int]) -> CodedMasks | None:
        """The masks of JSON values, each null, or {"size", "counts"} of ``size`` with text or whole numbers.

        None where one is anything else: a polygon, another size, too large, malformed. What codes say is not looked at.
        """
        if size[0] * size[1] > MAX_PIXELS:  # LONGEST holds up to here
            return None
        wanted, texts, plain = list(size), [], []
        for value in values:
            counts = value.get("counts") if type(value) is dict and value.get("size") == wanted else None
            if value is None:
                texts.append("")
            elif type(counts) is str and counts:
                texts.append(counts)
            elif type(counts) is list and counts:
                plain.append((len(texts), counts))
                texts.append("")
            else:
                return None
        together = "\n".join(texts)
        compressed = _compress([counts for _, counts in plain], size[0] * size[1]) if plain else []
        coded = together.encode().split(b"\n") if texts and together.isascii() else []
        if compressed is None or len(coded) != len(texts):
            return None
        for (number, _), text in zip(plain, compressed, strict=True):
            coded[number] = text
        return cls(size, tuple(coded))

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, frame: int) -> RunLength | None: ...
    @overload
    def __getitem__(self, frame: slice) -> Sequence[RunLength | None]: ...
    def __getitem__(self, frame: int | slice) -> RunLength | Sequence[RunLength | None] | None:
        if isinstance(frame, slice):
            return [RunLength(self.size, text) if text else None for text in self.texts[frame]]
        text = self.texts[frame]
        return RunLength(self.size, text) if text else None

    def __iter__(self) -> Iterator[RunLength | None]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self.size, self.texts))


@dataclass(frozen=True)
class Runs:
    """Decoded codes: ``ends[first[k] : first[k + 1]]`` is start, end, start, ... of the object runs of code k.

    ``refused`` is the first code that is malformed, or -1; what follows it is not decoded.
    """

    ends: np.ndarray
    first: np.ndarray
    areas: np.ndarray
    refused: int


def decode_all(texts: Sequence[bytes], pixels: int) -> Runs:
    """Decode compressed codes of masks of ``pixels`` pixels, in column order; an empty text is an empty mask."""
    begins = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=begins[1:])
    text = np.frombuffer(b"".join(texts), np.uint8)
    if not decode.is_compiled:
        return _decode_plain(texts, pixels)
    ends, first, areas = np.empty(len(text), np.int64), np.zeros(len(begins), np.int64), np.zeros(len(texts), np.int64)
    refused = decode(text, len(text), begins, len(texts), pixels, ends, first, areas)
    return Runs(ends[: first[-1]].copy(), first, areas, refused)


def _decode_plain(texts: Sequence[bytes], pixels: int) -> Runs:
    """The same in NumPy, a code at a time; ``RunLength`` refuses what is malformed."""
    ends: list[np.ndarray] = [np.zeros(0, np.int64)]
    areas = np.zeros(len(texts), np.int64)
    for number, text in enumerate(texts):
        try:
            runs = RunLength((pixels, 1), text).runs() if text else ends[0]
        except DataError:
            return Runs(ends[0], np.zeros(len(texts) + 1, np.int64), areas, number)
        areas[number] = runs[1::2].sum()
        ends.append(np.cumsum(runs)[: len(runs) - len(runs) % 2])
    first = np.cumsum([len(of_code) for of_code in ends]).astype(np.int64)
    return Runs(np.concatenate(ends), first, areas, -1)


def _compress(lists: Sequence[list[int]], pixels: int) -> list[bytes] | None:
    """Compressed codes of plain run lengths; None where one is no list of whole numbers that cover the mask."""
    try:
        runs = np.array(list(itertools.chain.from_iterable(lists)))
    except (ValueError, OverflowError):
        return None
    ends = np.cumsum([len(counts) for counts in lists])
    if runs.dtype != np.int64 or runs.ndim != 1 or runs.min() < 0 or runs.max() > pixels:
        return None
    if (np.add.reduceat(runs, ends - [len(counts) for counts in lists]) != pixels).any():
        return None
    begins = np.concatenate(([0], ends))
    text, stops = np.empty(LONGEST * len(runs), np.uint8), np.empty(len(lists), np.int64)
    encode(runs, len(runs), begins, len(lists), text, len(text), stops)
    whole = text.tobytes()
    return [whole[begin:stop] for begin, stop in zip([0, *stops.tolist()], stops.tolist(), strict=False)]


@LOOPS.entry("u1*, i8, i8*, i8, i8, i8*, i8*, i8* -> i8")
@no_type_check
def decode(text, length, begins, codes, pixels, ends, first, areas):
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


@LOOPS.entry("i8*, i8, i8*, i8, u1*, i8, i8* -> i8")
@no_type_check
def encode(runs, size, begins, codes, text, room, stops):
    """Write the compressed codes of plain run lengths one behind the other, and where each stops."""
    runs, begins = as_array(runs, (size,)), as_array(begins, (codes + 1,))
    text, stops = as_array(text, (room,)), as_array(stops, (codes,))
    at = 0
    for code in range(codes):
        for k in range(begins[code], begins[code + 1]):
            number = runs[k]
            if k - begins[code] > 2:
                number -= runs[k - 2]
            is_open = True
            while is_open:
                digit = number & 31
                number >>= 5
                is_open = number != -1 if digit & 16 else number != 0
                text[at] = digit + 32 * is_open + 48
                at += 1
        stops[code] = at
    return 0
