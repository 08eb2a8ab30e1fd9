"""A pipe, a device or an endless file in the place of a file is refused at once, whoever reads it: nothing hangs."""

import os
import signal

import pytest

from harness.api.errors import DataError, HarnessError
from harness.api.mask_files import read_mask, read_mask_header
from harness.api.records import VideoResult
from harness.api.track_json import read_tracks
from harness.datasets.files import VideoFiles, image_size, list_images, read_image, read_json, read_lines
from harness.datasets.orientation import UPRIGHT, read_orientation
from harness.datasets.video_files import open_video_file
from harness.experiments.format import read_experiment
from harness.leaderboard.verification import read_published, read_record
from harness.ranking.gate import read_gate
from harness.running.folder import RunFolder
from harness.training.folder import TrainingFolder

ENDLESS = 20 << 30


def put_pipe(path):
    os.mkfifo(path)


def put_device(path):
    path.symlink_to("/dev/zero")


def put_endless(path):
    with path.open("wb") as file:
        if path.suffix == ".jpg":
            file.write(b"\xff\xd8\xff\xc0\0\x11\x08\0\x08\0\x08\x03")  # as one of 8 x 8 begins
        file.truncate(ENDLESS)  # a hole: it takes no room on the disk


def enter_run(path):
    with RunFolder(path.parent) as folder:
        folder.claim({"seed": 0}, fresh=False)


def enter_training(path):
    with TrainingFolder(path.parent) as folder:
        folder.claim({}, {}, fresh=False, truths={})


READERS = {
    "gate.toml": read_gate,
    "experiment.toml": read_experiment,
    "record.json": read_record,
    "paper.json": read_published,
    "plan.json": enter_run,
    "train.json": enter_training,
    "tracks.json": lambda path: read_tracks(path, (8, 8), 5),
    "table.json": read_json,
    "list.txt": read_lines,
    "00000.png": read_mask,
    "00001.png": read_mask_header,
    "00000.jpg": lambda path: read_image(path, "RGB"),
    "00000.ppm": image_size,
    "bear.mp4": open_video_file,
    "00002.jpg": lambda path: VideoFiles("bear", (path,), (8, 8)).digest(),
}


@pytest.fixture(autouse=True)
def _alarm():
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("put", [put_pipe, put_device, put_endless])
@pytest.mark.parametrize(("name", "read"), READERS.items(), ids=READERS)
def test_it_is_refused_and_named(name, read, put, tmp_path):
    put(tmp_path / name)
    with pytest.raises(HarnessError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("put", [put_pipe, put_device])
def test_it_is_no_frame_of_a_folder(put, tmp_path):
    put(tmp_path / "00000.jpg")
    with pytest.raises(DataError, match=r"00000.jpg: found a pipe, socket or device"):
        list_images(tmp_path, (".jpg",), "frames")
    assert read_orientation(tmp_path / "00000.jpg") == UPRIGHT


def test_a_device_is_no_root(tmp_path):
    with pytest.raises(DataError, match="/dev/zero"):
        list_images(type(tmp_path)("/dev/zero"), (".jpg",), "frames")


@pytest.mark.parametrize("put", [put_pipe, put_device, put_endless])
def test_a_mask_of_a_result_that_is_one_lets_its_video_run_again(put, tmp_path):
    mask, folder = tmp_path / "masks/a/00000.png", RunFolder(tmp_path)
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"mask")
    told = {"video": "a", "key": "", "digest": "", "length": 1, "height": 2, "width": 2, "masks": "masks/a"}
    folder.append(VideoResult(**told, scores={}))
    assert folder.read_result("a") is not None
    mask.unlink()
    put(mask)
    assert folder.read_result("a") is None


@pytest.mark.parametrize("name", ["logs/worker-0.log", "videos/a.json", "masks/a", "record.json"])
def test_a_pipe_in_a_run_s_folder_is_refused(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    put_pipe(tmp_path / name)
    with pytest.raises(HarnessError, match="is a pipe, socket or device"), RunFolder(tmp_path):
        pass


@pytest.mark.parametrize("name", ["log.jsonl", "last.safetensors", "checkpoint.pt"])
def test_a_pipe_in_a_training_s_folder_is_refused(name, tmp_path):
    put_pipe(tmp_path / name)
    with pytest.raises(HarnessError, match="is a pipe, socket or device"), TrainingFolder(tmp_path):
        pass
