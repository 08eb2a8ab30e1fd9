"""Masks on disk: strict reading of id-map PNGs, writing of palette PNGs the official toolkits read, run lengths."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.mask_runs import MaskRuns
from harness.api.plain_files import read_head, read_plain
from harness.api.png_rows import undo_filters


def _inflate_with_zlib(stream: bytes, size: int) -> bytes | bytearray:
    """At most ``size`` bytes; zlib.error where the stream holds more, or does not end."""
    engine = zlib.decompressobj()
    rows = engine.decompress(stream, size)
    if not engine.eof and (engine.decompress(engine.unconsumed_tail, 1) or not engine.eof):
        raise zlib.error("more pixels than the header says, or no end")
    return rows


_inflate_rows: Callable[[bytes, int], bytes | bytearray] = _inflate_with_zlib
_deflate_rows: Callable[[bytes], bytes | bytearray] = zlib.compress
_BadStream: type[Exception] = zlib.error
try:
    import deflate

    _inflate_rows, _BadStream = deflate.zlib_decompress, deflate.DeflateError
    _deflate_rows = deflate.zlib_compress
except ImportError:  # a platform without a wheel: zlib gives the same pixels, six and two times slower
    pass

MAX_PIXELS = 1 << 26
"""A header that claims more pixels than this (8192 x 8192) is refused before anything is inflated."""
SMALL = 1 << 15
"""A file of fewer bytes may be kept from the look at its header: to open one takes longer than to read it."""
MAX_BYTES = 2 * MAX_PIXELS
"""A file larger than this is no mask: it is not read."""
LARGEST_IMAGE = 4 * MAX_PIXELS
"""Bytes of a frame's file: three a pixel where nothing is compressed, and a header."""
MAX_OUTLINE = 1 << 20
"""Pixels that the outlines of one mask's polygons may be long in all: filling takes 80 bytes a pixel of them."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_COLOUR_NAMES = {_GREY: "grey", _RGB: "RGB", _PALETTE: "palette", _GREY_ALPHA: "grey + alpha", _RGBA: "RGBA"}
_EXPECTED = "an 8-bit palette or grey PNG (or 1-bit) that holds object ids"

_REPLACE = "replace the file, or write it again"
_WRITE_IDS = (
    "colours, transparency and compression are no ids: save the (H, W) array of ids itself, with "
    "harness.api.mask_files.write_mask or PIL.Image.fromarray(ids.astype('uint8')).save(...)"
)


def _davis_palette() -> tuple[int, ...]:
    """The palette of the DAVIS 2017 PNGs: 22 colours of the Pascal VOC map with 191 for 192, then greys."""
    colours: list[int] = []
    for index in range(22):
        for channel in range(3):
            value = sum(((index >> (channel + 3 * step)) & 1) << (7 - step) for step in range(3))
            colours.append(191 if value == 192 else value)
    return (*colours, *(grey for grey in range(22, 256) for _ in range(3)))


DAVIS_PALETTE: tuple[int, ...] = _davis_palette()
"""768 numbers, R G B of each id."""


class PngHeader(NamedTuple):
    """What the first chunk of a PNG says."""

    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool

    @property
    def kind(self) -> str:
        """In words, for messages: ``8-bit palette``."""
        return f"{self.bits}-bit {_COLOUR_NAMES.get(self.colour, 'unknown colour type')}"

    @property
    def holds_ids(self) -> bool:
        """Whether every stored value is an id as it stands (2- and 4-bit grey would be scaled by readers)."""
        return (self.colour == _PALETTE and self.bits in (1, 2, 4, 8)) or (self.colour == _GREY and self.bits in (1, 8))


def _refuse(
    path: Path, found: str, expected: str = _EXPECTED, cause: BaseException | None = None, hint: str = _REPLACE
) -> NoReturn:
    raise DataError.at(path, found=found, expected=expected, hint=hint) from cause


def _parse_header(path: Path, data: bytes) -> PngHeader:
    if not data:
        _refuse(path, "an empty file")
    if data[:8] != _SIGNATURE:
        is_jpeg = data[:2] == b"\xff\xd8"
        _refuse(path, "a JPEG, whatever its name" if is_jpeg else "a file that is not a PNG", hint=_WRITE_IDS)
    if len(data) < 33 or data[12:16] != b"IHDR":
        _refuse(path, "a truncated PNG (no header)", "a whole PNG")
    width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        _refuse(path, "a corrupt PNG (checksum of chunk IHDR)", "a whole PNG")
    header = PngHeader(width, height, bits, colour, bool(interlace))
    if not 0 < width * height <= MAX_PIXELS:
        _refuse(path, f"a PNG of {width} x {height} pixels", f"between 1 and {MAX_PIXELS} pixels")
    if not header.holds_ids:
        _refuse(path, f"a PNG of kind {header.kind}", hint=_WRITE_IDS)
    return header


def _read_bytes(path: Path, head: int = 0) -> bytes:
    """The file, or its first ``head`` bytes."""
    try:
        return read_head(path, head, largest=MAX_BYTES) if head else read_plain(path, largest=MAX_BYTES)
    except FileNotFoundError as error:
        raise DataError.at(path, found="no such file", expected="a mask PNG") from error
    except OSError as error:
        raise DataError.at(path, found=f"an unreadable file ({error.strerror})", expected="a mask PNG") from error


def read_mask_header(path: Path) -> PngHeader:
    """Check the first bytes of a mask PNG and return its header; raise DataError as ``read_mask`` does."""
    return _parse_header(path, _read_bytes(path, 33))


def read_small_mask(path: Path) -> tuple[PngHeader, bytes | None]:
    """The header as ``read_mask_header``, and what a reader may be given in place of reading a small file again."""
    start = _read_bytes(path, SMALL)
    return _parse_header(path, start), start if len(start) < SMALL else None


def _inflate(path: Path, stream: bytes, size: int) -> bytes | bytearray:
    try:
        rows = _inflate_rows(stream, size)
    except _BadStream as error:
        _refuse(path, f"a corrupt PNG (its pixels do not inflate to {size} bytes)", "a whole PNG", error)
    if len(rows) != size:
        _refuse(path, f"a truncated PNG ({len(rows)} of {size} bytes of pixels)", "a whole PNG")
    return rows


def _pixel_stream(path: Path, data: bytes) -> bytes:
    """Walk the chunks behind the header, check length and checksum of each, and join the compressed pixels."""
    parts: list[bytes] = []
    start = 33
    while True:
        length = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        end = start + 12 + length
        if len(kind) < 4 or end > len(data):
            _refuse(path, f"a truncated PNG ({len(data)} bytes, cut in a chunk)", "a whole PNG")
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            _refuse(path, f"a corrupt PNG (checksum of chunk {kind.decode('latin-1')!r})", "a whole PNG")
        if kind == b"IHDR":
            _refuse(path, "a PNG with two headers", "a whole PNG")
        if kind == b"IDAT":
            parts.append(data[start + 8 : end - 4])
        elif kind == b"IEND":
            return parts[0] if len(parts) == 1 else b"".join(parts)
        start = end


def read_mask(path: Path | str, *, binary: bool = False) -> np.ndarray:
    """Read one mask as a (H, W) uint8 id map, exactly as stored: 8-bit palette or grey ids, 1-bit 0 and 1.

    With ``binary`` every value that is not 0 becomes 1 (0/255 grey). RGB, RGBA, 16-bit and 2- or 4-bit grey files,
    and files that are truncated or corrupt in any chunk, raise DataError.
    """
    ids = _PngRows(path).decode()
    return (ids != 0).astype(np.uint8) if binary else ids


def read_runs(path: Path | str, *, binary: bool = False, content: bytes | None = None) -> MaskRuns:
    """The mask that ``read_mask`` reads, as runs of one id; of most files they are found without its pixels.

    ``content`` are the file's bytes, where they are known.
    """
    rows = _PngRows(path, content)
    runs = MaskRuns.of_coded(rows.table) if rows.table is not None and rows.header.bits == 8 else None
    if runs is None:
        runs = MaskRuns.of(rows.decode())
    return runs.binarise() if binary else runs


class _PngRows:
    """A mask PNG, checked and inflated; ``table`` holds its rows as they were coded, None of an interlaced one."""

    def __init__(self, path: Path | str, content: bytes | None = None) -> None:
        self.path = path = path if isinstance(path, Path) else Path(path)
        self._data = _read_bytes(path) if content is None else content
        self.header = _parse_header(path, self._data)
        stream = _pixel_stream(path, self._data)
        self.table: np.ndarray | None = None
        if not self.header.interlaced:
            height, stride = self.header.height, 1 + (self.header.width * self.header.bits + 7) // 8
            inflated = _inflate(path, stream, height * stride)
            self.table = np.frombuffer(inflated, np.uint8).reshape(height, stride)

    def decode(self) -> np.ndarray:
        """The (H, W) uint8 ids; interlaced files, and row filters left undone here, are Pillow's, which knows all."""
        rows = None if self.table is None else undo_filters(self.table)
        if rows is None:
            ids = _decode_with_pillow(self.path, self._data)
            if ids.shape != (self.header.height, self.header.width):
                expected = f"{self.header.height} x {self.header.width} pixels"
                _refuse(self.path, f"a corrupt PNG (its pixels are {ids.shape})", expected)
            return ids
        width, bits = self.header.width, self.header.bits
        if bits == 8:
            return rows
        if bits == 1:
            return np.unpackbits(rows, axis=1, count=width)
        shifts = np.arange(8 - bits, -1, -bits).astype(np.uint8)
        ids = (rows[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
        return np.ascontiguousarray(ids.reshape(self.header.height, -1)[:, :width])


def _decode_with_pillow(path: Path, data: bytes) -> np.ndarray:
    """Interlaced files, and row filters that need machine code where there is none: Pillow knows them all."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image).astype(np.uint8)
    except Exception as error:  # Pillow lets through whatever a chunk that makes no sense leads to
        _refuse(path, f"a corrupt PNG ({error})", "a whole PNG", error)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_mask(path: Path | str, mask: np.ndarray) -> None:
    """Write a (H, W) bool or uint8 id map as ``encode_mask`` has it."""
    Path(path).write_bytes(encode_mask(mask))


def encode_mask(mask: np.ndarray) -> bytes:
    """A (H, W) bool or uint8 id map as 8-bit palette PNG (DAVIS palette, no row filter).

    Same ids give the same bytes as long as the library that compresses is the same.
    """
    if mask.ndim != 2 or 0 in mask.shape or mask.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"a mask is a non-empty (H, W) array of uint8 or bool, not {mask.shape} of {mask.dtype}")
    height, width = mask.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = mask
    return (
        _SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0))
        + _chunk(b"PLTE", bytes(DAVIS_PALETTE))
        + _chunk(b"IDAT", bytes(_deflate_rows(rows.tobytes())))
        + _chunk(b"IEND", b"")
    )


@dataclass(frozen=True)
class RunLength:
    """One binary mask in COCO's compressed run-length code (column by column, background first).

    >>> code = RunLength.encode(np.eye(3, dtype=bool))
    >>> code.size, code.runs().tolist(), int(code.decode().sum())
    ((3, 3), [0, 1, 3, 1, 3, 1], 3)
    """

    size: tuple[int, int]
    counts: bytes

    @classmethod
    def encode(cls, mask: np.ndarray) -> RunLength:
        """Encode a (H, W) mask; every value that is not 0 is object."""
        from pycocotools import mask as coco

        code = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
        return cls(size=(int(code["size"][0]), int(code["size"][1])), counts=code["counts"])

    @classmethod
    def from_runs(cls, size: tuple[int, int], runs: Sequence[int]) -> RunLength:
        """Compress plain run lengths (the uncompressed form in COCO-like JSON)."""
        from pycocotools import mask as coco

        plain = _check_runs(size, np.asarray(runs, np.int64))
        code = coco.frPyObjects({"size": list(size), "counts": plain.tolist()}, *size)
        return cls(size, code["counts"])

    @classmethod
    def from_polygons(cls, size: tuple[int, int], polygons: Sequence[Sequence[float]]) -> RunLength:
        """Fill polygons, each [x, y, x, y, ...], as COCO does, and join them."""
        from pycocotools import mask as coco

        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise DataError.at("a polygon", found="fewer than 3 points, or half a point", expected="[x, y, x, y, ...]")
        plain = [[float(value) for value in polygon] for polygon in polygons]
        if not all(abs(value) <= MAX_PIXELS**0.5 for polygon in plain for value in polygon):
            raise DataError.at("a polygon", found="a point far outside, or none", expected="points of the image")
        outline = sum(_outline(polygon) for polygon in plain)
        if outline > MAX_OUTLINE:
            found = f"an outline of {outline:.0f} pixels"
            raise DataError.at("a polygon", found=found, expected=f"at most {MAX_OUTLINE}")
        code = coco.merge(coco.frPyObjects(plain, *size))
        return cls(size, code["counts"])

    @property
    def area(self) -> int:
        """How many pixels the object has."""
        return int(self.runs()[1::2].sum())

    def runs(self) -> np.ndarray:
        """The run lengths, int64; raise DataError unless they are whole and cover the mask exactly.

        Each number is base 32, lowest digit first, bit 5 = more digits follow, bit 4 of the last digit = sign; from
        the fourth on it is the difference to the number two before (maskApi.c of cocoapi).
        """
        digits = np.frombuffer(self.counts, np.uint8).astype(np.int64) - 48
        if digits.size == 0 or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
            raise DataError.at("a run-length code", found=f"{self.counts[:20]!r}", expected="COCO compressed counts")
        last = np.flatnonzero((digits & 32) == 0)
        first = np.concatenate(([0], last[:-1] + 1))
        place = np.arange(digits.size) - np.repeat(first, last - first + 1)
        if place.max() > 7:
            raise DataError.at("a run-length code", found="a number of more than 8 digits", expected="COCO counts")
        numbers = np.add.reduceat((digits & 31) << (5 * place), first)
        numbers -= np.where(digits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
        runs = numbers.copy()
        runs[1::2] = np.cumsum(numbers[1::2])
        runs[2::2] = np.cumsum(numbers[2::2])
        return _check_runs(self.size, runs)

    def decode(self) -> np.ndarray:
        """The (H, W) uint8 mask of 0 and 1."""
        runs = self.runs()
        return np.repeat((np.arange(runs.size) % 2).astype(np.uint8), runs).reshape(self.size, order="F")


def _outline(polygon: Sequence[float]) -> float:
    """How many steps of one pixel it takes to walk around [x, y, x, y, ...] and back to the start."""
    xs, ys = ([*polygon[axis::2], polygon[axis]] for axis in (0, 1))
    steps = zip(itertools.pairwise(xs), itertools.pairwise(ys), strict=True)
    return sum(1 + max(abs(x1 - x0), abs(y1 - y0)) for (x0, x1), (y0, y1) in steps)


def _check_runs(size: tuple[int, int], runs: np.ndarray) -> np.ndarray:
    height, width = size
    if min(size) < 1 or height * width > MAX_PIXELS:
        raise DataError.at("a run-length code", found=f"size {size}", expected=f"1 to {MAX_PIXELS} pixels")
    if runs.ndim != 1:
        raise DataError.at("a run-length code", found="lists in a list", expected="a list of whole numbers")
    # each by itself first: the sum of longer ones could wrap around to the right number
    if (runs < 0).any() or (runs > height * width).any() or int(runs.sum()) != height * width:
        few = (runs >= 0).all() and (runs <= height * width).all()
        found = f"runs that add up to {int(runs.sum())}" if few else "a negative run, or one longer than the mask"
        raise DataError.at("a run-length code", found=found, expected=f"{height} x {width} = {height * width} pixels")
    return runs


def ids_in(mask: np.ndarray | MaskRuns) -> set[int]:
    """The values a (H, W) uint8 id map holds, 0 and 255 included."""
    return set((mask if isinstance(mask, MaskRuns) else MaskRuns.of(mask)).ids)
