"""The masks of a track, checked and decoded at once: as one code at a time, compiled and plain."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from harness.api import run_lengths
from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.api.run_lengths import CodedMasks, decode_all
from harness.api.track_json import read_json, read_json_list, track_from_json

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)))


def as_json(mask: np.ndarray, *, plain: bool) -> dict:
    code = RunLength.encode(mask)
    return {"size": list(mask.shape), "counts": code.runs().tolist() if plain else code.counts.decode()}


@settings(deadline=None, max_examples=60)
@given(MASKS)
def test_text_and_whole_numbers_give_the_masks_back(masks: np.ndarray) -> None:
    size = masks.shape[1:]
    codes = [None, *(RunLength.encode(mask) for mask in masks)]
    for plain in (False, True):
        coded = CodedMasks.of([None, *(as_json(mask, plain=plain) for mask in masks)], size)
        assert coded == codes
        assert (coded[0], coded[1], coded[1:]) == (None, codes[1], codes[1:])
        assert hash(coded) == hash(CodedMasks.of([None, *(as_json(mask, plain=False) for mask in masks)], size))


@settings(deadline=None, max_examples=60)
@given(MASKS)
def test_compiled_and_plain_decode_alike_and_as_one_code_does(masks: np.ndarray) -> None:
    texts, pixels = [b"", *(RunLength.encode(mask).counts for mask in masks)], masks[0].size
    compiled, plain = decode_all(texts, pixels), run_lengths._decode_plain(texts, pixels)
    for name in ("ends", "first", "areas"):
        assert (getattr(compiled, name) == getattr(plain, name)).all()
    assert (compiled.refused, plain.refused) == (-1, -1)
    assert compiled.areas.tolist() == [0, *(int(mask.sum()) for mask in masks)]
    for k, mask in enumerate(masks, start=1):
        flat = np.zeros(pixels, bool)
        for start, end in compiled.ends[compiled.first[k] : compiled.first[k + 1]].reshape(-1, 2):
            flat[start:end] = True
        assert (flat.reshape(mask.shape, order="F") == mask).all()


def test_long_runs_compress_as_pycocotools_compresses_them() -> None:
    size, rng = (4096, 4096), np.random.default_rng(0)
    for _ in range(20):
        cuts = np.unique(rng.integers(0, 1 << 24, 9))
        runs = np.diff(np.concatenate(([0], cuts, [1 << 24]))).tolist()
        coded = CodedMasks.of([{"size": list(size), "counts": runs}], size)
        assert coded.texts[0] == coco.frPyObjects({"size": list(size), "counts": runs}, *size)["counts"]


@pytest.mark.parametrize(
    "value",
    [
        {"size": [2, 3], "counts": "04"},
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [-1, 5]},
        {"size": [2, 2], "counts": [1.5, 2.5]},
        {"size": [2, 2], "counts": [[4]]},
        {"size": [2, 2], "counts": [2**70, 1]},
        {"size": [2, 2], "counts": "\u00e9"},
        {"size": [2, 2], "counts": ""},
        {"size": [2, 2]},
        [[0, 0, 2, 0, 2, 2]],
        "04",
        7,
    ],
    ids=repr,
)
def test_what_is_no_simple_code_is_left_to_the_careful_reader(value) -> None:
    assert CodedMasks.of([value], (2, 2)) is None


def test_a_code_that_does_not_fit_is_named_by_its_place() -> None:
    whole, short = b"04", b"03"
    assert decode_all([whole, b"", short, whole], 4).refused == 2
    assert run_lengths._decode_plain([whole, b"", short, whole], 4).refused == 2
    masks = [{"size": [2, 2], "counts": text.decode()} for text in (whole, short)]
    with pytest.raises(DataError, match="entry 3, frame 1: a run-length code"):
        track_from_json({"category_id": 1, "score": 1, "segmentations": masks}, (2, 2), 2, where="entry 3")


@pytest.mark.parametrize("text", ["[]", ' [1, {"a": [2]} ,\n[3],"x,]"]\n', "[null]", "\ufeff[1]"])
def test_a_list_is_read_item_by_item(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert list(read_json_list(tmp_path / "a.json", "a list")) == read_json(tmp_path / "a.json", "a list")


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,", "[1,]", "[1 2]", "[1]]", "[1] x", "7", "[" * 100_000])
def test_what_is_no_whole_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: found"):
        list(read_json_list(tmp_path / "a.json", "a list"))


def test_masks_larger_than_any_mask_may_be_are_left_to_who_refuses_them():
    side = 1 << 18
    assert CodedMasks.of([{"size": [side, side], "counts": [side * side]}], (side, side)) is None
