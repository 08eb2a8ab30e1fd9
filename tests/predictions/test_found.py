"""Predictions made elsewhere: where they are found in folders and zips, and what of a results.json is refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.api.errors import DataError, IncompletePredictions
from harness.api.mask_files import RunLength
from harness.api.video import Sample
from harness.predictions.found import find_predictions, read_all_tracks

SQUARE = np.zeros((8, 8), np.uint8)
SQUARE[2:5, 1:4] = 1
CODE = {"size": [8, 8], "counts": RunLength.encode(SQUARE).counts.decode()}


def video(name="a", id_=7):
    """A video of two frames of 8 x 8 that nobody reads frames of."""
    extra = {"video_id": id_, "category_names": {1: "dog", 2: "cat"}}
    return Sample(name, 2, 8, 8, ("00000", "00001"), read_frame=lambda t: None, digest=lambda: "", extra=extra)


def entry(**changes):
    return {"video_id": 7, "category_id": 1, "score": 0.5, "segmentations": [CODE, None], **changes}


def place_of(path, samples, task="one-shot"):
    with find_predictions(path, samples, task) as found:
        return found.note, sorted(str(p.relative_to(found.place)) for p in found.place.rglob("*.png"))


@pytest.mark.parametrize(
    ("prefix", "where"), [("", ""), ("Annotations/", "Annotations"), ("mine/", "mine"), ("x/Annotations/", "x/Annota")]
)
def test_masks_are_found_in_wrapping_folders_and_the_place_is_named(tmp_path, prefix, where):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"{prefix}a/00000.png", b"x")
        archive.writestr("__MACOSX/._a", b"x")
    note, files = place_of(tmp_path / "a.zip", [video("a")])
    assert files == ["a/00000.png"]
    assert bool(note) == bool(prefix)
    assert where in note
    assert str(tmp_path / "a.zip") in note or not prefix


def test_a_folder_is_looked_through_like_a_zip(tmp_path):
    (tmp_path / "run/masks/a").mkdir(parents=True)
    (tmp_path / "run/videos").mkdir()
    note, _ = place_of(tmp_path / "run", [video("a")])
    assert note == f"predictions found in {tmp_path / 'run/masks'}"


def test_a_folder_beside_the_videos_is_not_entered(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "Annotations/b").mkdir(parents=True)
    with find_predictions(tmp_path, [video("a"), video("b")], "one-shot") as found:
        assert (found.place, found.note) == (tmp_path, "")


def test_errors_inside_name_the_zip_not_the_temporary_folder_which_is_gone_afterwards(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a/00000.png", b"x")
    with pytest.raises(DataError) as caught, find_predictions(tmp_path / "mine.zip", [video("a")], "one-shot") as found:
        raise DataError.at(found.place / "a/00000.png", found="x", expected="y")
    assert str(tmp_path / "mine.zip/a/00000.png") in str(caught.value)
    assert not found.place.exists()


@pytest.mark.parametrize("name", ["../a/00000.png", "/a/00000.png", "a\\..\\..\\00000.png", "C:/a/00000.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="entry"):
        place_of(tmp_path / "a.zip", [video("a")])


def test_a_zip_that_unpacks_to_more_than_the_videos_could_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.predictions.found.SMALLEST_LIMIT", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/00000.png", bytes(8 * 2 * 8 * 8 + 1))
    with pytest.raises(DataError, match="no bomb"):
        place_of(tmp_path / "a.zip", [video("a")])


@pytest.mark.parametrize("task", ["one-shot", "vis"])
def test_what_is_neither_folder_nor_zip_is_refused(tmp_path, task):
    (tmp_path / "a.tar").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="a file that is no zip, expected"):
        place_of(tmp_path / "a.tar", [video()], task)
    (tmp_path / "a.zip").write_bytes(b"\n<!DOCTYPE html>\n<HTML><title>Sign in</title>")
    with pytest.raises(DataError, match=r"a web page \(HTML\), expected"):
        place_of(tmp_path / "a.zip", [video()], task)
    with pytest.raises(DataError, match="neither a file nor a folder"):
        place_of(Path("/dev/null"), [video()], task)


def write(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(path, samples=None, **more):
    return read_all_tracks(path, samples or [video()], **{"is_subset": False, **more})


def test_tracks_come_by_video_in_the_order_of_the_file(tmp_path):
    content = [entry(score=0.1), entry(video_id=9, category_id=2), entry(score=0.9)]
    tracks, note = read(write(tmp_path, content), [video(), video("b", 9), video("c", 11)])
    assert [track.score for track in tracks["a"]] == [0.1, 0.9]
    assert [track.category for track in tracks["b"]] == [2]
    assert tracks["a"].tracks[0].masks[0].decode().tolist() == SQUARE.tolist()
    assert tracks["a"].tracks[0].masks[1] is None
    assert (len(tracks["c"]), note) == (0, "no tracks for 1 of 3 videos: c")


def test_plain_runs_and_polygons_are_taken(tmp_path):
    runs = {"size": [8, 8], "counts": RunLength.encode(SQUARE).runs().tolist()}
    tracks, _ = read(write(tmp_path, [entry(segmentations=[runs, [[1, 2, 4, 2, 4, 5, 1, 5]]])]))
    assert [mask.decode().tolist() for mask in tracks["a"].tracks[0].masks] == [SQUARE.tolist()] * 2


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"video_id": 8}, "video_id 8"),
        ({"video_id": None}, "no video_id"),
        ({"video_id": True}, "video_id True"),
        ({"video_id": "7"}, "video_id '7'"),
        ({"category_id": 3}, "category_id 3"),
        ({"category_id": 1.5}, "category_id 1.5"),
        ({"score": float("nan")}, "score nan"),
        ({"score": float("inf")}, "score inf"),
        ({"score": 10**400}, "score 1000"),
        ({"score": "1"}, "score '1'"),
        ({"score": True}, "score True"),
        ({"score": None}, "score None"),
        ({"segmentations": [CODE, None, None]}, "3 segmentations"),
        ({"segmentations": "none"}, "segmentations 'none'"),
        ({"segmentations": [CODE, {**CODE, "size": [8, 9]}]}, "9 x 8 pixels"),
        ({"segmentations": [CODE, {**CODE, "counts": "~~"}]}, "b'~~'"),
        ({"segmentations": [CODE, {**CODE, "counts": "é"}]}, "a malformed one"),
        ({"segmentations": [CODE, {**CODE, "counts": 10**9}]}, "a malformed one"),
        ({"segmentations": [CODE, {**CODE, "counts": [60]}]}, "runs that add up to 60"),
        ({"segmentations": [CODE, {"counts": "1"}]}, "a malformed one"),
        ({"segmentations": [CODE, 0]}, "a malformed one"),
        ({"segmentations": [CODE, [[0, 0, 1, 1, 1e300, 2]]]}, "a point far outside"),
        ({"segmentations": [CODE, [[0, 0, 1, float("nan"), 1, 2]]]}, "a point far outside"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path, changes, found):
    path = write(tmp_path, [entry(), entry(**changes)])
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"{path}, entry 1" in str(caught.value)
    assert found in str(caught.value)


def test_too_few_masks_are_incomplete(tmp_path):
    with pytest.raises(IncompletePredictions, match="entry 0: found 1 segmentations, expected 2, one a frame"):
        read(write(tmp_path, [entry(segmentations=[CODE])]))
    with pytest.raises(IncompletePredictions, match="an empty list"):
        read(write(tmp_path, []))


@pytest.mark.parametrize("key", ["category_id", "score", "segmentations"])
def test_a_missing_field_is_named(tmp_path, key):
    content = entry()
    del content[key]
    with pytest.raises(DataError, match=f"entry 0: found no {key}"):
        read(write(tmp_path, [content]))


@pytest.mark.parametrize(
    ("content", "found"),
    [("{}", "a JSON dict"), ("[", "no readable JSON"), ("[1]", "no video_id"), ("[" * 100_000, "nested too deeply")],
)
def test_what_is_no_list_of_entries_is_refused(tmp_path, content, found):
    with pytest.raises(DataError, match=found):
        read(write(tmp_path, content))


def test_other_videos_are_left_out_and_counted_only_where_a_part_was_asked_for(tmp_path):
    path = write(tmp_path, [entry(), entry(video_id=8)])
    tracks, note = read(path, is_subset=True)
    assert (len(tracks["a"]), note) == (1, "1 entries of other videos were left out")


def test_a_results_json_is_found_in_a_zip_and_in_a_folder(tmp_path):
    path = write(tmp_path, [entry()])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "sub/results.json")
    for given in (path, tmp_path, tmp_path / "a.zip"):
        with find_predictions(given, [video()], "vis") as found:
            assert len(read(found.place)[0]["a"]) == 1


def test_one_file_a_video_as_a_run_writes_it(tmp_path):
    folder = tmp_path / "run/tracks"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps([{k: v for k, v in entry().items() if k != "video_id"}]))
    with find_predictions(tmp_path / "run", [video()], "vis") as found:
        assert len(read(found.place)[0]["a"]) == 1
        with pytest.raises(IncompletePredictions, match=r"1 of 2 videos have no file .*: b"):
            read(found.place, [video(), video("b", 9)])
    (folder / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"a\.json: found dict"):
        read(folder)


def test_a_place_without_tracks_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for given, found in ((tmp_path / "a", "no results.json"), (tmp_path / "b", "no such file")):
        with pytest.raises(DataError, match=found), find_predictions(given, [video()], "vis"):
            pass


@pytest.mark.parametrize("field", ["video_id", "category_id", "score"])
def test_numbers_written_as_texts_are_refused_with_the_form_they_need(tmp_path, field):
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, [entry(**{field: "1"})]))
    assert caught.value.hint == 'numbers are no texts in JSON: write 3, not "3"'
