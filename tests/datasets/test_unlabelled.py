"""Folders of frames, video files and single images open without a truth; what is none of these is named."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError
from harness.cli import main
from harness.datasets.unlabelled import open_stills, open_videos


def write_frames(folder, count=3, size=(10, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(count):
        Image.new("RGB", size, (60 * t, 0, 200)).save(folder / f"frame {t}.png")


def write_video(path, count=12, size=(32, 24)):
    """Frame t is grey of brightness 20 t."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    for t in range(count):
        writer.write(np.full((size[1], size[0], 3), 20 * t, np.uint8))
    writer.release()


def test_each_folder_of_frames_is_a_video_without_truth(tmp_path):
    write_frames(tmp_path / "beach day", 3)
    write_frames(tmp_path / "attic", 2, (6, 4))
    attic, beach = open_videos(tmp_path, False)
    assert (attic.name, attic.length, attic.height, attic.width) == ("attic", 2, 4, 6)
    assert beach.read_frame(2)[0, 0].tolist() == [120, 0, 200]
    assert (beach.read_truth, beach.read_prompt, beach.truth_frames) == (None, None, None)
    assert attic.digest() != beach.digest()


def test_frames_without_leading_zeros_come_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "walk").mkdir()
    for t in range(1, 13):
        Image.new("L", (8, 6), 20 * t).save(tmp_path / "walk" / f"{t}.png")
    (walk,) = open_videos(tmp_path, False)
    assert [int(walk.read_frame(t)[0, 0, 0]) for t in range(12)] == [20 * t for t in range(1, 13)]
    assert walk.frame_names == tuple(str(t) for t in range(1, 13))
    assert [image.name for image in open_stills(tmp_path / "walk", False)] == [str(t) for t in range(1, 13)]


def test_what_systems_leave_behind_is_no_video(tmp_path):
    write_frames(tmp_path / "beach", 1)
    write_frames(tmp_path / "__MACOSX/beach", 1)
    assert [video.name for video in open_videos(tmp_path, False)] == ["beach"]


def test_files_that_are_no_video_are_told_of_once(tmp_path):
    write_frames(tmp_path / "attic", 1)
    write_frames(tmp_path / "beach", 1)
    (tmp_path / "notes.txt").write_text("which is which")
    attic, beach = open_videos(tmp_path, False)
    assert [(oddity.detail, oddity.is_of_set) for oddity in attic.oddities] == [("notes.txt", True)]
    assert beach.oddities == ()


def test_a_video_file_gives_its_frames_in_any_order(tmp_path):
    write_video(tmp_path / "street.avi")
    (street,) = open_videos(tmp_path, False)
    assert (street.name, street.length, street.height, street.width) == ("street.avi", 12, 24, 32)
    for t in (7, 0, 11, 3, 4, 5, 5):
        assert abs(int(street.read_frame(t)[12, 16, 1]) - 20 * t) < 4
    assert len(street.digest()) == 64


def test_a_video_file_is_read_by_a_forked_process_too(tmp_path):
    write_video(tmp_path / "street.avi")
    (street,) = open_videos(tmp_path, False)
    street.read_frame(4)
    child = os.fork()
    if child == 0:
        right = all(abs(int(street.read_frame(t)[0, 0, 0]) - 20 * t) < 4 for t in (9, 5, 6))
        os._exit(0 if right else 1)
    assert abs(int(street.read_frame(5)[0, 0, 0]) - 100) < 4
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_is_no_video_is_named(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    with pytest.raises(DataError, match=r"notes.mp4: found no frame that OpenCV can decode"):
        open_videos(tmp_path, False)


def test_a_video_file_cut_short_ends_where_it_can_be_read(tmp_path):
    write_video(tmp_path / "street.avi", 12)
    content = (tmp_path / "street.avi").read_bytes()
    (tmp_path / "street.avi").write_bytes(content[: len(content) * 3 // 4])
    (street,) = open_videos(tmp_path, False)
    assert 0 < street.length < 12
    assert abs(int(street.read_frame(street.length - 1)[0, 0, 0]) - 20 * (street.length - 1)) < 4


def test_still_images_are_videos_of_one_frame(tmp_path):
    write_frames(tmp_path, 3)
    samples = open_stills(tmp_path, False)
    assert [(sample.name, sample.length) for sample in samples] == [("frame 0", 1), ("frame 1", 1), ("frame 2", 1)]
    assert samples[1].read_frame(0)[0, 0].tolist() == [60, 0, 200]
    assert samples[0].read_truth is None


@pytest.mark.parametrize(("opens", "reason"), [(open_videos, "name still-images"), (open_stills, "no files")])
def test_a_folder_of_the_wrong_kind_says_what_is_expected(tmp_path, opens, reason):
    if opens is open_videos:
        write_frames(tmp_path)
    with pytest.raises(DataError) as caught:
        opens(tmp_path, False)
    assert reason in str(caught.value)


def test_an_empty_folder_of_frames_and_a_missing_root_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the frames of 'empty'"):
        open_videos(tmp_path, False)
    with pytest.raises(DataError, match="no data root"):
        open_videos(None, False)


def test_frames_of_two_sizes_in_one_video_are_refused_when_read(tmp_path):
    write_frames(tmp_path / "a", 2)
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "frame 1.png")
    (sample,) = open_videos(tmp_path, False)
    with pytest.raises(DataError, match="4 x 4 pixels"):
        sample.read_frame(1)


def test_they_are_listed_as_sets_without_a_truth(capsys):
    with pytest.raises(SystemExit):
        main(["ls", "benches"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("unlabelled"))
    assert "no (no truth)" in line
