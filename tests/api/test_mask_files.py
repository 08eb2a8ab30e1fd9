"""Masks survive the disk unchanged, and nothing that is not an id map is read as one."""

import io
import pickle
import struct
import zlib

import hypothesis.extra.numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.api import mask_files
from harness.api.errors import DataError
from harness.api.mask_files import DAVIS_PALETTE, RunLength, read_mask, read_mask_header, write_mask

IDS = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)


def _save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_what_is_written_is_read_back_and_pillow_reads_the_same_ids(tmp_path):
    write_mask(tmp_path / "a.png", IDS)
    assert read_mask(tmp_path / "a.png").tolist() == IDS.tolist()
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert tuple(image.getpalette()) == DAVIS_PALETTE
        assert np.asarray(image).tolist() == IDS.tolist()


def test_a_read_mask_is_writable_and_contiguous(tmp_path):
    write_mask(tmp_path / "a.png", IDS)
    mask = read_mask(tmp_path / "a.png")
    mask[0, 0] = 9
    assert mask.flags.c_contiguous


def test_the_palette_begins_as_the_official_one():
    assert DAVIS_PALETTE[:12] == (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0)
    assert DAVIS_PALETTE[9 * 3 : 9 * 3 + 3] == (191, 0, 0)
    assert DAVIS_PALETTE[22 * 3 :] == tuple(grey for grey in range(22, 256) for _ in range(3))


@pytest.mark.parametrize("filters", ["none", "left", "up", "all"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (17, 31)])
def test_every_row_filter_gives_ids_as_stored(tmp_path, shape, filters):
    ids = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    left = np.diff(ids.astype(np.int16), axis=1, prepend=0)
    up = np.diff(ids.astype(np.int16), axis=0, prepend=0)
    rows = np.zeros((shape[0], shape[1] + 1), np.int16)
    for y in range(shape[0]):
        kind = {"none": 0, "left": 1, "up": 2, "all": y % 3}[filters]
        rows[y, 0], rows[y, 1:] = kind, (ids, left, up)[kind][y]
    (tmp_path / "a.png").write_bytes(_png(shape[1], shape[0], 8, 0, rows.astype(np.uint8).tobytes()))
    assert read_mask(tmp_path / "a.png").tolist() == ids.tolist()


def test_grey_and_interlaced_files_give_ids_as_stored(tmp_path):
    ids = np.random.default_rng(0).integers(0, 256, (17, 31), np.uint8)
    assert read_mask(_save(tmp_path / "grey.png", ids)).tolist() == ids.tolist()
    first_pass_only = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)  # 1 x 1 pixel, Adam7
    (tmp_path / "adam7.png").write_bytes(_png_of(first_pass_only, b"\0\7"))
    assert read_mask(tmp_path / "adam7.png").tolist() == [[7]]


def test_a_one_bit_file_gives_zero_and_one(tmp_path):
    path = _save(tmp_path / "a.png", np.array([[0, 255, 0]], np.uint8), "1")
    assert read_mask(path).tolist() == [[0, 1, 0]]
    assert read_mask(path).dtype == np.uint8


def test_binary_makes_every_non_zero_value_one(tmp_path):
    path = _save(tmp_path / "a.png", np.array([[0, 255, 7]], np.uint8))
    assert read_mask(path, binary=True).tolist() == [[0, 1, 1]]


def _png(width, height, bits, colour, rows):
    return _png_of(struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0), rows)


def _png_of(header, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("mode", "found"),
    [("RGB", "8-bit RGB"), ("RGBA", "8-bit RGBA"), ("LA", "8-bit grey + alpha"), ("I;16", "16-bit grey")],
)
def test_images_that_are_not_id_maps_are_refused_by_kind(tmp_path, mode, found):
    path = tmp_path / "a.png"
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(DataError) as caught:
        read_mask(path)
    assert str(path) in str(caught.value)
    assert f"found a PNG of kind {found}, expected an 8-bit palette or grey PNG" in str(caught.value)
    assert "save the (H, W) array of ids itself, with harness.api.mask_files.write_mask" in caught.value.hint
    with pytest.raises(DataError):
        read_mask_header(path)


def test_four_bit_grey_is_refused_because_readers_would_scale_its_values(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(_png(2, 1, 4, 0, b"\x00\x12"))
    with pytest.raises(DataError, match="4-bit grey"):
        read_mask(path)


@pytest.mark.parametrize("bits", [0, 3, 5, 6, 7])
def test_a_palette_of_no_depth_that_exists_is_refused(tmp_path, bits):
    path = tmp_path / "a.png"
    path.write_bytes(_png(8, 1, bits, 3, bytes(1 + bits)))
    with pytest.raises(DataError, match=f"a PNG of kind {bits}-bit palette"):
        read_mask(path)


@pytest.mark.parametrize("inflate", ["libdeflate", "zlib"])
def test_a_file_cut_anywhere_is_refused(tmp_path, monkeypatch, inflate):
    if inflate == "libdeflate":
        pytest.importorskip("deflate")
    else:
        monkeypatch.setattr(mask_files, "_inflate_rows", mask_files._inflate_with_zlib)
        monkeypatch.setattr(mask_files, "_BadStream", zlib.error)
    path = tmp_path / "a.png"
    write_mask(path, IDS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.png"):
            read_mask(path)
    path.write_bytes(whole)
    assert read_mask(path).tolist() == IDS.tolist()


def test_one_changed_byte_in_any_chunk_is_refused(tmp_path):
    path = tmp_path / "a.png"
    write_mask(path, IDS)
    whole = path.read_bytes()
    for place in (3, 20, 60, whole.index(b"IDAT") + 6, len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError):
            read_mask(path)


@pytest.mark.parametrize("inflate", ["libdeflate", "zlib"])
@pytest.mark.parametrize(("rows", "found"), [(b"\0\1\2", "truncated"), (b"\0\1\2\3" * 2 + b"!", "corrupt")])
def test_pixels_that_are_too_few_or_too_many_are_refused(tmp_path, monkeypatch, inflate, rows, found):
    if inflate == "libdeflate":
        pytest.importorskip("deflate")
    else:
        monkeypatch.setattr(mask_files, "_inflate_rows", mask_files._inflate_with_zlib)
        monkeypatch.setattr(mask_files, "_BadStream", zlib.error)
    path = tmp_path / "a.png"
    path.write_bytes(_png(3, 2, 8, 0, rows))
    with pytest.raises(DataError, match=found):
        read_mask(path)


def test_a_header_that_claims_a_giant_image_is_refused_before_it_is_inflated(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(_png(100_000, 100_000, 8, 0, b"\0" * 100))
    with pytest.raises(DataError, match="100000 x 100000 pixels"):
        read_mask(path)


def test_a_missing_file_an_empty_file_and_a_jpeg_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_mask(tmp_path / "none.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="an empty file"):
        read_mask(tmp_path / "empty.png")
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "JPEG")
    (tmp_path / "jpeg.png").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="a JPEG, whatever its name"):
        read_mask(tmp_path / "jpeg.png")


@pytest.mark.parametrize("mask", [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int64), np.zeros((0, 2), bool)])
def test_writing_something_else_than_a_mask_is_a_programming_error(tmp_path, mask):
    with pytest.raises(ValueError, match="a mask is"):
        write_mask(tmp_path / "a.png", mask)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 33)])
def test_run_lengths_survive_and_equal_pycocotools(shape):
    from pycocotools import mask as coco

    generator = np.random.default_rng(1)
    for share in (0.0, 0.2, 0.9, 1.0):
        mask = (generator.random(shape) < share).astype(np.uint8)
        code = RunLength.encode(mask)
        assert code.counts == coco.encode(np.asfortranarray(mask))["counts"]
        assert code.decode().tolist() == mask.tolist()
        assert RunLength.from_runs(code.size, code.runs().tolist()) == code
        assert pickle.loads(pickle.dumps(code)) == code


def test_long_runs_of_several_digits_survive():
    mask = np.zeros((700, 900), np.uint8)
    mask[3:690, 100:820] = 1
    mask[50, 60] = 1
    assert (RunLength.encode(mask).decode() == mask).all()


@pytest.mark.parametrize(
    "counts", [b"", b"\x00", b"o", RunLength.encode(np.ones((2, 2))).counts[:-1], b"o" * 12 + b"0", b"0O"]
)
def test_malformed_run_lengths_are_refused(counts):
    with pytest.raises(DataError, match="run-length code"):
        RunLength((2, 2), counts).decode()


def test_plain_runs_that_do_not_cover_the_mask_are_refused():
    with pytest.raises(DataError, match=r"add up to 3, expected 2 x 2 = 4"):
        RunLength.from_runs((2, 2), [1, 2])
    with pytest.raises(DataError, match="a negative run"):
        RunLength.from_runs((2, 2), [5, -1])


def test_polygons_are_filled_as_pycocotools_fills_them():
    code = RunLength.from_polygons((6, 8), [[2, 1, 5, 1, 5, 4, 2, 4], [6, 4, 8, 4, 8, 6, 6, 6]])
    expected = np.zeros((6, 8), int)
    expected[1:4, 2:5], expected[4:6, 6:8] = 1, 1
    assert code.decode().tolist() == expected.tolist()
    assert code.area == 9 + 4


@pytest.mark.parametrize("polygons", [[[1, 1, 2]], [[0, 0, 1, 1, 2]]])
def test_polygons_of_half_points_or_too_few_are_refused(polygons):
    with pytest.raises(DataError, match="a polygon"):
        RunLength.from_polygons((4, 4), polygons)


@given(
    hypothesis.extra.numpy.arrays(
        np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 1)
    )
)
def test_any_mask_survives_run_lengths(mask):
    code = RunLength.encode(mask)
    assert code.decode().tolist() == mask.tolist()
    assert code.area == mask.sum()
    assert RunLength.from_runs(code.size, code.runs().tolist()) == code


@given(st.binary(max_size=30))
def test_any_bytes_are_either_whole_run_lengths_or_refused(counts):
    try:
        mask = RunLength((5, 4), counts).decode()
    except DataError:
        return
    assert mask.shape == (5, 4)
