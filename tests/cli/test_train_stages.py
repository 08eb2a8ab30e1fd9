"""``harness train`` of a training in stages as a user types it: killed and gone on, on two processes, from tracks."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from harness.api.mask_files import RunLength
from harness.cli import main

EXAMPLE = Path(__file__).resolve().parents[1] / "training" / "two_rounds.py"
TRACKS = """
from dataclasses import replace
from harness import hookimpl, read_tracks
import numpy as np
import two_rounds
from harness import Stage, Training, whole_file
from two_rounds import Learner, TrainingConfig

def label_tracks(context, progress):
    for sample in context.samples:
        labels = np.zeros((sample.length, sample.height, sample.width), bool)
        for track in read_tracks(sample):
            for t, mask in enumerate(track.masks):
                labels[t] |= False if mask is None else mask.decode() > 0
        with whole_file(context.artefacts / f"{sample.name}.npy") as file:
            np.save(file, labels)

@hookimpl
def harness_methods():
    (method,) = two_rounds.harness_methods()
    stages = lambda config: [Stage("tracks", Learner, label_tracks)]
    training = Training(config=TrainingConfig, stages=stages, needs="tracks", choose="last")
    return [replace(method, name="from-tracks", training=training, supervision="tracks")]
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path with the example method, and one that learns from tracks."""
    site = tmp_path / "site"
    for module, source in (("two_rounds", EXAMPLE.read_text()), ("from_tracks", TRACKS)):
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[harness]\n{module.replace('_', '-')} = {module}\n")
    monkeypatch.syspath_prepend(site)
    return site


@pytest.fixture
def videos(tmp_path):
    """Two folders of frames in which a bright square moves to the right."""
    root = tmp_path / "videos"
    for name, top in (("high", 2), ("low", 14)):
        (root / name).mkdir(parents=True)
        for t in range(5):
            frame = np.full((24, 32, 3), 60, np.uint8)
            frame[top : top + 8, 2 + 3 * t : 12 + 3 * t] = 200
            Image.fromarray(frame).save(root / name / f"{t:05d}.png")
    return root


def arguments_for(videos, out, *more):
    named = ("train", "--plugin", "two-rounds", "--data", "unlabelled", "--data-root", videos, "--out", out)
    return [str(part) for part in (*named, "--iterations", "12", "--log-every", "4", "--threads", "1", *more)]


def harness(capsys, *arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_stages_are_told_shown_and_left_behind(capsys, site, videos, tmp_path):
    code, out, err = harness(capsys, *arguments_for(videos, tmp_path / "out", "--stop-after", "motion"))
    assert code == 0
    assert "preparing motion" in err
    assert "[motion 12] loss " in err
    assert "again" not in out
    code, out, err = harness(capsys, *arguments_for(videos, tmp_path / "out"))
    assert code == 0
    assert "preparing again" in err
    assert "preparing motion" not in err
    assert "iterations" in out
    assert " 24" in out
    assert "motion: loss, first and last line" in out
    assert "again: loss, first and last line" in out
    assert "stage-motion" in out
    assert "best" not in out
    _, out, _ = harness(capsys, *arguments_for(videos, tmp_path / "out", "--json"))
    described = json.loads(out)
    assert (described["stage"], described["iterations"], described["best"]) == ("again", 24, None)
    with Image.open(described["files"]["curve"]) as curve:
        assert curve.width == 800


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--stop-after", "agian"), 2, "did you mean 'again'"),
        (("--init", "again=/nowhere"), 3, "no weights file /nowhere"),
        (("--init", "/nowhere"), 3, "no weights file /nowhere"),
        (("--init", "agian=/nowhere"), 2, "did you mean 'again'"),
        (("--init", "a", "--init", "b"), 2, "names two files for one stage"),
        (("--init", "again=a", "--init", "again=b"), 2, "names two files for one stage"),
    ],
)
def test_each_mistake_has_its_exit_code(capsys, site, videos, tmp_path, more, code, message):
    found, _, err = harness(capsys, *arguments_for(videos, tmp_path / "out", *more))
    assert message in err
    assert found == code


def test_a_file_whose_name_has_an_equals_sign_is_a_file(capsys, site, videos, tmp_path, monkeypatch):
    harness(capsys, *arguments_for(videos, tmp_path / "first"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first/last.safetensors").rename(tmp_path / "again=1.safetensors")
    code, _, err = harness(capsys, *arguments_for(videos, tmp_path / "out", "--init", "again=1.safetensors"))
    assert code == 0, err
    assert json.loads((tmp_path / "out/train.json").read_text())["depends_on"]["init"] != "none"


def test_youtube_vis_can_be_trained_on(capsys, site, tmp_path):
    mask = np.zeros((24, 32), bool)
    mask[4:12, 4:14] = True
    folder = tmp_path / "vis/train/JPEGImages/a1"
    folder.mkdir(parents=True)
    for t in range(3):
        Image.fromarray(np.where(mask[..., None], 200, 60).repeat(3, axis=2).astype(np.uint8)).save(
            folder / f"{t:05d}.jpg"
        )
    code = {"size": [24, 32], "counts": RunLength.encode(mask).counts.decode()}
    annotation = {"id": 7, "video_id": 3, "category_id": 2, "iscrowd": 0, "segmentations": [code, code, None]}
    video = {"id": 3, "width": 32, "height": 24, "length": 3, "file_names": [f"a1/{t:05d}.jpg" for t in range(3)]}
    table = {"videos": [video], "categories": [{"id": 2, "name": "panda"}], "annotations": [annotation]}
    (tmp_path / "vis/train.json").write_text(json.dumps(table))
    asked = ("train", "--plugin", "from-tracks", "--data", "youtube-vis19-train", "--data-root", tmp_path / "vis")
    asked = (*asked, "--allow-partial", "--out", tmp_path / "out", "--iterations", "2", "--threads", "1")
    status, _, err = harness(capsys, *asked)
    assert status == 0, err
    labels = np.load(tmp_path / "out/artefacts/tracks/a1.npy")
    assert labels.tolist() == [mask.tolist(), mask.tolist(), np.zeros_like(mask).tolist()]


def start(site, videos, out, *more, launcher=()):
    line = [sys.executable, *launcher, "-m", "harness", *arguments_for(videos, out, *more)]
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err


FILES = ("last.safetensors", "stage-motion.safetensors", "stage-again.safetensors")
LABELS = tuple(f"artefacts/{stage}/{name}.npy" for stage in ("motion", "again") for name in ("high", "low"))


def read_log(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["stage"], line["kind"], line["iteration"], line["losses"]) for line in lines]


@pytest.mark.slow
def test_a_training_killed_twenty_times_ends_with_the_same_bytes(site, videos, tmp_path):
    more = ("--checkpoint-every", "3")
    began = time.monotonic()
    finish(start(site, videos, tmp_path / "whole", *more))
    seconds, draw, kills, number = time.monotonic() - began, random.Random(0), 0, 0
    while kills < 20:
        folder = tmp_path / f"killed-{number}"
        is_fresh, began = not folder.exists(), time.monotonic()
        process = start(site, videos, folder, *more)
        try:
            process.wait(timeout=draw.uniform(0.3, 1.05) * seconds)
            if is_fresh:  # a machine that was busy has become quicker
                seconds = min(seconds, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        number += process.returncode == 0
    for folder in [tmp_path / f"killed-{k}" for k in range(number + 1)]:
        finish(start(site, videos, folder, *more))
        for name in (*FILES, *LABELS):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
        assert read_log(folder) == read_log(tmp_path / "whole")


@pytest.mark.slow
def test_a_second_process_waits_while_the_first_prepares(site, videos, tmp_path):
    source = site / "two_rounds.py"
    slow = source.read_text().replace(
        "labels = label(sample)",
        "import os, time; time.sleep(1); labels = label(sample)\n"
        "            with open(context.artefacts.parent.parent.parent / 'ranks', 'a') as ranks:\n"
        "                ranks.write(os.environ.get('RANK', '0') + context.stage[0])",
    )
    finish(start(site, videos, tmp_path / "one"))
    source.write_text(slow)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port))
    finish(start(site, videos, tmp_path / "two", launcher=launcher))
    assert (tmp_path / "ranks").read_text() == "0m0m0a0a"
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert all(np.allclose(one[name], two[name], rtol=1e-4, atol=0) for name in one)  # sums in another order
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in LABELS)
    assert [line[:3] for line in read_log(tmp_path / "two")] == [line[:3] for line in read_log(tmp_path / "one")]
