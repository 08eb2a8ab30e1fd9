"""Trees as people keep them: made of links, through Windows or macOS; what leads nowhere is named with what to do."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import write_mask
from harness.datasets.davis import Split, open_split

NAMES = {"bear": 3, "dog": 2}
IDS_2017 = Split("tiny17", ("ImageSets/2017/val.txt",), sequences=NAMES)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "DAVIS"
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("bear\ndog\n")
    for name, length in NAMES.items():
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(length):
            Image.new("RGB", (10, 8), (10 * t, 200, 30)).save(frames / f"{t:05d}.jpg")
            write_mask(masks / f"{t:05d}.png", np.ones((8, 10), np.uint8))
    return root


def _problem(root):
    with pytest.raises(DataError) as caught:
        open_split(IDS_2017, root, False)
    return str(caught.value)


def test_a_tree_made_of_links_is_read(tree, tmp_path):
    """Users keep data on another disk and link them: root, folders and files."""
    before = [sample.digest() for sample in open_split(IDS_2017, tree, False)]
    for place in ("Annotations/480p/bear/00001.png", "JPEGImages/480p/bear", "ImageSets/2017/val.txt"):
        stored = tmp_path / Path(place).name
        (tree / place).rename(stored)
        (tree / place).symlink_to(stored)
    link = tmp_path / "link"
    link.symlink_to(tree)
    assert [sample.digest() for sample in open_split(IDS_2017, link, False)] == before


@pytest.mark.parametrize("place", ["Annotations/480p/bear/00001.png", "JPEGImages/480p/bear"])
def test_a_link_to_nothing_is_named_with_what_to_do(tree, tmp_path, place):
    (tree / place).rename(tmp_path / "away")
    (tree / place).symlink_to("/disk/not/mounted")
    message = _problem(tree)
    assert f"{tree / place}: found a link to /disk/not/mounted, which is not there" in message
    assert "next: mount or restore what it leads to" in message


def test_a_root_that_is_a_link_to_nothing_or_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert f"{tmp_path / 'loop'}: found a link to" in _problem(tmp_path / "loop")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfbear\r\ndog\r\n",
        "bear\r\ndog\r\n".encode("utf-16"),
        b"\xef\xbb\xbf\\JPEGImages\\480p\\bear\\00000.jpg \\Annotations\\480p\\bear\\00000.png\r\n"
        b"\\JPEGImages\\480p\\dog\\00000.jpg \\Annotations\\480p\\dog\\00000.png\r\n",
    ],
    ids=["a mark and CRLF", "UTF-16", "backslash paths"],
)
def test_a_list_that_passed_through_windows_is_read(tree, content):
    (tree / "ImageSets/2017/val.txt").write_bytes(content)
    assert [sample.name for sample in open_split(IDS_2017, tree, False)] == ["bear", "dog"]


def test_what_systems_leave_behind_is_no_data(tree):
    for name in ("._00000.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "00000.jpg:Zone.Identifier"):
        (tree / "JPEGImages/480p/bear" / name).write_bytes(b"no frame")
    assert open_split(IDS_2017, tree, False)[0].length == 3
