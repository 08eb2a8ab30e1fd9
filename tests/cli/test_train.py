"""``harness train`` as a user types it: files, table, exit codes; killed, resumed, on two processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness.api.mask_files import write_mask
from harness.cli import main

EXAMPLE = Path(__file__).resolve().parents[1] / "training" / "colour_model.py"
BENCH = """
import functools
from harness import Benchmark, DAVIS_2017, hookimpl
from harness.datasets.davis import Split, open_split

@hookimpl
def harness_benchmarks():
    opens = functools.partial(open_split, Split("squares", ("ImageSets/2017/val.txt",)))
    return [Benchmark(name="squares", title="Squares", rules={"one-shot": DAVIS_2017}, open=opens, licence="CC-0")]
"""


@pytest.fixture
def site(tmp_path):
    """A folder on the path with two installed plugins: the example method, and a benchmark of squares."""
    site = tmp_path / "site"
    for name, module, source in (
        ("colour-model", "colour_model", EXAMPLE.read_text()),
        ("squares", "squares", BENCH),
    ):
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[harness]\n{name} = {module}\n")
    return site


@pytest.fixture
def squares(tmp_path, site, monkeypatch):
    """A DAVIS 2017 tree of two videos in which a bright square moves to the right."""
    root = tmp_path / "DAVIS"
    for name, top in (("high", 2), ("low", 14)):
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(4):
            mask = np.zeros((24, 32), np.uint8)
            mask[top : top + 8, 4 + t : 14 + t] = 1
            Image.fromarray(np.repeat(60 + 100 * mask[..., None], 3, axis=2)).save(frames / f"{t:05d}.jpg")
            write_mask(masks / f"{t:05d}.png", mask)
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("high\nlow\n")
    monkeypatch.syspath_prepend(site)
    return root


def harness(capsys, *arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def arguments_for(squares, out, *more):
    named = ("train", "--plugin", "colour-model", "--data", "squares", "--data-root", squares)
    return [str(part) for part in (*named, "--validate", "squares", "--out", out, *more)]


def test_the_example_of_the_document_learns_and_tells_what_came_out(capsys, squares, tmp_path):
    asked = arguments_for(squares, tmp_path / "out", "--iterations", "12", "--log-every", "6", "--threads", "1")
    code, out, err = harness(capsys, *asked, "--validate-every", "12")
    assert code == 0
    assert "2 videos of squares" in err
    assert "[6] loss " in err
    assert "[12] validation: J&F" in err
    assert "loss, first and last line" in out
    assert "last.safetensors" in out
    code, out, _ = harness(capsys, *asked, "--json")
    assert code == 0
    described = json.loads(out)
    assert described["depends_on"]["config"]["iterations"] == described["iterations"] == 12
    assert described["best"]["score"] > 0.5
    assert described["last"]["validation"]["videos"] == 2
    with Image.open(described["files"]["curve"]) as curve:
        assert curve.width == 800
    ran = ("run", "--plugin", "colour-model", "--bench", "squares", "--data-root", squares, "--out", tmp_path / "run")
    code, out, _ = harness(capsys, *ran, "--weights", described["files"]["best"], "--json")
    assert code == 0
    assert json.loads(out)["scores"]["j_and_f"]["J&F"]["value"] == pytest.approx(described["best"]["score"])


def test_the_default_folder_is_named_by_method_data_and_key_and_what_is_odd_is_told(
    capsys, squares, tmp_path, monkeypatch
):
    monkeypatch.setenv("HARNESS_RUNS", str(tmp_path / "runs"))
    asked = ("train", "--plugin", "colour-model", "--data", "squares", "--data-root", squares, "--preset", "short")
    Image.new("L", (8, 8)).save(squares / "JPEGImages/480p/high/cover.png")
    code, _, err = harness(capsys, *asked, "--validate", "none", "--iterations", "1")
    assert code == 0
    assert "note: images among the frames that are not read as frames in 1 video: high (cover.png)" in err
    (folder,) = (tmp_path / "runs/train/colour-model").iterdir()
    assert folder.name.startswith("squares-short-")
    assert (folder / "last.safetensors").is_file()
    assert not (folder / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--plugin", "copyfirst"), 2, "copyfirst declares no training; methods that do: "),
        (("--plugin", "colour-mode"), 4, "did you mean 'colour-model'"),
        (("--data", "squars"), 2, "did you mean 'squares'"),
        (("--data", "unlabelled"), 3, "colour-model learns from masks, and 2 of 2 videos of unlabelled have none"),
        (("--set", "lr"), 2, "not of the form key=value"),
        (("--set", "lr=1e999"), 2, "lr is inf, which a record cannot hold"),
        (("--set", "lr=1e300"), 5, "the training of colour-model"),
        (("--device", "tpu"), 6, "device 'tpu' is not known"),
        (("--validate", "davis17-val", "--validate-root", "/nowhere"), 3, "/nowhere: found no such folder"),
    ],
)
def test_each_mistake_has_its_exit_code(capsys, squares, tmp_path, more, code, message):
    asked = arguments_for(squares, tmp_path / "out", "--validate", "none", "--iterations", "3")
    if "unlabelled" in more:
        place = asked.index("--data")
        del asked[place : place + 2]  # given twice, both are learnt from
        more = (*more, "--data-root", squares / "JPEGImages/480p")
    found, _, err = harness(capsys, *asked, *more)
    assert message in err
    assert found == code


def test_a_launcher_that_tells_half_is_refused(capsys, squares, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    code, _, err = harness(capsys, *arguments_for(squares, tmp_path / "out"))
    assert code == 2
    assert "LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set" in err


def environment(site):
    return os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def start(squares, site, out, *more, launcher=()):
    line = [sys.executable, *launcher, "-m", "harness", *arguments_for(squares, out, *more)]
    return subprocess.Popen(line, env=environment(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out


def iteration_of(folder):
    """How far a training is; its checkpoint is whole at any moment."""
    path = folder / "checkpoint.pt"
    return torch.load(path, weights_only=True)["iteration"] if path.exists() else 0


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_goes_on_to_the_same_weights(squares, site, tmp_path):
    more = ("--iterations", "300", "--checkpoint-every", "7", "--log-every", "10", "--validate-every", "100")
    finish(start(squares, site, tmp_path / "whole", *more))
    folder = tmp_path / "killed"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)):
        killed, before = start(squares, site, folder, *more), iteration_of(folder)
        while iteration_of(folder) == before:
            assert killed.poll() is None
            time.sleep(0.02)
        killed.send_signal(number)
        _, err = killed.communicate(timeout=300)
        assert killed.returncode == code, err
        assert before < iteration_of(folder) < 300
    finish(start(squares, site, folder, *more))
    for name in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (folder / name).read_bytes()
    assert losses(tmp_path / "whole") == losses(folder)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["kind"], line["iteration"], line.get("losses"), line.get("score")) for line in lines]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(squares, site, tmp_path):
    more = ("--iterations", "20", "--log-every", "5", "--validate-every", "10", "--checkpoint-every", "8")
    finish(start(squares, site, tmp_path / "one", *more))
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()))
    out = finish(start(squares, site, tmp_path / "two", *more, launcher=launcher))
    assert out.count("iterations  ") == 1
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=0, atol=1e-6), name
    for there, here in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert there[:2] == here[:2]
        assert here[2] == pytest.approx(there[2], abs=1e-5)
    described = json.loads((tmp_path / "two/train.json").read_text())
    assert described["depends_on"]["world"] == 2
    shutil.copytree(tmp_path / "two", tmp_path / "again")
    (tmp_path / "again/last.safetensors").unlink()
    finish(start(squares, site, tmp_path / "again", *more, launcher=launcher))  # finished: nothing is trained


@pytest.mark.gpu
def test_two_gpus_learn_what_one_learns(squares, site, tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs, found {torch.cuda.device_count()}")
    more = ("--iterations", "20", "--device", "cuda")
    finish(start(squares, site, tmp_path / "one", *more))
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()))
    finish(start(squares, site, tmp_path / "two", *more, launcher=launcher))
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_a_terminal_gets_a_bar_and_the_lines(capsys, squares, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.cli.train_progress.on_terminal", lambda: True)
    asked = arguments_for(squares, tmp_path / "out", "--validate", "none", "--iterations", "4", "--log-every", "2")
    code, _, err = harness(capsys, *asked)
    assert code == 0
    assert "[4] loss " in err
    assert "4/4 iterations" in err


ROWS = """
title = "Squares"
method = "colour-model"
task = "one-shot"
benchmark = "squares"
metrics = ["J&F"]
paper = {title = "Squares", authors = "Nobody", year = 2026, where = "Table 1"}
[[rows]]
name = "short"
train = {data = "squares", preset = "short"}
[[rows]]
name = "longer"
train = {data = "squares", set = {iterations = 8}, init = "short"}
"""


@pytest.mark.slow
def test_rows_of_an_experiment_are_trained_and_not_trained_again(capsys, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(ROWS)
    asked = ("reproduce", "toy.toml", "--data-root", squares, "--out", tmp_path / "out", "--json")
    code, out, _ = harness(capsys, *asked)
    assert [cell["state"] for cell in json.loads(out)["cells"]] == ["needs-weights", "needs-weights"]
    code, out, err = harness(capsys, *asked, "--train", "--rows", "longer")
    assert code == 0
    assert err.index("short: training colour-model") < err.index("longer: training colour-model")
    (cell,) = json.loads(out)["cells"]
    assert cell["state"] == "measured"
    assert cell["training"] == str(tmp_path / "out/train/longer")
    made = {path: path.read_bytes() for path in tmp_path.glob("out/train/*/last.safetensors")}
    assert len(made) == 2
    code, _, err = harness(capsys, *asked, "--train")
    assert code == 0
    assert {path: path.read_bytes() for path in made} == made
    assert [len((path.parent / "log.jsonl").read_text().splitlines()) > 0 for path in made] == [True, True]
