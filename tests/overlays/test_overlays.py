"""Masks drawn over frames: each object in its colour, whole pictures and an animation, links left alone."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import UsageError
from harness.api.mask_files import RunLength, write_mask
from harness.api.video import Sample
from harness.overlays.draw import colour_of, draw_mask, draw_objects
from harness.overlays.write import is_drawn, write_overlay

GREY = np.full((5, 7, 3), 100, np.uint8)


def sample_of(length=3, size=(5, 7)):
    return Sample(
        name="a",
        length=length,
        height=size[0],
        width=size[1],
        frame_names=tuple(f"{t:05d}" for t in range(length)),
        read_frame=lambda t: np.full((*size, 3), 20 * t, np.uint8),
        digest=lambda: "0" * 64,
    )


def write_run(run, sample):
    (run / "masks" / "a").mkdir(parents=True)
    for name in sample.frame_names:
        mask = np.zeros((sample.height, sample.width), np.uint8)
        mask[1:4, 1:4] = 2
        write_mask(run / "masks" / "a" / f"{name}.png", mask)


def test_the_inside_is_mixed_half_and_half_the_outline_is_the_colour_and_the_rest_is_clear():
    mask = np.zeros((5, 7), np.uint8)
    mask[1:4, 1:4] = 1
    picture = draw_mask(GREY, mask)
    assert picture[2, 2].tolist() == [(100 + 128) / 2, 50, 50]
    assert picture[1, 1].tolist() == [128, 0, 0] == list(colour_of(1))
    assert picture[0, 0].tolist() == picture[4, 6].tolist() == [100, 100, 100]
    assert (GREY == 100).all()


def test_the_border_of_the_image_is_no_outline():
    picture = draw_mask(GREY, np.ones((5, 7), np.uint8))
    assert (picture == [114, 50, 50]).all()


def test_of_masks_that_overlap_the_later_lies_on_top():
    everything = np.ones((5, 7), bool)
    picture = draw_objects(GREY, [(1, everything), (2, everything)])
    assert picture[0, 0].tolist() == [57, 89, 25]  # (114 + 0) / 2, (50 + 128) / 2, (50 + 0) / 2


def test_a_run_is_drawn_as_a_jpeg_a_frame_and_one_animation(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    sample = sample_of()
    write_run(tmp_path, sample)
    assert not is_drawn(tmp_path, sample)
    animation = write_overlay(tmp_path, sample)
    assert is_drawn(tmp_path, sample)
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == ["a", animation.name]
    assert [path.name for path in sorted((tmp_path / "overlays" / "a").iterdir())] == [
        "00000.jpg",
        "00001.jpg",
        "00002.jpg",
    ]
    with Image.open(animation) as image:
        assert (image.size, image.n_frames) == ((7, 5), 3)


def test_what_a_link_in_the_folder_leads_to_is_left_alone(tmp_path):
    sample = sample_of(1)
    write_run(tmp_path, sample)
    (tmp_path / "other").mkdir()
    (tmp_path / "overlays").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="is a link"):
        write_overlay(tmp_path, sample)
    assert list((tmp_path / "other").iterdir()) == []


def test_of_tracks_the_surest_are_drawn_and_lie_on_top(tmp_path):
    sample = sample_of(1)
    (tmp_path / "tracks").mkdir()
    everything, corner = np.ones((5, 7), np.uint8), np.zeros((5, 7), np.uint8)
    corner[:2, :2] = 1
    code = {
        id(mask): {"size": [5, 7], "counts": RunLength.encode(mask).counts.decode()} for mask in (everything, corner)
    }
    tracks = [(0.9, corner), (0.6, everything), (0.1, everything)]
    content = [{"category_id": 1, "score": score, "segmentations": [code[id(mask)]]} for score, mask in tracks]
    (tmp_path / "tracks" / "a.json").write_text(json.dumps(content))
    write_overlay(tmp_path, sample)
    with Image.open(tmp_path / "overlays" / "a" / "00000.jpg") as image:
        far, near = np.asarray(image).astype(int)[4, 6], np.asarray(image).astype(int)[0, 0]
    assert far[1] - far[0] > 40  # object 2, green
    assert near[0] > near[1]  # object 1, red, over it
