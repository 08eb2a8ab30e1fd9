"""Mutated mask PNGs, run-length codes and polygons: an id map of the size said, or a refusal that names the file."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import MAX_PIXELS, RunLength, encode_mask, ids_in, read_mask, read_mask_header
from harness.api.track_json import segmentation_from_json
from harness.metrics.precision.track_overlap import Tubes

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
SIGNATURE = b"\x89PNG\r\n\x1a\n"
HUGE = [0, 1, 7, 2**16, 2**26, 2**31 - 1, 2**31, 2**32 - 1]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def pillow_png(mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(7, 9) % 3).convert(mode)
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


MASK = (np.arange(63, dtype=np.uint8).reshape(7, 9) % 3).astype(np.uint8)
SEEDS = [
    encode_mask(MASK),
    pillow_png("L"),
    pillow_png("1"),
    pillow_png("P", bits=2),
    pillow_png("RGB"),
    pillow_png("RGBA"),
]
HEADERS = st.builds(
    lambda width, height, rest: struct.pack(">II", width, height) + bytes(rest),
    st.one_of(st.integers(1, 20), st.sampled_from(HUGE)),
    st.one_of(st.integers(1, 20), st.sampled_from(HUGE)),
    st.tuples(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 255]), st.sampled_from([0, 1, 2, 3, 4, 6, 9]))
    .flatmap(lambda two: st.tuples(st.just(two[0]), st.just(two[1]), st.integers(0, 2), st.integers(0, 2)))
    .flatmap(lambda four: st.tuples(*map(st.just, four), st.sampled_from([0, 0, 1, 2]))),
)
STREAMS = st.one_of(
    st.binary(max_size=80).map(zlib.compress),
    st.integers(0, 4000).map(lambda size: zlib.compress(b"\x01" * size)),
    st.just(zlib.compress(bytes(1 << 22))),  # four MiB of nothing in four KiB
    st.binary(max_size=40),
)
ANCILLARY = st.tuples(
    st.sampled_from(
        [b"tRNS", b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"PLTE"]
    ),
    st.one_of(st.binary(max_size=40), STREAMS.map(lambda stream: b"key\0\0" + stream)),
)


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """A PNG with some chunks replaced, added, dropped or doubled, checksums right; or with some bytes changed."""
    chunks = chunks_of(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(chunks) - 1))
        match draw(st.sampled_from(["header", "second header", "pixels", "more", "drop", "twice"])):
            case "header":
                chunks[0] = (chunks[0][0], draw(HEADERS))
            case "second header":
                chunks.insert(place + 1, (b"IHDR", draw(HEADERS)))
            case "pixels":
                chunks = [(kind, draw(STREAMS) if kind == b"IDAT" else body) for kind, body in chunks]
            case "more":
                chunks.insert(place + 1, draw(ANCILLARY))
            case "drop" if len(chunks) > 1:
                chunks.pop(place)
            case "twice":
                chunks.insert(place, chunks[place])
    png = SIGNATURE + b"".join(chunk(kind, body) for kind, body in chunks)
    return draw(st.one_of(st.just(png), spoilt(png)))


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes cut, or with a few of them changed."""
    if draw(st.booleans()):
        return content[: draw(st.integers(0, len(content)))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


@pytest.fixture(scope="module")
def mask_path(tmp_path_factory):
    return tmp_path_factory.mktemp("masks") / "00000.png"


@FUZZ
@given(content=pngs(), binary=st.booleans())
def test_a_mutated_png_is_an_id_map_or_refused(mask_path, value_or_refusal, content, binary):
    mask_path.write_bytes(content)
    header = value_or_refusal(lambda: read_mask_header(mask_path), mask_path, DataError)
    mask = value_or_refusal(lambda: read_mask(mask_path, binary=binary), mask_path, DataError)
    if mask is None:
        return
    assert header is not None
    assert mask.dtype == np.uint8
    assert mask.shape == (header.height, header.width)
    assert not binary or ids_in(mask) <= {0, 1}


def test_the_seeds_that_hold_ids_are_read(mask_path):
    for content in SEEDS[:4]:
        mask_path.write_bytes(content)
        assert read_mask(mask_path).shape == MASK.shape


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("side", [8192, 8193, 60000, 2**31 - 1])
def test_a_header_of_many_pixels_takes_no_memory_for_them(mask_path, value_or_refusal, side, interlace):
    header = struct.pack(">IIBBBBB", side, side, 8, 3, 0, 0, interlace)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    mask_path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    assert value_or_refusal(lambda: read_mask(mask_path), mask_path, DataError) is None


def test_a_second_header_cannot_change_the_size(mask_path, value_or_refusal):
    for side in (3, 9000, 20000):
        second = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 2, 3, 0, 0, 0))
        kinds = chunks_of(SEEDS[3])
        parts = [chunk(kind, body) for kind, body in kinds]
        mask_path.write_bytes(SIGNATURE + parts[0] + second + b"".join(parts[1:]))
        assert value_or_refusal(lambda: read_mask(mask_path), mask_path, DataError) is None


def test_a_file_larger_than_any_mask_is_not_read_whole(mask_path, value_or_refusal):
    with mask_path.open("wb") as file:
        file.write(SEEDS[0])
        file.truncate(1 << 40)  # a hole: it takes no room on the disk
    assert value_or_refusal(lambda: read_mask(mask_path), mask_path, DataError) is None
    mask_path.unlink()


def code_of(numbers: list[int]) -> bytes:
    """COCO's compressed form of any whole numbers, also of what no encoder would write."""
    text = bytearray()
    for place, number in enumerate(numbers):
        left = number - numbers[place - 2] if place > 2 else number
        while True:
            digit, left = left & 31, left >> 5
            is_last = left == (-1 if digit & 16 else 0)
            text.append(48 + (digit if is_last else digit | 32))
            if is_last:
                break
    return bytes(text)


RUNS = st.lists(st.one_of(st.integers(0, 64), st.integers(-(2**63), 2**63), st.sampled_from(HUGE)), max_size=20)
COUNTS = st.one_of(
    RUNS.map(code_of),
    st.binary(max_size=40),
    st.text("0123456789:;<=>?@PQRSTUVWXYZ[\\]^_`oO", max_size=40).map(str.encode),
)


@FUZZ
@given(counts=COUNTS)
def test_a_mutated_code_is_a_mask_or_refused(counts):
    code = RunLength((8, 8), counts)
    try:
        mask = code.decode()
    except DataError:
        with pytest.raises(DataError, match="run-length"):
            Tubes.of([[code]], (8, 8), 1)
        return
    assert mask.shape == (8, 8)
    assert int(mask.sum()) == code.area == int(Tubes.of([[code]], (8, 8), 1).areas[0, 0])


def test_runs_whose_sum_wraps_around_are_refused():
    wrapping = [2**62, 2**62, 2**62, 2**62, 64]  # 2**64 + 64, which is 64 in int64
    with pytest.raises(DataError, match="run-length"):
        RunLength.from_runs((8, 8), wrapping)
    ramp = [0, 0, 0]  # compressed, each number is a difference of at most 8 digits: a ramp reaches any height
    needless = -(2**64) - 64
    while needless < 0:
        ramp.append(ramp[-2] + 2**38)
        needless += ramp[-1]
    lower, rest = divmod(needless, len(ramp) - 3)
    ramp[3:] = [run - lower - (place >= len(ramp) - 3 - rest) for place, run in enumerate(ramp[3:])]
    assert sum(ramp) == 2**64 + 64
    assert min(ramp) >= 0
    with pytest.raises(DataError, match="longer than the mask"):
        RunLength((8, 8), code_of(ramp)).runs()


POINTS = st.one_of(
    st.floats(-20, 20), st.floats(), st.integers(-(2**70), 2**70), st.sampled_from([8192.0, -8192.0, "1", None, True])
)
SEGMENTS = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=3),
    st.lists(st.lists(POINTS, max_size=9), max_size=3),
    st.lists(st.one_of(st.integers(), st.text(max_size=6), st.none()), max_size=3),
    st.fixed_dictionaries(
        {
            "size": st.one_of(st.just([8, 8]), st.lists(st.integers(), max_size=3), st.floats(), st.none()),
            "counts": st.one_of(
                RUNS,
                st.just([2**62] * 4 + [64]),
                st.lists(RUNS, max_size=3),
                st.lists(st.floats(), max_size=3),
                COUNTS.map(lambda counts: counts.decode("latin-1")),
                st.text(max_size=9),
                st.none(),
                st.integers(),
            ),
        }
    ),
)


@FUZZ
@given(value=SEGMENTS)
def test_a_segmentation_of_any_json_is_a_mask_or_refused(value):
    try:
        code = segmentation_from_json(value, (8, 8))
    except DataError:
        return
    assert code is None or code.decode().shape == (8, 8)


def test_a_polygon_that_walks_to_and_fro_takes_no_memory_for_its_way():
    far = [0.0, 0.0, 8192.0, 8192.0, 0.0, 8192.0, 8192.0, 0.0] * 20_000
    with pytest.raises(DataError, match="polygon"):
        RunLength.from_polygons((8, 8), [far])
    with pytest.raises(DataError, match="polygon"):
        RunLength.from_polygons((8, 8), [far[:400]] * 2_000)


def test_the_largest_mask_there_may_be_is_still_coded():
    code = RunLength.from_runs((8192, 8192), [0, MAX_PIXELS])
    assert code.area == MAX_PIXELS
