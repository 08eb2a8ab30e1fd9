"""Flow files are found by name or by content, and believed only as far as their bytes reach."""

import numpy as np
import pytest
import torch

from harness.api.errors import DataError
from harness.models.flow import flow_provider
from harness.models.flow.files import FLO_MARK, read_flo, read_flow_npy, write_flo
from harness.models.frame_files import Place, content_name

FLOW = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
FIRST, SECOND = torch.zeros(3, 4, 3, dtype=torch.uint8), torch.ones(3, 4, 3, dtype=torch.uint8)
PLACES = (Place("dog", "00010"), Place("dog", "00011"))


def test_a_flo_file_is_rows_of_dx_dy(tmp_path):
    path = tmp_path / "a.flo"
    body = np.stack([FLOW[0], FLOW[1]], -1).astype("<f4").tobytes()
    path.write_bytes(b"PIEH" + (4).to_bytes(4, "little") + (3).to_bytes(4, "little") + body)
    assert FLO_MARK == b"PIEH"
    assert np.array_equal(read_flo(path, (3, 4)), FLOW)
    write_flo(tmp_path / "b.flo", FLOW)
    assert (tmp_path / "b.flo").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("stored", [FLOW, FLOW.transpose(1, 2, 0), FLOW.astype(np.float16), FLOW.astype(">f8")])
def test_an_npy_file_has_its_axes_either_way_and_any_floats(tmp_path, stored):
    np.save(tmp_path / "a.npy", stored)
    found = read_flow_npy(tmp_path / "a.npy", (3, 4))
    assert found.dtype == np.float32
    assert np.array_equal(found, FLOW)


def test_files_are_found_by_the_names_of_video_and_frames(tmp_path):
    (tmp_path / "dog").mkdir()
    write_flo(tmp_path / "dog" / "00010_00011.flo", FLOW)
    np.save(tmp_path / "dog" / "00011_00010.npy", -FLOW)
    provider = flow_provider(f"files:{tmp_path}")
    assert torch.equal(provider.between(FIRST, SECOND, PLACES), torch.from_numpy(FLOW))
    assert torch.equal(provider.between(SECOND, FIRST, PLACES[::-1]), torch.from_numpy(-FLOW))


def test_where_names_are_made_up_files_are_found_by_what_the_frames_hold(tmp_path):
    (tmp_path / "content").mkdir()
    write_flo(tmp_path / "content" / f"{content_name(FIRST)}_{content_name(SECOND)}.flo", FLOW)
    provider = flow_provider(f"files:{tmp_path}")
    assert torch.equal(provider.between(FIRST, SECOND), torch.from_numpy(FLOW))
    with pytest.raises(DataError, match=f"expected one file {content_name(SECOND)}_{content_name(FIRST)}.flo or"):
        provider.between(SECOND, FIRST)


def test_the_name_of_content_knows_size_and_pixels():
    flat, tall = torch.zeros(2, 6, 3, dtype=torch.uint8), torch.zeros(6, 2, 3, dtype=torch.uint8)
    assert len({content_name(frame) for frame in (flat, tall, flat + 1)}) == 3
    assert content_name(tall.transpose(0, 1)) == content_name(flat)


def test_a_missing_file_and_two_for_one_pair_are_named(tmp_path):
    provider = flow_provider(f"files:{tmp_path}")
    with pytest.raises(DataError, match=r"dog: found nothing, expected one file 00010_00011.flo or 00010_00011.npy"):
        provider.between(FIRST, SECOND, PLACES)
    (tmp_path / "dog").mkdir()
    write_flo(tmp_path / "dog" / "00010_00011.flo", FLOW)
    np.save(tmp_path / "dog" / "00010_00011.npy", FLOW)
    with pytest.raises(DataError, match=r"found 00010_00011\.flo, 00010_00011\.npy"):
        provider.between(FIRST, SECOND, PLACES)


def test_files_that_change_change_the_fingerprint(tmp_path):
    provider = flow_provider(f"files:{tmp_path}")
    (tmp_path / "dog").mkdir()
    empty = provider.fingerprint("dog")
    write_flo(tmp_path / "dog" / "00010_00011.flo", FLOW)
    assert provider.fingerprint("dog") != empty
    assert provider.fingerprint("cat") == empty


def flo(width: int, height: int, body: bytes, mark: bytes = b"PIEH") -> bytes:
    return mark + width.to_bytes(4, "little", signed=True) + height.to_bytes(4, "little", signed=True) + body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "found no .flo file"),
        (b"PIEH", "found no .flo file"),
        (flo(4, 3, bytes(96), b"HEIP"), "found no .flo file"),
        (flo(3, 4, bytes(96)), "found 3 x 4 in 108 bytes, expected 4 x 3, as the frames, in 108 bytes"),
        (flo(-4, -3, bytes(96)), "found -4 x -3"),
        (flo(1 << 30, 1 << 30, bytes(96)), "found 1073741824 x 1073741824"),
        (flo(4, 3, bytes(95)), "found 4 x 3 in 107 bytes"),
        (flo(4, 3, bytes(97)), "found 4 x 3 in 109 bytes"),
        (flo(4, 3, b"\xff" * 96), "24 values that are not finite"),
        (flo(4, 3, np.full(24, 1.7e9, "<f4").tobytes()), "found pixels whose flow is unknown"),
    ],
)
def test_a_flo_file_that_claims_what_it_is_not_is_refused(tmp_path, content, told):
    (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.flo: ") as refused:
        read_flo(tmp_path / "a.flo", (3, 4))
    assert told in refused.value.message


def npy(shape: tuple[int, ...], dtype: str = "<f4", body: bytes = bytes(96)) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no readable array"),
        (b"PK\x03\x04", "no readable array"),
        (npy((2, 3, 4), body=bytes(95)), "no readable array"),
        (npy((1 << 40, 3, 4)), "no readable array"),
        (npy((2, 3, 4), "|O"), "no readable array"),
        (
            npy((2, 3, 5), body=bytes(120)),
            "found (2, 3, 5) of float32, expected a .npy of floats, (2, 3, 4) or (3, 4, 2)",
        ),
        (npy((2, 3, 4), "<i4"), "found (2, 3, 4) of int32"),
        (npy((2, 3, 4), body=b"\xff" * 96), "24 values that are not finite"),
    ],
)
def test_an_npy_file_that_claims_what_it_is_not_is_refused(tmp_path, content, told):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy: ") as refused:
        read_flow_npy(tmp_path / "a.npy", (3, 4))
    assert told in refused.value.message


def test_an_archive_under_the_name_of_an_array_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", FLOW)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match="no readable array"):
        read_flow_npy(tmp_path / "a.npy", (3, 4))
