"""``harness run`` and ``harness score`` as a user types them, with the exit code each mistake gets."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from harness.api.mask_files import read_mask, write_mask
from harness.cli import main

LENGTH = 6


def square(t, ids=1):
    mask = np.zeros((24, 32), np.uint8)
    for id_ in range(1, ids + 1):
        mask[4 * id_ : 4 * id_ + 6, 4 + t : 14 + t] = id_
    return mask


PLUGIN = """
import functools, os, time
from harness import Benchmark, DAVIS_2017, Method, hookimpl
from harness.datasets.davis import Split, open_split

class Slow:
    videos = 0

    def propagate(self, video, prompts):
        self.videos += 1
        for t in range(len(video)):
            time.sleep(float(os.environ["SLOW_SECONDS"]) if self.videos > 1 else 0)
            yield prompts[0]

@hookimpl
def harness_methods():
    return [Method(name="slow", tasks=("one-shot",), build=lambda context: Slow())]

@hookimpl
def harness_benchmarks():
    split = Split("tiny-val", ("ImageSets/2017/val.txt",))
    return [Benchmark(name="tiny-val", title="Tiny", rules={"one-shot": DAVIS_2017},
                      open=functools.partial(open_split, split), expected=("blackswan", "dog", "gold-fish", "absent"))]
"""


@pytest.fixture
def site(tmp_path):
    """A folder on the path that holds one installed plugin: a slow method and a benchmark of tiny videos."""
    site = tmp_path / "site"
    (site / "slow-1.0.dist-info").mkdir(parents=True)
    (site / "slow_plugin.py").write_text(PLUGIN)
    (site / "slow-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (site / "slow-1.0.dist-info/entry_points.txt").write_text("[harness]\nslow = slow_plugin\n")
    return site


@pytest.fixture
def davis(tmp_path, site, monkeypatch):
    """A DAVIS 2017 tree of two videos, one with two objects."""
    root = tmp_path / "DAVIS"
    for name, ids in (("blackswan", 1), ("dog", 1), ("gold-fish", 2)):
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(LENGTH):
            cv2.imwrite(str(frames / f"{t:05d}.jpg"), np.repeat(square(t, ids)[..., None] * 60, 3, axis=2))
            write_mask(masks / f"{t:05d}.png", square(t, ids))
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("blackswan\ndog\ngold-fish\n")
    monkeypatch.syspath_prepend(site)
    return root


def harness(capsys, *arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def run_tiny(capsys, davis, out, *more, plugin="copyfirst"):
    arguments = ("run", "--plugin", plugin, "--bench", "tiny-val", "--data-root", davis, "--allow-partial")
    return harness(capsys, *arguments, "--out", out, *more)


def score(capsys, davis, predictions, *more):
    arguments = ("score", predictions, "--bench", "tiny-val", "--data-root", davis, "--allow-partial")
    return harness(capsys, *arguments, *more)


@pytest.fixture
def predictions(tmp_path):
    """Perfect predictions for the tree."""
    for name, ids in (("blackswan", 1), ("dog", 1), ("gold-fish", 2)):
        (tmp_path / "predictions" / name).mkdir(parents=True)
        for t in range(LENGTH):
            write_mask(tmp_path / "predictions" / name / f"{t:05d}.png", square(t, ids))
    return tmp_path / "predictions"


def test_a_run_prints_scores_and_clocks_and_leaves_masks(capsys, davis, tmp_path):
    code, out, err = run_tiny(capsys, davis, tmp_path / "run")
    assert code == 0
    assert "J&F" in out
    assert "model, steady" in out
    assert "PARTIAL (1 of 4 videos are not in the data)" in out
    assert "[3/3] gold-fish: 6 frames" in err
    assert np.array_equal(read_mask(tmp_path / "run/masks/gold-fish/00005.png"), square(0, 2))


def test_json_alone_goes_to_standard_output(capsys, davis, tmp_path):
    code, out, _ = run_tiny(capsys, davis, tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out)["benchmark"]["videos_done"] == 3


def test_the_same_command_again_reuses_and_says_so(capsys, davis, tmp_path):
    run_tiny(capsys, davis, tmp_path / "run")
    code, _, err = run_tiny(capsys, davis, tmp_path / "run")
    assert code == 0
    assert "reused from an earlier run into this folder: blackswan, dog, gold-fish" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--plugin", "copyfist", "--bench", "davis17-val"], 4, "did you mean 'copyfirst'"),
        (["--plugin", "copyfirst", "--bench", "davis17-vl"], 2, "did you mean 'davis17-val'"),
        (["--plugin", "copyfirst", "--bench", "davis17-val"], 3, "no --data-root was given"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--data-root", "/nowhere"], 3, "/nowhere"),
        (["--plugin", "copyfirst", "--bench", "davis17-unsup-val", "--data-root", "/"], 2, "no task in common"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--set", "x=1"], 2, "no constant 'x'"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--preset", "x"], 2, "no preset 'x'"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--weights", "/no.pth"], 3, "no weights file"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--task", "vos"], 2, "no task named 'vos'"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--device", "tpu"], 6, "'tpu' is not known"),
        (["--plugin", "copyfirst", "--bench", "davis17-val", "--executor", "magic"], 2, "no executor named"),
        (["--plugin", "copyfirst"], 2, "--bench or --video: found neither, expected one"),
    ],
)
def test_wrong_calls_are_explained_with_their_exit_code(capsys, arguments, code, message):
    found, out, err = harness(capsys, "run", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_a_videos_list_and_a_limit_must_leave_something(capsys, davis, tmp_path):
    assert run_tiny(capsys, davis, tmp_path / "a", "--videos", "cat")[0] == 2
    assert run_tiny(capsys, davis, tmp_path / "b", "--limit", "0")[0] == 2
    code, out, _ = run_tiny(capsys, davis, tmp_path / "c", "--videos", "dog")
    assert code == 0
    assert "1 of 3 videos were chosen" in out


def test_perfect_predictions_score_one(capsys, davis, predictions):
    code, out, _ = score(capsys, davis, predictions)
    assert code == 0
    assert "J&F       1.0000" in out


def test_scores_as_csv_and_json(capsys, davis, predictions, tmp_path):
    code, out, _ = score(capsys, davis, predictions, "--json", "--csv", tmp_path / "csv")
    assert code == 0
    assert json.loads(out)["scores"]["j_and_f"]["J-mean"]["value"] == 1.0
    assert (tmp_path / "csv/global_results-val.csv").read_text().splitlines() == [
        "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay",
        "1.000,1.000,1.000,0.000,1.000,1.000,0.000",
    ]
    assert (tmp_path / "csv/per-sequence_results-val.csv").read_text().splitlines() == [
        "Sequence,J-Mean,F-Mean",
        *(f"{name},1.000,1.000" for name in ("blackswan_1", "dog_1", "gold-fish_1", "gold-fish_2")),
    ]


def test_another_toolkit_s_rule_is_named_in_the_output(capsys, davis, predictions):
    code, out, _ = score(capsys, davis, predictions, "--protocol", "vos-benchmark")
    assert code == 0
    assert "rule vos-benchmark/1" in out
    code, _, err = score(capsys, davis, predictions, "--rule", "vos-bench")
    assert code == 2
    assert "did you mean 'vos-benchmark'" in err


def test_the_first_and_last_masks_are_not_needed(capsys, davis, predictions):
    (predictions / "dog/00000.png").unlink()
    (predictions / f"dog/{LENGTH - 1:05d}.png").write_bytes(b"not opened")
    assert score(capsys, davis, predictions)[0] == 0


def write_rgb(path):
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (lambda p: p.unlink(), 7, "1 mask is missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:60]), 3, "truncated"),
        (lambda p: p.write_bytes(b""), 3, "00002.png"),
        (lambda p: p.write_bytes(b"GIF89a" * 20), 3, "00002.png"),
        (write_rgb, 3, "RGB"),
        (lambda p: write_mask(p, np.zeros((12, 16), np.uint8)), 3, "12 x 16"),
        (lambda p: write_mask(p, np.full((24, 32), 9, np.uint8)), 3, "9"),
        (lambda p: write_mask(p, np.full((24, 32), 255, np.uint8)), 3, "255"),
    ],
)
def test_bad_predictions_are_refused_and_nothing_is_scored(capsys, davis, predictions, tmp_path, spoil, code, message):
    spoil(predictions / "dog/00002.png")
    found, out, err = score(capsys, davis, predictions, "--out", tmp_path / "out")
    assert (found, out) == (code, "")
    assert message in err
    assert "dog/00002.png" in err
    assert not (tmp_path / "out/record.json").exists()


def test_a_missing_folder_and_missing_videos_are_named(capsys, davis, predictions, tmp_path):
    assert score(capsys, davis, tmp_path / "nowhere")[0] == 3
    for path in sorted((predictions / "dog").iterdir()):
        path.unlink()
    (predictions / "dog").rmdir()
    code, _, err = score(capsys, davis, predictions)
    assert code == 7
    assert "1 of 3 videos have no folder" in err
    assert "dog" in err


def test_what_lies_where_masks_are_missing_is_told(capsys, davis, predictions):
    (predictions / "dog/00002.png").rename(predictions / "dog/frame2.png")
    code, _, err = score(capsys, davis, predictions)
    assert code == 7
    assert f"dog/00002.png; found in {predictions / 'dog'}: frame2.png\n" in err
    (predictions / "dog").rename(predictions / "hound")
    code, _, err = score(capsys, davis, predictions)
    assert code == 7
    assert f"no folder in {predictions}: dog; found in {predictions}: hound\n" in err


def test_replay_is_a_plugin_too(capsys, davis, predictions, tmp_path):
    more = ("--set", f"directory={predictions}")
    code, out, _ = run_tiny(capsys, davis, tmp_path / "run", *more, plugin="replay")
    assert code == 0
    assert "J&F       1.0000" in out
    assert "model, steady" not in out


def test_changed_masks_are_scored_anew_by_replay(capsys, davis, predictions, tmp_path):
    more = ("--set", f"directory={predictions}")
    assert "J&F       1.0000" in run_tiny(capsys, davis, tmp_path / "run", *more, plugin="replay")[1]
    write_mask(predictions / "dog/00002.png", np.zeros((24, 32), np.uint8))
    code, out, err = run_tiny(capsys, davis, tmp_path / "run", *more, plugin="replay")
    assert code == 0
    assert "J&F       1.0000" not in out
    assert "reused" not in err


def test_scores_never_take_the_place_of_predictions_or_of_a_run(capsys, davis, predictions, tmp_path):
    run_tiny(capsys, davis, tmp_path / "run")
    for place, found in (
        (predictions, "holds the predictions"),
        (tmp_path, "holds the predictions"),
        (tmp_path / "run", "holds the run of a method"),
        (davis, "is no run folder"),
    ):
        code, out, err = score(capsys, davis, predictions, "--out", place)
        assert (code, out) == (2, "")
        assert found in err
    assert len(list((tmp_path / "run/masks/dog").iterdir())) == LENGTH


def test_earlier_scores_do_not_outlive_predictions_that_are_refused(capsys, davis, predictions, tmp_path):
    assert score(capsys, davis, predictions, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out/record.json").exists()
    (predictions / "dog/00002.png").unlink()
    assert score(capsys, davis, predictions, "--out", tmp_path / "out")[0] == 7
    assert not (tmp_path / "out/record.json").exists()


@pytest.mark.parametrize("option", ["--out", "--csv"])
def test_a_place_that_cannot_be_written_is_exit_code_6(capsys, davis, predictions, tmp_path, option):
    (tmp_path / "file").write_text("")
    code, out, err = score(capsys, davis, predictions, option, tmp_path / "file")
    assert (code, out) == (6, "")
    assert str(tmp_path / "file") in err
    assert "Traceback" not in err


@pytest.fixture
def slow_command(tmp_path, davis, site):
    arguments = ["run", "--plugin", "slow", "--bench", "tiny-val", "--data-root", str(davis), "--allow-partial"]
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments, "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def start(seconds):
        """Start the run; its method takes so many seconds a frame, but for those of the first video."""
        given = {**environment, "SLOW_SECONDS": str(seconds)}
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def wait_for_first_video(process, run):
    deadline = time.monotonic() + 300
    while not list((run / "videos").glob("[!.]*.json")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("blow", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_killed_or_interrupted_run_goes_on_where_it_was(tmp_path, slow_command, blow, code):
    process = slow_command(600)
    wait_for_first_video(process, tmp_path / "run")
    process.send_signal(blow)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert not (tmp_path / "run/record.json").exists()
    if blow != signal.SIGKILL:
        assert "the same command goes on from there" in err
    again = slow_command(0)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert "reused from an earlier run into this folder: blackswan" in err
    record = json.loads((tmp_path / "run/record.json").read_text())
    assert record["benchmark"]["videos_done"] == 3
    assert sorted(path.name for path in (tmp_path / "run/masks").iterdir()) == ["blackswan", "dog", "gold-fish"]


@pytest.mark.slow
def test_two_runs_at_once_into_one_folder_refuse_each_other(tmp_path, slow_command):
    with slow_command(600) as first, contextlib.ExitStack() as at_end:
        at_end.callback(first.kill)
        wait_for_first_video(first, tmp_path / "run")
        second = slow_command(0)
        _, err = second.communicate(timeout=300)
    assert second.returncode == 2
    assert f"another run (process {first.pid}) is writing" in err


@pytest.mark.data
@pytest.mark.parametrize("limit", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_published_masks_score_as_the_official_toolkit_says(capsys, shared, limit):
    reference = json.loads((shared / "data/predictions/reference_scores.json").read_text())["segflow"]["per_sequence"]
    arguments = ("--bench", "davis16-val", "--data-root", shared / "data/DAVIS", "--allow-partial", "--json")
    videos = ",".join(sorted(reference)[:limit])
    code, out, _ = harness(capsys, "score", shared / "data/predictions/segflow", *arguments, "--videos", videos)
    assert code == 0
    rows = {row["video"]: row["objects"]["1"] for row in json.loads(out)["videos"]}
    assert sorted(rows) == sorted(reference)[:limit]
    for video in rows:
        for measure in "JF":
            ours = [rows[video][f"{measure}-{figure}"] for figure in ("mean", "recall", "decay")]
            assert ours == pytest.approx(reference[video][measure], abs=1e-9)


@pytest.mark.data
def test_zero_shot_masks_have_a_T_and_a_table_by_attribute(capsys, shared):
    """SegFlow's zero-shot masks; T only of the videos the dataset names for it, OCC only of those with occlusions."""
    arguments = ("--bench", "davis16-val", "--task", "object-zvos", "--data-root", shared / "data/DAVIS")
    predictions = shared / "data/predictions/segflow-ol-unsup"
    more = ("--allow-partial", "--videos", "blackswan,bmx-trees", "--attributes")
    code, out, _ = harness(capsys, "score", predictions, *arguments, *more)
    assert code == 0
    row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["OCC"])
    occluded = next(line.split() for line in out.splitlines() if line.split()[:1] == ["bmx-trees"])
    assert row[1] == "1"
    assert row[2] == occluded[3]
    assert occluded[-1] == "-"
    assert float(next(line.split() for line in out.splitlines() if line.split()[:1] == ["blackswan"])[-1]) > 0


def test_a_run_under_another_rule_says_so_and_has_a_key_of_its_own(tmp_path, capsys):
    asked = ["run", "--plugin", "copyfirst", "--bench", "mini-small", "--limit", "1", "--task", "one-shot", "--json"]
    code, out, _ = harness(capsys, *asked, "--out", str(tmp_path / "own"))
    assert code == 0
    own = json.loads(out)
    other_rule = ["--protocol", "davis-2016-frame-mean", "--out", str(tmp_path / "other")]
    other = json.loads(harness(capsys, *asked, *other_rule)[1])
    assert (own["benchmark"]["own_rule"], other["benchmark"]["own_rule"]) == (True, False)
    assert (other["benchmark"]["scoring"], other["benchmark"]["average"]) == ("davis2016-frame-mean/1", "frames")
    assert own["videos"][0]["frames"] + 2 == other["videos"][0]["frames"]
    keys = [json.loads((tmp_path / place / "plan.json").read_text())["scoring"] for place in ("own", "other")]
    assert keys == ["davis2017-semi/1", "davis2016-frame-mean/1"]


def test_a_run_refuses_a_rule_that_is_unknown_or_does_not_fit(capsys):
    asked = ["run", "--plugin", "copyfirst", "--bench", "mini-small", "--task", "one-shot"]
    for protocol, words in (("davis-2106", "did you mean"), ("youtube-vis", "measures tracks")):
        code, _, err = harness(capsys, *asked, "--protocol", protocol)
        assert (code, words in err) == (2, True)
