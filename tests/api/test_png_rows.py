"""Row filters of PNGs: every one is undone as Pillow does it, by machine code and by the plain loop."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import _PALETTE, _SIGNATURE, DAVIS_PALETTE, _chunk, read_mask
from harness.api.png_rows import undo, undo_filters


def filter_row(ids: np.ndarray, kinds: list[int]) -> np.ndarray:
    """The (H, 1 + W) table of an id map whose row y is filtered by ``kinds[y]``."""
    padded = np.zeros((ids.shape[0] + 1, ids.shape[1] + 1), np.int64)
    padded[1:, 1:] = ids
    left, upper, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    slope = left + upper - corner
    far = np.stack([abs(slope - left), abs(slope - upper), abs(slope - corner)])
    paeth = np.choose(far.argmin(axis=0), [left, upper, corner])
    guesses = [np.zeros_like(left), left, upper, (left + upper) // 2, paeth]
    rows = [(ids[y] - guesses[kind][y]) % 256 for y, kind in enumerate(kinds)]
    return np.column_stack((kinds, np.stack(rows))).astype(np.uint8)


def write_png(path: Path, table: np.ndarray, width: int, bits: int = 8) -> None:
    header = width.to_bytes(4, "big") + len(table).to_bytes(4, "big") + bytes([bits, _PALETTE, 0, 0, 0])
    chunks = (
        (b"IHDR", header),
        (b"PLTE", bytes(DAVIS_PALETTE[: 3 << bits])),
        (b"IDAT", zlib.compress(table.tobytes())),
    )
    path.write_bytes(_SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks) + _chunk(b"IEND", b""))


def id_maps() -> list[np.ndarray]:
    """Noise, and smooth maps with long runs, wider than the blocks that are looked at together."""
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(rng.integers(0, 4, (5, 9)), 3, axis=0), 41, axis=1)[:, :-5]
    high = np.where(smooth > 1, 255, smooth)
    return [rng.integers(0, 256, (13, 70)), smooth, high, np.full((4, 33), 7), rng.integers(0, 3, (3, 1))]


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, "mixed"])
def test_every_filter_is_undone(tmp_path: Path, kind: int | str) -> None:
    for number, ids in enumerate(id_maps()):
        kinds = (
            np.random.default_rng(number).integers(0, 5, len(ids)).tolist() if kind == "mixed" else [kind] * len(ids)
        )
        table = filter_row(ids, kinds)
        rows = np.empty(ids.shape, np.uint8)
        assert undo.function(table, *table.shape, rows) == 1  # the plain loop
        assert (rows == ids).all()
        write_png(tmp_path / "mask.png", table, ids.shape[1])
        found = read_mask(tmp_path / "mask.png")
        assert (found == ids).all()
        assert found.flags.c_contiguous
        with Image.open(io.BytesIO((tmp_path / "mask.png").read_bytes())) as image:
            assert (np.asarray(image) == ids).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 8, 13])
def test_several_pixels_a_byte_are_taken_apart(tmp_path: Path, bits: int, width: int) -> None:
    ids = np.random.default_rng(1).integers(0, 1 << bits, (6, width))
    together = np.zeros((6, -(-width * bits // 8)), np.int64)
    for x in range(width):
        together[:, x * bits // 8] |= ids[:, x] << (8 - bits - x * bits % 8)
    write_png(tmp_path / "mask.png", filter_row(together, [0, 1, 2, 3, 4, 1]), width, bits)
    assert (read_mask(tmp_path / "mask.png") == ids).all()


def test_a_filter_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    table = filter_row(np.ones((3, 4), np.int64), [0, 1, 2])
    table[2, 0] = 5
    assert undo_filters(table) is None
    write_png(tmp_path / "mask.png", table, 4)
    with pytest.raises(DataError, match=r"mask\.png: found a corrupt PNG"):
        read_mask(tmp_path / "mask.png")


def test_without_machine_code_rows_of_one_simple_filter_are_undone_and_others_left_to_pillow(monkeypatch) -> None:
    monkeypatch.setattr(undo, "_run", undo.function)
    ids = id_maps()[1]
    for kind in range(3):
        assert (undo_filters(filter_row(ids, [kind] * len(ids))) == ids).all()
    assert undo_filters(filter_row(ids, [4] * len(ids))) is None
    assert undo_filters(filter_row(ids, [1, 2] + [1] * (len(ids) - 2))) is None
