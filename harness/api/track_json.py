"""Tracks as JSON, in the form of YouTube-VIS results: category, score, and one run-length code or null a frame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api.errors import DataError, HarnessError, IncompletePredictions
from harness.api.mask_files import RunLength
from harness.api.plain_files import read_plain
from harness.api.run_lengths import CodedMasks, decode_all
from harness.api.video import Track, Tracks

LARGEST_TRACKS = 1 << 31
"""Bytes; the tracks of the whole YouTube-VIS 2021 test split take some hundred million."""

WRITE_NUMBERS = 'numbers are no texts in JSON: write 3, not "3"'


def read_json(path: Path, expected: str) -> Any:
    """Parse a file of JSON; DataError where it is absent, broken, no JSON, or nested without end."""
    with _name_errors(path, expected):
        return json.loads(_read_text(path))


def read_json_list(path: Path, expected: str) -> Iterator[Any]:
    """The items of a JSON list, parsed one at a time: all at once they take several times the file's size.

    Refuses what ``read_json`` refuses, and what is no list; of a broken file the items before the break come first.
    """
    with _name_errors(path, expected):
        text = _read_text(path)
        at = _skip_space(text, 0)
        if text[at : at + 1] != "[":
            raise DataError.at(path, found=f"a JSON {type(json.loads(text)).__name__}", expected=expected)
        at = _skip_space(text, at + 1)
        if text[at : at + 1] == "]":
            return
        decoder = json.JSONDecoder()
        while True:
            item, at = decoder.raw_decode(text, at)
            yield item
            at = _skip_space(text, at)
            if text[at : at + 1] != ",":
                break
            at = _skip_space(text, at + 1)
        if text[at : at + 1] != "]" or _skip_space(text, at + 1) != len(text):
            raise json.JSONDecodeError("expected ',' or the end of the list", text, at)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\n", "\r", "\t"):
        at += 1
    return at


def _read_text(path: Path) -> str:
    content = read_plain(path, largest=LARGEST_TRACKS)
    return content.decode(json.detect_encoding(content), "surrogatepass")


@contextmanager
def _name_errors(path: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError.at(path, found="no such file", expected=expected) from error
    except OSError as error:
        raise DataError.at(path, found=f"no readable file ({error.strerror})", expected=expected) from error
    except RecursionError:
        raise DataError.at(path, found="JSON nested too deeply", expected=expected) from None
    except ValueError as error:
        raise DataError.at(path, found=f"no readable JSON ({error})", expected=expected) from error


def read_tracks(path: Path, size: tuple[int, int], length: int, *, deep: bool = True) -> Tracks:
    """The tracks of one video of ``length`` frames of ``size`` (rows, columns), as a run writes them."""
    expected = "a list of {category_id, score, segmentations}"
    entries = read_json(path, expected)
    if not isinstance(entries, list):
        raise DataError.at(path, found=type(entries).__name__, expected=expected)
    return Tracks(
        tuple(
            track_from_json(entry, size, length, where=f"{path}, track {number}", deep=deep)
            for number, entry in enumerate(entries)
        )
    )


def track_from_json(entry: Any, size: tuple[int, int], length: int, *, where: str, deep: bool = True) -> Track:
    """One track; ``where`` names the entry in messages. With ``deep`` every compressed code is decoded and checked.

    IncompletePredictions for fewer masks than frames, DataError for everything else that is malformed.

    >>> code = {"size": [2, 2], "counts": [1, 2, 1]}
    >>> track = track_from_json(
    ...     {"category_id": 3, "score": 1, "segmentations": [None, code]}, (2, 2), 2, where="entry 0")
    >>> track.category, track.score, track.masks[1].decode().tolist()
    (3, 1.0, [[0, 1], [1, 0]])
    """
    expected = "{category_id, score, segmentations}"
    if not isinstance(entry, Mapping):
        raise DataError.at(where, found=type(entry).__name__, expected=expected)
    lost = [key for key in ("category_id", "score", "segmentations") if key not in entry]
    if lost:
        raise DataError.at(where, found=f"no {', '.join(lost)}", expected=expected)
    category = entry["category_id"]
    if not isinstance(category, int) or isinstance(category, bool):
        hint = WRITE_NUMBERS if isinstance(category, str) else None
        raise DataError.at(where, found=f"category_id {category!r:.40}", expected="a whole number", hint=hint)
    masks = entry["segmentations"]
    if not isinstance(masks, list) or len(masks) != length:
        found = f"{len(masks)} segmentations" if isinstance(masks, list) else f"segmentations {masks!r:.40}"
        refuse = IncompletePredictions if isinstance(masks, list) and len(masks) < length else DataError
        raise refuse(f"{where}: found {found}, expected {length}, one a frame (null where the object is absent)")
    coded = CodedMasks.of(masks, size)
    if coded is None or (deep and decode_all(coded.texts, size[0] * size[1]).refused >= 0):
        codes = tuple(_mask(masks, frame, size, where, deep=deep) for frame in range(length))  # names what is wrong
        return Track(category, score_from_json(entry["score"], where), codes)
    return Track(category, score_from_json(entry["score"], where), coded)


def track_to_json(track: Track) -> dict[str, Any]:
    """{category_id, score, segmentations} of a track whose masks are run-length codes or None."""
    masks = (None if m is None else {"size": list(m.size), "counts": m.counts.decode("ascii")} for m in track.masks)
    return {"category_id": track.category, "score": track.score, "segmentations": list(masks)}


def segmentation_from_json(value: Any, size: tuple[int, int], *, deep: bool = True) -> RunLength | None:
    """A mask of (rows, columns): null (or empty), compressed or plain run lengths, or polygons.

    Without ``deep`` compressed codes are taken as they are: whoever decodes them finds what is wrong (20 times slower
    than JSON itself otherwise).

    >>> segmentation_from_json([], (2, 2)) is None
    True
    """
    if value in (None, [], {}):
        return None
    expected = '{"size": [rows, columns], "counts": ...}, a list of polygons, or null'
    try:
        if isinstance(value, list):
            return RunLength.from_polygons(size, value)
        found, counts = (int(value["size"][0]), int(value["size"][1])), value["counts"]
        if found != size:
            found_size, wanted = f"{found[1]} x {found[0]} pixels", f"{size[1]} x {size[0]}"
            raise DataError.at("a mask", found=found_size, expected=wanted)
        if isinstance(counts, list):
            return RunLength.from_runs(size, counts)
        code = RunLength(size, counts.encode("ascii"))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise DataError.at("a mask", found=f"a malformed one ({error!r})", expected=expected) from error
    if deep:
        code.runs()
    return code


def score_from_json(value: Any, where: str) -> float:
    """A finite number; DataError names ``where`` otherwise."""
    try:
        score = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        hint = WRITE_NUMBERS if isinstance(value, str) else None
        raise DataError.at(where, found=f"score {value!r:.40}", expected="a finite number", hint=hint)
    return score


def _mask(masks: list[Any], frame: int, size: tuple[int, int], where: str, *, deep: bool) -> RunLength | None:
    try:
        return segmentation_from_json(masks[frame], size, deep=deep)
    except HarnessError as error:
        raise DataError(f"{where}, frame {frame}: {error.message}", hint=error.hint) from error
