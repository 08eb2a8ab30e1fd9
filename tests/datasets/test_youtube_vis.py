"""YouTube-VIS: the table of tracks is checked against the frames, and every form of mask becomes run lengths."""

import json

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.datasets.youtube_vis import Part, harness_benchmarks, open_part

TRAIN = Part("tiny-train", "train", ("train.json", "train/instances.json"), 1, has_truth=True)
VAL = Part("tiny-val", "train", ("valid.json",), 1, has_truth=False)
SQUARE = np.zeros((6, 8), np.uint8)
SQUARE[1:4, 2:5] = 1


def _table(**changes):
    code = RunLength.encode(SQUARE)
    annotation = {
        "id": 7,
        "video_id": 3,
        "category_id": 2,
        "iscrowd": 0,
        "areas": [9, None],
        "segmentations": [{"size": [6, 8], "counts": code.counts.decode()}, None],
    }
    video = {"id": 3, "width": 8, "height": 6, "length": 2, "file_names": ["a1/00000.jpg", "a1/00005.jpg"]}
    annotation.update(changes)
    return {"videos": [video], "categories": [{"id": 2, "name": "panda"}], "annotations": [annotation]}


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "train/JPEGImages/a1"
    folder.mkdir(parents=True)
    for stem in ("00000", "00005"):
        Image.new("RGB", (8, 6)).save(folder / f"{stem}.jpg")
    (tmp_path / "train.json").write_text(json.dumps(_table()))
    return tmp_path


def _problem(tree, part=TRAIN, partial=False):
    with pytest.raises(DataError) as caught:
        open_part(part, tree, partial)
    return str(caught.value)


def test_tracks_come_with_one_run_length_or_none_a_frame(tree):
    (video,) = open_part(TRAIN, tree, False)
    (track,) = video.extra["tracks"]
    assert (track["id"], track["category_id"], track["iscrowd"], track["areas"]) == (7, 2, 0, [9, None])
    assert track["segmentations"][0].decode().tolist() == SQUARE.tolist()
    assert track["segmentations"][1] is None
    assert (video.name, video.frame_names, video.extra["video_id"]) == ("a1", ("00000", "00005"), 3)
    assert video.extra["category_names"] == {2: "panda"}


def test_plain_runs_and_polygons_are_the_same_mask(tree):
    runs = RunLength.encode(SQUARE).runs().tolist()
    polygon = [[2, 1, 5, 1, 5, 4, 2, 4]]
    for value in ({"size": [6, 8], "counts": runs}, polygon):
        (tree / "train.json").write_text(json.dumps(_table(segmentations=[value, None], areas=None)))
        (track,) = open_part(TRAIN, tree, False)[0].extra["tracks"]
        assert track["segmentations"][0].decode().tolist() == SQUARE.tolist()
        assert track["areas"] == [9, None]


def test_ids_that_were_written_as_texts_are_read_as_numbers(tree):
    table = _table(video_id="3", category_id="2", id="7")
    table["videos"][0] |= {"id": "3", "width": "8"}
    (tree / "train.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(table).encode())  # and through Windows
    (sample,) = open_part(TRAIN, tree, False)
    (track,) = sample.extra["tracks"]
    assert (sample.extra["video_id"], track["id"], track["category_id"]) == (3, 7, 2)


def test_the_table_may_lie_in_the_parts_folder(tree):
    (tree / "train.json").rename(tree / "train/instances.json")
    assert len(open_part(TRAIN, tree, False)) == 1


def test_the_validation_part_has_no_tracks(tree):
    table = _table()
    table["annotations"] = None
    (tree / "valid.json").write_text(json.dumps(table))
    (video,) = open_part(VAL, tree, False)
    assert "tracks" not in video.extra
    assert video.read_truth is None


def test_the_digest_covers_the_tracks(tree):
    before = open_part(TRAIN, tree, False)[0].digest()
    (tree / "train.json").write_text(json.dumps(_table(iscrowd=1)))
    assert open_part(TRAIN, tree, False)[0].digest() != before


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"segmentations": [None]}, "found 1 masks, expected 2, one a frame"),
        ({"category_id": 5}, "found category 5, expected one of [2]"),
        ({"segmentations": [{"size": [8, 6], "counts": "0"}, None]}, "found 6 x 8 pixels, expected 8 x 6"),
        ({"segmentations": [{"size": [6, 8], "counts": "00"}, None]}, "run-length code"),
        ({"segmentations": [{"size": [6, 8], "counts": [3, 4]}, None]}, "add up to 7"),
        ({"segmentations": [[[1, 1, 2]], None]}, "a polygon"),
        ({"category_id": None}, "a malformed entry"),
        ({"video_id": 9}, "a malformed entry"),
    ],
)
def test_a_malformed_annotation_is_named(tree, changes, found):
    (tree / "train.json").write_text(json.dumps(_table(**changes)))
    message = _problem(tree)
    assert found in message
    assert "train.json" in message


@pytest.mark.parametrize("names", [["../a1/00000.jpg"], ["/etc/x.jpg"], ["a1/00000.jpg", "b2/00005.jpg"], ["x.jpg"]])
def test_file_names_that_leave_the_videos_folder_are_refused(tree, names):
    table = _table()
    table["videos"][0]["file_names"] = names
    (tree / "train.json").write_text(json.dumps(table))
    assert "train.json" in _problem(tree)


def test_a_missing_frame_a_missing_table_and_another_size_are_named(tree):
    table = _table()
    table["videos"][0]["width"] = 9
    (tree / "train.json").write_text(json.dumps(table))
    assert "found 8 x 6 pixels, expected 9 x 6" in _problem(tree)
    (tree / "train/JPEGImages/a1/00005.jpg").unlink()
    assert "00005.jpg: found 1 frames missing, expected 2" in _problem(tree)
    (tree / "train.json").unlink()
    assert "found no table of videos, expected train.json or train/instances.json" in _problem(tree)


def test_a_training_table_without_annotations_is_refused(tree):
    table = _table()
    table["annotations"] = []
    (tree / "train.json").write_text(json.dumps(table))
    assert "found no annotations" in _problem(tree)


def test_the_official_parts_know_their_sizes():
    assert {b.name: (b.scored, b.videos_expected, b.tasks) for b in harness_benchmarks()} == {
        "youtube-vis19-val": (False, 302, ("vis",)),
        "youtube-vis19-train": (True, 2238, ("vis",)),
    }
