"""YouTube-VOS: objects enter later, each prompt holds only what enters, and meta.json says what must be there."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import write_mask
from harness.datasets.youtube_vos import PARTS, Part, harness_benchmarks, open_part

VAL = Part("tiny-val", "valid", "valid", 1, has_truth=False)
ALL_FRAMES = Part("tiny-val-all", "valid_all_frames", "valid", 1, has_truth=False)
TRAIN = Part("tiny-train", "train", "train", 1, has_truth=True)


def _mask(*ids):
    mask = np.zeros((8, 10), np.uint8)
    for row, id_ in enumerate(ids):
        mask[2 * row, 1:5] = id_
    return mask


def _frames(folder, stems):
    folder.mkdir(parents=True)
    for stem in stems:
        Image.new("RGB", (10, 8), (int(stem), 0, 0)).save(folder / f"{stem}.jpg")


def _meta(folder, objects, name="a1"):
    (folder / "meta.json").write_text(json.dumps({"videos": {name: {"objects": objects}}}))


@pytest.fixture
def tree(tmp_path):
    """One video: object 1 from frame 5, object 2 from frame 15; frame 0 lies before any prompt."""
    stems = ["00000", "00005", "00010", "00015"]
    seen = {"category": "dog", "frames": ["00005", "00010", "00015"]}
    late = {"category": "yeti", "frames": ["00015"]}
    for part, kept in (("valid", ["00005", "00015"]), ("train", stems)):
        _frames(tmp_path / part / "JPEGImages/a1", stems)
        masks = tmp_path / part / "Annotations/a1"
        masks.mkdir(parents=True)
        ids = {"00000": (), "00005": (1,), "00010": (1,), "00015": (1, 2)}
        for stem in kept:
            write_mask(masks / f"{stem}.png", _mask(*ids[stem]))
    _meta(tmp_path / "valid", {"1": seen, "2": late})
    _meta(tmp_path / "train", {"1": seen, "2": {**late, "category": "dog"}})
    return tmp_path


def _problem(part, root, partial=False):
    with pytest.raises(DataError) as caught:
        open_part(part, root, partial)
    return str(caught.value)


def test_the_video_begins_with_the_first_prompt(tree):
    (video,) = open_part(VAL, tree, False)
    assert video.frame_names == ("00005", "00010", "00015")
    assert video.extra["frames_before_first_prompt"] == ("00000",)
    assert video.prompt_frames == (0, 2)
    assert video.read_truth is None


def test_a_later_prompt_holds_only_the_objects_that_enter(tree):
    (video,) = open_part(VAL, tree, False)
    assert np.unique(video.read_prompt(0)).tolist() == [0, 1]
    assert np.unique(video.read_prompt(2)).tolist() == [0, 2]


def test_unseen_objects_are_those_whose_category_the_training_part_lacks(tree):
    (video,) = open_part(VAL, tree, False)
    assert video.extra["categories"] == {1: "dog", 2: "yeti"}
    assert video.extra["unseen"] == (2,)


def test_without_the_training_part_it_is_not_known_which_objects_are_unseen(tree):
    (tree / "train/meta.json").unlink()
    assert "unseen" not in open_part(VAL, tree, False)[0].extra


def test_all_frames_are_read_while_prompts_and_submitted_frames_stay_at_6_fps(tree):
    _frames(tree / "valid_all_frames/JPEGImages/a1", [f"{t:05d}" for t in range(3, 17)])
    (video,) = open_part(ALL_FRAMES, tree, False)
    assert video.frame_names == tuple(f"{t:05d}" for t in range(5, 17))
    assert video.prompt_frames == (0, 10)
    assert video.extra["submitted_frames"] == ("00000", "00005", "00010", "00015")


def test_the_training_part_has_truth_on_annotated_frames(tree):
    (video,) = open_part(TRAIN, tree, False)
    assert [sorted(np.unique(video.read_truth(t)).tolist()) for t in range(3)] == [[0, 1], [0, 1], [0, 1, 2]]
    assert video.extra["unseen"] == ()


def test_the_digest_covers_what_meta_json_says(tree):
    before = open_part(TRAIN, tree, False)[0].digest()
    _meta(tree / "train", {"1": {"frames": ["00005"]}, "2": {"frames": ["00015"]}})
    assert open_part(TRAIN, tree, False)[0].digest() != before


@pytest.mark.parametrize(
    ("part", "missing", "found"),
    [
        (VAL, "valid/Annotations/a1/00015.png", "00015.png: found no such file, expected the mask of an object"),
        (VAL, "valid/JPEGImages/a1/00015.jpg", "00015.jpg: found no such file, expected the frame of 00015.png"),
        (TRAIN, "train/Annotations/a1/00010.png", "00010.png: found no such file, expected the mask of an object"),
        (TRAIN, "train/JPEGImages/a1/00010.jpg", "00010.jpg: found no such file, expected the frame of 00010.png"),
        (TRAIN, "train/meta.json", "meta.json: found no such file, expected a JSON file"),
    ],
)
def test_what_is_missing_is_named(tree, part, missing, found):
    (tree / missing).unlink()
    assert found in _problem(part, tree, partial=True)


def test_without_a_meta_json_the_tree_that_is_needed_is_shown(tree):
    (tree / "train/meta.json").unlink()
    with pytest.raises(DataError) as caught:
        open_part(TRAIN, tree, partial=True)
    assert caught.value.hint == f"a tree like this is needed: {TRAIN.layout}"


def test_a_video_without_frames_is_forgiven_only_if_partial_and_another_is_there(tree):
    meta = json.loads((tree / "train/meta.json").read_text())
    meta["videos"]["b2"] = meta["videos"]["a1"]
    (tree / "train/meta.json").write_text(json.dumps(meta))
    assert "b2: found no such folder, expected the frames of 'b2'" in _problem(TRAIN, tree)
    assert [video.name for video in open_part(TRAIN, tree, True)] == ["a1"]


def test_a_meta_json_that_lists_fewer_videos_than_the_benchmark_has_is_an_error_unless_partial(tree):
    part = replace(TRAIN, size=2)
    assert "found 1 videos, expected all 2" in _problem(part, tree)
    assert len(open_part(part, tree, True)) == 1


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"videos": {}}',
        '{"videos": {"a1": {}}}',
        '{"videos": {"a1": {"objects": {"1": {"frames": []}}}}}',
        '{"videos": {"a1": {"objects": {"255": {"frames": ["00005"]}}}}}',
        '{"videos": {"../a1": {"objects": {"1": {"frames": ["00005"]}}}}}',
    ],
)
def test_a_malformed_meta_json_is_refused(tree, content):
    (tree / "train/meta.json").write_text(content)
    assert "meta.json" in _problem(TRAIN, tree)


def test_only_the_training_part_is_scored_here():
    scored = {benchmark.name: (benchmark.scored, benchmark.videos_expected) for benchmark in harness_benchmarks()}
    assert scored == {
        "youtube-vos18-val": (False, 474),
        "youtube-vos18-val-all-frames": (False, 474),
        "youtube-vos18-train": (True, 3471),
    }
    assert [part.benchmark for part in PARTS] == list(scored)
