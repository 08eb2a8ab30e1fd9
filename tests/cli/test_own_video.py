"""``harness run --video``: a video of one's own with its first mask; masks and pictures come out, or clear words."""

import json

import numpy as np
import pytest
from PIL import Image

from harness.api.mask_files import read_mask, write_mask
from harness.cli import main

LENGTH = 12


def square(*numbers):
    mask = np.zeros((13, 17), np.uint8)
    for number in numbers:
        mask[2:6, 4 * number : 4 * number + 3] = number
    return mask


@pytest.fixture
def video(tmp_path):
    """Frames 1.png to 12.png of odd size, and a first mask beside them."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for t in range(1, LENGTH + 1):
        Image.new("RGB", (17, 13), (20 * t, 0, 0)).save(folder / f"{t}.png")
    write_mask(tmp_path / "first.png", square(1, 2))
    return folder


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["run", "--plugin", "copyfirst", *map(str, arguments)])
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_masks_and_pictures_are_written_in_natural_order_and_reused(video, tmp_path, capsys):
    given = ("--video", video, "--first-mask", tmp_path / "first.png", "--out", tmp_path / "out")
    code, _, err = run(capsys, *given)
    assert code == 0, err
    masks = sorted(path.name for path in (tmp_path / "out/masks/walk").iterdir())
    assert masks == sorted(f"{t}.png" for t in range(1, LENGTH + 1))
    assert (read_mask(tmp_path / "out/masks/walk/12.png") == square(1, 2)).all()
    assert len(list((tmp_path / "out/overlays/walk").glob("*.jpg"))) == LENGTH
    record = json.loads((tmp_path / "out/record.json").read_text())
    assert (record["scores"], record["benchmark"]["scored"], record["partial"]) == ({}, False, False)
    assert record["timing"]["model"]["frames"] > 0
    assert f"look: harness view {tmp_path / 'out'} --data-root {video}\n" in err  # without it no frame is found
    (tmp_path / "out/overlays/walk.webp").unlink(missing_ok=True)
    (tmp_path / "out/overlays/walk.mp4").unlink(missing_ok=True)
    code, _, err = run(capsys, *given)  # as after a kill while it was drawn
    assert code == 0
    assert "reused from an earlier run into this folder: walk" in err
    assert "overlay " in err


def test_a_folder_of_masks_lets_objects_enter_later_and_the_first_may_be_late(video, tmp_path, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    write_mask(masks / "3.png", square(1))
    write_mask(masks / "05.png", square(1, 2))
    code, _, err = run(capsys, "--video", video, "--first-mask", masks, "--out", tmp_path / "out")
    assert code == 0, err
    assert "frames before the first mask in 1 video: walk (2)" in err
    written = tmp_path / "out/masks/walk"
    assert not (written / "2.png").exists()
    assert set(np.unique(read_mask(written / "4.png"))) == {0, 1}
    assert 1 in read_mask(written / "12.png")


def test_a_mask_of_0_and_255_is_object_1(video, tmp_path, capsys):
    Image.fromarray(square(1) * 255).save(tmp_path / "grey.png")
    code, _, err = run(capsys, "--video", video, "--first-mask", tmp_path / "grey.png", "--out", tmp_path / "out")
    assert code == 0, err
    assert "it is read as object 1" in err
    assert (read_mask(tmp_path / "out/masks/walk/1.png") == square(1)).all()


def soft(path):
    Image.fromarray(np.arange(13 * 17, dtype=np.uint8).reshape(13, 17)).save(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: write_mask(path, np.ones((5, 5), np.uint8)), "found 5 x 5 pixels, expected 17 x 13"),
        (lambda path: write_mask(path, square()), "found no object, expected an id map"),
        (lambda path: Image.new("RGBA", (17, 13), "red").save(path), "found a PNG of kind 8-bit RGBA"),
        (soft, "levels of grey, expected ids"),
        (lambda path: path.mkdir() or write_mask(path / "40.png", square(1)), "found 1 masks of frames that the video"),
        (lambda path: None, "found no such file or folder, expected a mask PNG"),
    ],
)
def test_first_masks_that_cannot_be_are_named_before_anything_runs(video, tmp_path, capsys, write, message):
    write(tmp_path / "odd.png")
    code, _, err = run(capsys, "--video", video, "--first-mask", tmp_path / "odd.png", "--out", tmp_path / "out")
    assert code == 3
    assert message in err
    assert not (tmp_path / "out" / "masks").exists()


def test_a_broken_frame_fails_the_video_and_is_named(video, tmp_path, capsys):
    content = (video / "6.png").read_bytes()
    (video / "6.png").write_bytes(content[: len(content) // 2])
    given = ("--video", video, "--first-mask", tmp_path / "first.png", "--out", tmp_path / "out")
    code, _, err = run(capsys, *given)
    assert code == 3
    assert "6.png: found a truncated or corrupt image" in err


def test_a_video_of_one_frame_is_one(video, tmp_path, capsys):
    for t in range(2, LENGTH + 1):
        (video / f"{t}.png").unlink()
    given = ("--video", video, "--first-mask", tmp_path / "first.png", "--out", tmp_path / "out")
    assert run(capsys, *given)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--video", "walk"], 2, "copyfirst follows the objects of a first mask: found none"),
        (["--video", "walk", "--bench", "mini"], 2, "--bench or --video: found both"),
        (["--bench", "mini", "--first-mask", "first.png"], 2, "--first-mask belongs to --video"),
        (
            ["--video", "walk", "--first-mask", "first.png", "--data-root", "."],
            2,
            "--video and --data-root: found both",
        ),
        (["--video", "nowhere", "--first-mask", "first.png"], 3, "nowhere: found no such file or folder"),
        (["--video", "set", "--first-mask", "first.png"], 3, "found the folders b, expected a folder of frames"),
        (["--video", "fake.mp4", "--first-mask", "first.png"], 3, "ffmpeg -i"),
    ],
)
def test_wrong_calls_are_explained(video, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.mp4").write_text("no video")
    (tmp_path / "set" / "b").mkdir(parents=True)
    found, _, err = run(capsys, *arguments)
    assert found == code
    assert message in err
