"""Frames that are odd but not wrong: read as they are stored, with a word on what was seen."""

import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.datasets.files import check_size
from harness.datasets.orientation import read_orientation
from harness.datasets.unlabelled import open_stills, open_videos


def _save_turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (10, 8), (0, 90, 200)).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_tag_is_read_from_what_pillow_wrote(tmp_path, orientation):
    _save_turned(tmp_path / "a.jpg", orientation)
    assert read_orientation(tmp_path / "a.jpg") == orientation


@pytest.mark.parametrize("cut", [3, 14, 24, 25, 40])
def test_a_tag_that_is_cut_or_nonsense_says_nothing(tmp_path, cut):
    _save_turned(tmp_path / "a.jpg", 6)
    content = (tmp_path / "a.jpg").read_bytes()
    at = content.index(b"Exif")
    (tmp_path / "a.jpg").write_bytes(content[: at + cut])
    assert read_orientation(tmp_path / "a.jpg") == (6 if cut == 40 else 1)
    (tmp_path / "a.jpg").write_bytes(content.replace(b"\x12\x01\x03\x00", b"\x12\x01\x03\xff"))
    assert read_orientation(tmp_path / "a.jpg") in range(1, 9)
    assert read_orientation(tmp_path / "gone.jpg") == 1


def test_frames_with_a_tag_are_read_as_stored_and_told_of(tmp_path):
    (tmp_path / "walk").mkdir()
    for t in range(2):
        _save_turned(tmp_path / "walk" / f"{t}.jpg", 6)
    (walk,) = open_videos(tmp_path, False)
    assert walk.read_frame(0).shape == (8, 10, 3)
    (oddity,) = walk.oddities
    assert (oddity.what, oddity.detail) == ("an orientation tag (Exif) on frames", "0.jpg: 6")
    assert "pixels are taken as they are stored" in oddity.advice
    assert [image.oddities[0].detail for image in open_stills(tmp_path / "walk", False)] == ["0.jpg: 6", "1.jpg: 6"]


def test_a_mask_that_is_turned_against_its_frames_is_told_why(tmp_path):
    with pytest.raises(DataError) as caught:
        check_size(tmp_path / "00000.png", (10, 8), (8, 10), "walk")
    assert "masks must lie as those do, not as a viewer shows them" in caught.value.hint


def test_images_of_other_kinds_among_the_frames_are_named(tmp_path):
    (tmp_path / "walk").mkdir()
    for name in ("1.png", "2.png", "3.webp", "10.webp", "._1.webp", "notes.txt"):
        Image.new("RGB", (8, 6)).save(tmp_path / "walk" / name, format="PNG")
    (walk,) = open_videos(tmp_path, False)
    (oddity,) = walk.oddities
    assert (oddity.what, oddity.detail) == ("images among the frames that are not read as frames", "3.webp, 10.webp")
