"""SegTrack v2, YouTube-Objects and FBMS-59: objects merged, masks by threshold or colour, sparse annotation."""

import pickle

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.catalog import Catalog
from harness.datasets import fbms, segtrack, youtube_objects
from harness.datasets.merged import read_thresholded_mask
from harness.planning.plan import resolve
from harness.planning.request import Request


def _square(value, row):
    mask = np.zeros((8, 10), np.uint8)
    mask[row : row + 2, 2:5] = value
    return mask


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _problem(open_, root, partial=True):
    with pytest.raises(DataError) as caught:
        open_(root, partial)
    return str(caught.value)


def test_a_pixel_is_object_above_half(tmp_path):
    _save(tmp_path / "a.png", np.array([[0, 127, 128, 255]], np.uint8))
    assert read_thresholded_mask(tmp_path / "a.png").tolist() == [[0, 0, 1, 1]]


@pytest.fixture
def segtrack_tree(tmp_path):
    """girl has one object in its folder; bmx has two, one folder each, with another suffix than the frames."""
    for t in range(3):
        for name in ("girl", "bmx"):
            _save(tmp_path / f"JPEGImages/{name}/{name}_{t}.bmp", np.full((8, 10, 3), 50, np.uint8))
        _save(tmp_path / f"GroundTruth/girl/girl_{t}.bmp", np.dstack([_square(255, t)] * 3))
        _save(tmp_path / f"GroundTruth/bmx/1/bmx_{t}.png", _square(255, t))
        _save(tmp_path / f"GroundTruth/bmx/2/bmx_{t}.png", _square(255, t + 3))
    Image.new("RGB", (4, 4)).save(tmp_path / "JPEGImages/CSI_NY.jpg")  # the official archive has such a stray file
    return tmp_path


def test_segtrack_objects_are_merged(segtrack_tree):
    bmx, girl = segtrack.open_segtrack(segtrack_tree, True)
    assert girl.read_truth(1).tolist() == _square(1, 1).tolist()
    assert bmx.read_truth(1).tolist() == (_square(1, 1) + _square(1, 4)).tolist()
    assert bmx.read_prompt(0).max() == 1
    assert pickle.loads(pickle.dumps(bmx)).digest() == bmx.digest()


def test_segtrack_names_what_is_missing(segtrack_tree):
    assert "found 2 of 14 videos" in _problem(segtrack.open_segtrack, segtrack_tree, partial=False)
    (segtrack_tree / "GroundTruth/bmx/2/bmx_1.png").unlink()
    assert "1 frames without mask: bmx_1, expected 3 masks" in _problem(segtrack.open_segtrack, segtrack_tree)


def test_segtrack_needs_one_folder_an_object(segtrack_tree):
    (segtrack_tree / "GroundTruth/bmx/2").rename(segtrack_tree / "GroundTruth/bmx/3")
    assert "found the folders 1, 3, expected one an object: 1, 2" in _problem(segtrack.open_segtrack, segtrack_tree)


@pytest.fixture
def objects_tree(tmp_path):
    """A shot in the layout of the official archive and one in the flat layout, frames from 1, masks on 1 and 11."""
    for t in range(1, 13):
        for folder in ("bird/data/0002/shots/001/images", "cat_003"):
            _save(tmp_path / folder / f"frame{t:04d}.jpg", np.full((8, 10, 3), 50, np.uint8))
    for t in (1, 11):
        _save(tmp_path / f"bird/data/0002/shots/001/labels/{t:05d}.jpg", np.full((8, 10), 255, np.uint8))
        _save(tmp_path / f"cat_003/gt/01/{t:05d}.png", _square(255, 0))
        _save(tmp_path / f"cat_003/gt/02/{t:05d}.png", _square(255, 4))
    return tmp_path


def test_youtube_objects_are_read_in_both_layouts(objects_tree):
    bird, cat = youtube_objects.open_youtube_objects(objects_tree, True)
    assert (bird.name, bird.extra["category"], bird.length) == ("bird_0002_001", "bird", 12)
    assert [t for t in range(12) if bird.read_truth(t) is not None] == [0, 10]
    assert bird.read_truth(10).min() == 1
    assert cat.read_truth(0).tolist() == (_square(1, 0) + _square(1, 4)).tolist()
    assert cat.prompt_frames == (0,)


def test_a_whole_youtube_objects_needs_all_categories_and_shots(objects_tree):
    message = _problem(youtube_objects.open_youtube_objects, objects_tree, partial=False)
    assert "found no shots of aeroplane, boat, car, cow, dog, horse, motorbike, train" in message
    for name in youtube_objects.CATEGORIES:
        if name not in ("bird", "cat"):
            _save(objects_tree / f"{name}_001/frame0001.jpg", np.zeros((8, 10, 3), np.uint8))
            _save(objects_tree / f"{name}_001/gt/01/00001.png", _square(255, 0))
    message = _problem(youtube_objects.open_youtube_objects, objects_tree, partial=False)
    assert "found 10 videos, expected all 126" in message


def test_youtube_objects_names_a_gap_and_a_mask_without_frame(objects_tree):
    (objects_tree / "cat_003/frame0005.jpg").unlink()
    assert "found no frame 5, expected frames 1..12" in _problem(youtube_objects.open_youtube_objects, objects_tree)
    (objects_tree / "bird/data/0002/shots/001/labels/00011.jpg").rename(
        objects_tree / "bird/data/0002/shots/001/labels/00021.jpg"
    )
    assert "a mask without frame, expected frame 21" in _problem(youtube_objects.open_youtube_objects, objects_tree)


def test_a_root_without_shots_says_which_layout_is_needed(tmp_path):
    assert "<category>/data/<video>/shots" in _problem(youtube_objects.open_youtube_objects, tmp_path)


DEFINITION = """Ground truth definition file; do not change!

Total number of regions:
3

{background}

{first}

{second}

Confusion penality matrix
0 1 1
1 0 1
1 1 0

Total number of frames in this shot:
4
Total number of labeled frames for this shot:
2
Frame number:
0
File name:
{name}_01.{suffix}
Input file name:
{name}_01.ppm
Frame number:
2
File name:
{name}_03.{suffix}
Input file name:
{name}_03.ppm
"""


def _fbms_video(root, name, suffix, mask, colours):
    folder = root / "Testset" / name
    for t in range(1, 5):
        _save(folder / f"{name}_{t:02d}.jpg", np.zeros((8, 10, 3), np.uint8))
    for t in (1, 3):
        _save(folder / f"GroundTruth/{name}_{t:02d}.{suffix}", mask)
    text = DEFINITION.format(
        name=name, suffix=suffix, background=colours[0], first=colours[1], second=colours[2]
    )  # fmt: skip
    (folder / f"GroundTruth/{name}Def.dat").write_text(text)


@pytest.fixture
def fbms_tree(tmp_path):
    """cars1 has grey regions; camel01 has coloured ones on white, and a colour the definition does not list."""
    grey = np.zeros((8, 10), np.uint8)
    grey[0, :3], grey[4, :2] = 80, 160
    colour = np.full((8, 10, 3), 255, np.uint8)
    colour[0, :3], colour[4, :2], colour[6, :4] = (200, 0, 0), (0, 0, 7), (1, 2, 3)
    _fbms_video(tmp_path, "cars1", "pgm", grey, (0, 80, 160))
    _fbms_video(tmp_path, "camel01", "ppm", colour, (0xFFFFFF, 200 << 16, 7))
    return tmp_path


def _open_fbms(root, partial):
    return fbms.open_part(fbms.PARTS[0], root, partial)


def test_fbms_regions_are_merged_and_annotation_is_sparse(fbms_tree):
    expected = np.zeros((8, 10), np.uint8)
    expected[0, :3], expected[4, :2] = 1, 1
    for video in _open_fbms(fbms_tree, True):
        assert [t for t in range(4) if video.read_truth(t) is not None] == [0, 2]
        assert video.truth_frames == (0, 2)
        assert video.read_truth(2).tolist() == expected.tolist()
        assert video.prompt_frames == ()
        assert pickle.loads(pickle.dumps(video)).digest() == video.digest()


def test_fbms_parts_have_30_and_29_videos_without_overlap():
    test, train = (set(part.videos) for part in fbms.PARTS)
    assert (len(test), len(train), len(test | train)) == (30, 29, 59)


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        ("GroundTruth/cars1_03.pgm", "cars1_03.pgm: found no such file, expected the mask of cars1_03.ppm"),
        ("GroundTruth/cars1Def.dat", "found 0 definitions, expected one *Def.dat"),
        ("cars1_04.jpg", "found 3 frames, expected 4"),
    ],
)
def test_fbms_names_what_is_missing(fbms_tree, missing, found):
    (fbms_tree / "Testset/cars1" / missing).unlink()
    assert found in _problem(_open_fbms, fbms_tree)


def test_fbms_refuses_a_mask_of_another_size_and_a_malformed_definition(fbms_tree):
    _save(fbms_tree / "Testset/cars1/GroundTruth/cars1_01.pgm", np.zeros((4, 4), np.uint8))
    assert "found 4 x 4 pixels, expected 10 x 8" in _problem(_open_fbms, fbms_tree)
    (fbms_tree / "Testset/cars1/GroundTruth/cars1Def.dat").write_text("Total number of regions:\nmany\n")
    assert "a malformed definition" in _problem(_open_fbms, fbms_tree)


def test_two_files_of_one_name_are_refused(segtrack_tree):
    _save(segtrack_tree / "JPEGImages/girl/girl_1.png", np.zeros((8, 10, 3), np.uint8))
    assert "expected one of them" in _problem(segtrack.open_segtrack, segtrack_tree)


def test_masks_with_an_alpha_channel_are_read_without_it(segtrack_tree):
    square = _square(255, 1)
    _save(segtrack_tree / "GroundTruth/bmx/1/bmx_1.png", np.dstack([square, square, square, square * 0 + 9]))
    bmx = segtrack.open_segtrack(segtrack_tree, True)[0]
    assert bmx.read_truth(1).tolist() == (_square(1, 1) + _square(1, 4)).tolist()


@pytest.mark.data
def test_a_tree_of_one_shot_makes_a_plan_that_is_partial(shared):
    root = shared / "data/YouTube-Objects"
    request = Request("copyfirst", "youtube-objects", task="one-shot", data_root=root, allow_partial=True)
    plan = resolve(request, Catalog.load())
    assert (plan.videos_expected, plan.partial_reason) == (126, "125 of 126 videos are not in the data")


@pytest.mark.data
def test_the_real_girl_and_aeroplane_are_read(shared):
    (girl,) = segtrack.open_segtrack(shared / "data/SegTrackv2", True)
    assert (girl.length, girl.read_frame(20).shape) == (21, (320, 400, 3))
    assert 0.05 < girl.read_truth(0).mean() < 0.07
    (plane,) = youtube_objects.open_youtube_objects(shared / "data/YouTube-Objects", True)
    assert [t for t in range(plane.length) if plane.read_truth(t) is not None] == [0, 10, 20, 30, 40, 50, 60]
