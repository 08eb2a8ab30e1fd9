"""Masks made elsewhere that are odd but not wrong: scored as they are, with a note that names what was seen."""

import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.api.contracts import DAVIS_2017
from harness.api.errors import IncompletePredictions
from harness.api.mask_files import write_mask
from harness.predictions.oddities import find_shift
from harness.predictions.scoring import plan_scoring, score

SEEN = replace(DAVIS_2017, metrics=("share_right",), objects="seen", version="seen/1")
SINGLE = replace(SEEN, objects="single", version="single/1")


@pytest.fixture
def score_notes(tests_tools, tmp_path):
    """Write masks by (video, file name), score them and give (figure, notes)."""

    def score_masks(masks, rule=None, **changes):
        benchmark = tests_tools.tiny_benchmark(**changes)
        for (video, name), mask in masks.items():
            (tmp_path / video).mkdir(exist_ok=True)
            write_mask(tmp_path / video / name, mask)
        catalog = tests_tools.catalog_of(benchmark=benchmark)
        trial = plan_scoring(tmp_path, benchmark, catalog, "one-shot", rule=rule)
        notes = []
        record, _ = score(trial, tmp_path, catalog, workers=1, on_note=notes.append)
        return record.scores["share_right"]["share"].value, notes

    return score_masks


def _perfect(tools, *, first=0, videos=("first", "second"), ending=".png"):
    return {(video, f"{t + first:05d}{ending}"): tools.moving_square(t) for video in videos for t in range(5)}


def test_plain_masks_are_scored_without_a_word(score_notes, tests_tools):
    assert score_notes(_perfect(tests_tools)) == (1, [])


def test_masks_numbered_one_too_high_are_scored_as_they_are_and_told_of_once(score_notes, tests_tools):
    share, (note,) = score_notes(_perfect(tests_tools, first=1))
    assert share == 1 - 6 / 64  # each square is one column off
    assert note.startswith("note: masks numbered 1 too high in 2 videos: first, second; each is scored on the frame of")


def test_a_shift_is_told_of_whole_numberings_only():
    frames = [f"{t:05d}" for t in range(4)]
    assert find_shift(["00001", "00002", "00003", "00004"], frames) == 1
    assert find_shift(["0", "1", "2", "3"], frames) == 0
    assert find_shift(["00000", "00001", "00002", "00003", "00004"], frames) == 0
    assert find_shift(["00002", "00003", "00004", "00006"], frames) == 0
    assert find_shift(["a", "b", "c", "d"], ["b", "c", "d", "e"]) == 0


def test_masks_of_no_frame_and_folders_of_no_video_are_named(score_notes, tests_tools):
    more = {("first", f"{t:05d}.png"): tests_tools.moving_square(0) for t in range(5, 12)}
    share, notes = score_notes(_perfect(tests_tools) | more | _perfect(tests_tools, videos=("frist", "notes")))
    assert share == 1
    assert notes == [
        "note: 2 of the folders of masks belong to no video of tiny: frist, notes; they are not scored",
        "note: masks of frames that the video has not in 1 video: first (00005, 00006, 00007, 00008, 00009 and 2 more)"
        "; they are not scored; name masks as the frames are named",
    ]


def test_folders_of_videos_that_were_not_asked_for_are_not_odd(tests_tools, tmp_path):
    benchmark = tests_tools.tiny_benchmark(expected=("first", "second"))
    for (video, name), mask in _perfect(tests_tools).items():
        (tmp_path / video).mkdir(exist_ok=True)
        write_mask(tmp_path / video / name, mask)
    catalog = tests_tools.catalog_of(benchmark=benchmark)
    notes = []
    trial = plan_scoring(tmp_path, benchmark, catalog, "one-shot", videos=("first",))
    score(trial, tmp_path, catalog, on_note=notes.append)
    assert notes == []


def test_what_systems_leave_behind_is_no_mask(score_notes, tests_tools, tmp_path):
    (tmp_path / "__MACOSX/first").mkdir(parents=True)
    (tmp_path / "__MACOSX/first/._00000.png").write_bytes(b"Mac OS X")
    (tmp_path / "first").mkdir()
    for name in ("._00001.png", "Thumbs.db", ".DS_Store"):
        (tmp_path / "first" / name).write_bytes(b"no mask")
    assert score_notes(_perfect(tests_tools)) == (1, [])


def test_masks_of_another_case_or_spelling_of_accents_are_found(score_notes, tests_tools):
    name = "café"
    masks = _perfect(tests_tools, videos=(unicodedata.normalize("NFD", name),), ending=".PNG")
    assert score_notes(masks, open=lambda root, partial: [tests_tools.tiny_sample(name)]) == (1, [])


def test_ids_with_holes_change_no_figure_and_are_told(score_notes, tests_tools):
    samples = [
        tests_tools.tiny_sample(name, read_truth=lambda t: 3 * tests_tools.moving_square(t)) for name in ("a", "b")
    ]
    masks = {key: 3 * mask for key, mask in _perfect(tests_tools, videos=("a", "b")).items()}
    share, (note,) = score_notes(masks, open=lambda root, partial: samples)
    assert share == 1
    assert note.startswith("note: ids with holes in the first mask in 2 videos: a (3), b (3); rules that count objects")


@pytest.mark.parametrize(
    ("id_", "words"),
    [(255, "(255); a mask of 0 and 255 names no object"), (7, "(7); they count as no object: give each object the id")],
)
def test_ids_that_no_truth_has_are_told(score_notes, tests_tools, id_, words):
    masks = {key: mask * np.uint8(id_) for key, mask in _perfect(tests_tools, videos=("first",)).items()}
    _, (note,) = score_notes(masks, SEEN, open=lambda root, partial: [tests_tools.tiny_sample("first")])
    assert "ids in the masks that no truth has in 1 video: first " + words in note


def test_an_object_that_enters_later_is_no_stranger(score_notes, tests_tools):
    late = tests_tools.tiny_sample("first", read_truth=lambda t: tests_tools.moving_square(t) * np.uint8(t > 3))
    assert score_notes(_perfect(tests_tools, videos=("first",)), SEEN, open=lambda root, partial: [late])[1] == []


def test_grey_levels_of_soft_masks_count_as_object_and_are_told(score_notes, tests_tools, tmp_path):
    masks = _perfect(tests_tools, videos=("first",))
    (tmp_path / "first").mkdir()
    for (video, name), mask in masks.items():
        Image.fromarray(mask * 255 + np.eye(8, dtype=np.uint8)[::-1] * 90 * (1 - mask)).save(tmp_path / video / name)
    one = {"open": lambda root, partial: [tests_tools.tiny_sample("first")]}
    _, (note,) = score_notes({}, SINGLE, **one)
    assert "levels of grey between 0 and 255 in masks of one object in 1 video: first (00002.png: 1 levels)" in note
    for (video, name), mask in masks.items():
        Image.fromarray(mask * 255).save(tmp_path / video / name)
    assert score_notes({}, SINGLE, **one)[1] == []


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ([f"{t + 1:05d}.png" for t in range(5)], r"look numbered 1 too high: rename them"),
        ([f"{t}.png" for t in range(5)], r"digit by digit: 0\.png as 00000\.png, \.\.\."),
        ([f"{t:05d}.jpg" for t in range(5)], r"save masks as PNG \(found \.jpg\)"),
    ],
)
def test_masks_that_lack_only_by_their_names_are_named_with_what_to_do(tests_tools, tmp_path, names, advice):
    rule = replace(SEEN, frames="all")
    benchmark = tests_tools.tiny_benchmark(open=lambda root, partial: [tests_tools.tiny_sample("first")])
    (tmp_path / "first").mkdir()
    for t, name in enumerate(names):
        Image.fromarray(tests_tools.moving_square(t)).save(tmp_path / "first" / name)
    catalog = tests_tools.catalog_of(benchmark=benchmark)
    with pytest.raises(IncompletePredictions) as caught:
        score(plan_scoring(tmp_path, benchmark, catalog, "one-shot", rule=rule), tmp_path, catalog)
    assert re.search(advice, caught.value.hint)


def test_a_truth_of_0_and_255_holds_no_object_and_is_told(score_notes, tests_tools):
    def truth(t):
        return tests_tools.moving_square(t) * np.uint8(255)

    one = [tests_tools.tiny_sample("first", read_truth=truth)]
    _, (note,) = score_notes(_perfect(tests_tools, videos=("first",)), open=lambda root, partial: one)
    assert note == (
        "note: 0 and 255 alone in the first mask in 1 video: first; "
        "255 is void and no object: write 1, 2, ... for the objects"
    )
