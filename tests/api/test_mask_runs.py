"""Id maps as runs: the same pixels whichever way they were found, by machine code and without."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.api import mask_runs
from harness.api.errors import DataError, IncompletePredictions
from harness.api.mask_files import ids_in, read_mask, read_runs, read_small_mask, write_mask
from harness.api.mask_runs import MaskRuns
from harness.api.predicted_masks import read_predicted_runs
from harness.api.true_runs import TruthReader, read_true_runs
from harness.guarded import guard

NONE, LEFT, UP = range(3)
quick = settings(deadline=None, max_examples=60)


@pytest.fixture(params=["compiled", "plain"])
def form(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(mask_runs.cut_row, "_run", mask_runs.cut_row.function)
        monkeypatch.setattr(mask_runs.cut_table, "_run", mask_runs.cut_table.function)
    elif not mask_runs.cut_row.is_compiled:
        pytest.skip("no machine code here (no Numba, or switched off)")
    with np.errstate(over="ignore"):  # words wrap around
        yield request.param


def draw_again(runs):
    """The map by the runs alone: ``decode`` may know it already."""
    assert runs.starts.dtype == np.int32
    assert runs.values.dtype == np.uint8
    return np.repeat(runs.values, np.diff(runs.starts)).reshape(runs.shape)


def id_map(height, width, top, length, seed):
    """Runs of about one length of ids 0..top."""
    rng = np.random.default_rng(seed)
    flat = np.repeat(rng.integers(0, top + 1, height * width // length + 1), length)[: height * width]
    return np.roll(flat, rng.integers(length)).astype(np.uint8).reshape(height, width)


def code_rows(ids, filters):
    """The rows of a PNG, each with its filter in front."""
    table = np.zeros((ids.shape[0], ids.shape[1] + 1), np.uint8)
    for y, kind in enumerate(filters):
        before = {NONE: 0, LEFT: np.append(np.uint8(0), ids[y, :-1]), UP: ids[y - 1] if y else 0}[kind]
        table[y, 0], table[y, 1:] = kind, ids[y] - before
    return table


maps = st.builds(
    id_map,
    st.integers(1, 12),
    st.integers(1, 400),
    st.sampled_from([1, 3, 255]),
    st.sampled_from([1, 2, 7, 90, 130, 700]),
    st.integers(0, 1 << 32),
)


@quick
@given(maps, st.integers(0, 1 << 32))
def test_runs_of_pixels_and_of_coded_rows_give_the_map_back(ids, seed):
    of_pixels = MaskRuns.of(ids)
    assert (draw_again(of_pixels) == ids).all()
    assert of_pixels.decode() is ids
    changes = np.count_nonzero(np.diff(ids.reshape(-1).astype(int)))
    assert of_pixels.values.size == changes + 1  # no run is cut in two, at the end of a row either
    of_rows = MaskRuns.of_coded(code_rows(ids, np.random.default_rng(seed).integers(NONE, UP, len(ids))))
    if of_rows is not None:  # None: no machine code here
        assert (draw_again(of_rows) == ids).all()
        assert (of_rows.decode() == ids).all()
        assert of_rows.starts.tolist() == of_pixels.starts.tolist()
    assert of_pixels.ids == tuple(sorted(set(ids.ravel().tolist())))
    assert (draw_again(of_pixels.binarise()) == (ids != 0)).all()
    assert set(of_pixels.binarise().ids) == {int(value != 0) for value in of_pixels.ids}


def test_a_change_is_found_wherever_it_lies(form):
    width = 300
    for place in range(width):
        for value in (1, 6, 128, 255):
            ids = np.full((2, width), 5, np.uint8)
            ids[1, place] = value
            starts, values = np.empty(2 * width + 1, np.int32), np.empty(2 * width, np.uint8)
            for kind in (NONE, LEFT):
                count = mask_runs.cut_table(code_rows(ids, [kind, kind]), 2, width + 1, starts, values)
                assert (np.repeat(values[:count], np.diff(starts[: count + 1])).reshape(2, width) == ids).all()
            count = mask_runs.cut_row(ids.reshape(-1), 2 * width, starts, values)
            assert (np.repeat(values[:count], np.diff(starts[: count + 1])).reshape(2, width) == ids).all()
        if form == "plain" and place > 20:
            return  # it takes long


@pytest.mark.parametrize(
    ("mode", "options"),
    [("P", {}), ("P", {"bits": 1}), ("P", {"bits": 2}), ("P", {"bits": 4}), ("L", {}), ("1", {})],
    ids=["palette", "1 bit", "2 bits", "4 bits", "grey, filters of Pillow's choice", "black and white"],
)
def test_files_of_every_kind_are_read_as_their_pixels_are(tmp_path, form, mode, options):
    ids = id_map(33, 61, 2 ** options.get("bits", 8) - 1 if mode != "1" else 1, 5, 0)
    image = Image.fromarray(ids * (255 if mode == "1" else 1), "L").convert("1") if mode == "1" else None
    image = image or Image.fromarray(ids, mode)
    if mode == "P":
        image.putpalette([value // 3 for value in range(768)])
    path = tmp_path / "mask.png"
    image.save(path, **options)
    for binary in (False, True):
        runs, expected = read_runs(path, binary=binary), read_mask(path, binary=binary)
        assert (draw_again(runs) == expected).all()
        assert ids_in(runs) == ids_in(expected)


def test_rows_of_other_filters_are_left_to_those_who_undo_them(tmp_path, form):
    ids = id_map(9, 70, 3, 20, 1)
    assert MaskRuns.of_coded(code_rows(ids, [LEFT] * 8 + [UP])) is None
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8)[:, None], (1, 90)), "L").save(buffer, "PNG")
    (tmp_path / "mask.png").write_bytes(buffer.getvalue())
    assert (draw_again(read_runs(tmp_path / "mask.png")) == read_mask(tmp_path / "mask.png")).all()


def test_what_is_refused_as_pixels_is_refused_as_runs(tmp_path):
    path = tmp_path / "mask.png"
    write_mask(path, id_map(20, 30, 3, 9, 2))
    whole = path.read_bytes()
    broken = [whole[:cut] for cut in range(0, len(whole), 9)] + [whole[:-20] + b"x" + whole[-19:]]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(DataError) as by_pixels:
            read_mask(path)
        with pytest.raises(DataError) as by_runs:
            read_runs(path)
        assert str(by_runs.value) == str(by_pixels.value)
    path.write_bytes(whole)
    assert read_predicted_runs(path, (20, 30)).shape == (20, 30)
    with pytest.raises(DataError, match="a mask of 20 x 30"):
        read_predicted_runs(path, (30, 20))
    with pytest.raises(IncompletePredictions, match="no mask"):
        read_predicted_runs(tmp_path / "other.png", (20, 30))


def test_a_small_file_is_read_once_for_its_header_and_its_runs(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    write_mask(small, id_map(20, 30, 3, 9, 2))
    write_mask(large, id_map(200, 300, 255, 1, 2))
    header, content = read_small_mask(small)
    expected = read_runs(small)
    small.unlink()
    assert (header.height, header.width) == (20, 30)
    assert (draw_again(read_runs(small, content=content)) == draw_again(expected)).all()
    assert (draw_again(read_predicted_runs(small, (20, 30), content=content)) == draw_again(expected)).all()
    header, content = read_small_mask(large)
    assert (header.width, content) == (300, None)
    large.write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="not a PNG"):
        read_small_mask(large)


@pytest.mark.parametrize(
    ("starts", "values"),
    [
        ([0, 3, 6], [1]),
        ([1, 3, 6], [1, 2]),
        ([0, 3, 5], [1, 2]),
        ([0, 4, 4, 6], [1, 2, 3]),
        ([0, 9, 6], [1, 2]),
        ([0, 2**31 - 1, -(2**31) + 7, 6], [1, 1, 1]),
    ],
    ids=[
        "a value too few",
        "not from 0",
        "not to the end",
        "an empty run",
        "beyond the end",
        "differences wrap around",
    ],
)
def test_runs_that_make_no_map_are_refused(starts, values):
    with pytest.raises(ValueError, match="that make no map"):
        MaskRuns((2, 3), np.array(starts, np.int32), np.array(values, np.uint8))


def test_runs_of_another_type_or_of_no_shape_are_refused_and_others_are_the_callers_no_more():
    with pytest.raises(ValueError, match="that make no map"):
        MaskRuns((2, 3), np.array([0, 6], np.int64), np.array([1], np.uint8))
    for shape in ((-2, -3), (2, 3, 1), (0, 0), (1 << 16, 1 << 15)):
        with pytest.raises(ValueError):
            MaskRuns(shape, np.array([0, 6], np.int32), np.array([1], np.uint8))
    starts, values = np.array([0, 2, 6], np.int32), np.array([1, 2], np.uint8)
    runs = MaskRuns((2, 3), starts, values)
    starts[1] = values[0] = 5
    assert runs.decode().tolist() == [[1, 1, 2], [2, 2, 2]]
    with pytest.raises(ValueError, match="read-only"):
        runs.decode()[0, 0] = 9


def test_a_truth_gives_its_runs_only_as_long_as_nobody_puts_another_in_its_place(tests_tools):
    ids, others = id_map(8, 8, 1, 3, 0), id_map(8, 8, 1, 3, 1)
    plain = replace(tests_tools.tiny_sample("first"), read_truth=lambda frame: None if frame else ids)
    assert read_true_runs(plain, 1) is None
    assert (read_true_runs(plain, 0).decode() == ids).all()
    assert read_true_runs(replace(plain, read_truth=None), 0) is None
    reader = TruthReader(plain.read_truth, lambda frame: MaskRuns.of(plain.read_truth(frame)).binarise())
    told = guard(replace(plain, read_truth=reader), "benchmark tiny")
    assert (told.read_truth(0) == ids).all()
    assert (read_true_runs(told, 0).decode() == (ids != 0)).all()
    assert (read_true_runs(replace(told, read_truth=lambda frame: others), 0).decode() == others).all()


@pytest.mark.parametrize("found", [MaskRuns.of(np.zeros((8, 9), np.uint8)), np.zeros((8, 8), np.uint8)])
def test_runs_of_another_size_and_what_is_none_are_the_benchmarks_fault(tests_tools, found):
    sample = replace(tests_tools.tiny_sample("first"), read_truth=TruthReader(lambda frame: None, lambda frame: found))
    with pytest.raises(DataError, match="benchmark tiny, video 'first', truth of frame 0: read_runs gave"):
        read_true_runs(guard(sample, "benchmark tiny"), 0)
