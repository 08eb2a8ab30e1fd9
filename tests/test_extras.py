"""A dataset, a metric, an executor and a reporter of strangers are found by their hooks and do their work."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api.mask_files import write_mask

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ROOT / "tests" / "third_party" / "vos-extras"
POINTS = ("dataset", "metric", "executor", "reporter")
FLAKY = """
from harness import Method, hookimpl

class Flaky:
    built = 0

    def __init__(self):
        Flaky.built += 1
        self.breaks = Flaky.built == 1

    def propagate(self, video, prompts):
        for t in range(len(video)):
            if self.breaks and video.name == "video-0000" and t == 3:
                raise RuntimeError("out of luck")
            yield prompts[0]

@hookimpl
def harness_methods():
    return [Method(name="flaky", tasks=("one-shot",), build=lambda context: Flaky())]
"""


def square(frame: int, *, grown: int = 0) -> np.ndarray:
    """Object 1, a square of 10 x 10 that moves one pixel a frame; ``grown``: so many rows more below it."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10 : 20 + grown, 10 + frame : 20 + frame] = 1
    return mask


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Where the examples are installed (``site``), beside their data (``videos``: two of six frames)."""
    site, info = tmp_path / "site", tmp_path / "site" / "vos_extras-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "vos_extras").symlink_to(EXTRAS / "vos_extras")
    (site / "flaky.py").write_text(FLAKY)
    points = "".join(f"extras-{name} = vos_extras.{name}\n" for name in POINTS)
    (info / "entry_points.txt").write_text(f"[harness]\n{points}flaky = flaky\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vos-extras\nVersion: 1.0\n")
    for video in ("harbour", "market"):
        for folder in ("frames", "masks"):
            (tmp_path / "videos" / video / folder).mkdir(parents=True)
        for t in range(6):
            picture = np.repeat(square(t)[..., None] * 200, 3, axis=2)
            Image.fromarray(picture).save(tmp_path / "videos" / video / "frames" / f"{t:05d}.jpg")
            write_mask(tmp_path / "videos" / video / "masks" / f"{t:05d}.png", square(t))
    return tmp_path


def harness(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONPATH": str(place / "site")}
    return subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment)


def record_of(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(place: Path, *more: str, plugin: str = "copyfirst") -> subprocess.CompletedProcess[str]:
    wanted = ("--plugin", plugin, "--bench", "ours-val", "--data-root", "videos", "--out", "run", "--json")
    return harness(place, "run", *wanted, *more)


def test_the_entry_points_of_the_test_are_those_of_its_pyproject():
    written = (EXTRAS / "pyproject.toml").read_text()
    assert re.findall(r'^extras-(\w+) = "vos_extras\.\1"$', written, re.M) == list(POINTS)


def test_dataset_and_metric_are_listed_with_their_distribution(ours):
    benches = {row["bench"]: row for row in json.loads(harness(ours, "ls", "benches", "--json").stdout)}
    metrics = {row["metric"]: row for row in json.loads(harness(ours, "ls", "metrics", "--json").stdout)}
    assert benches["ours-val"]["from"] == metrics["precision_recall"]["from"] == "vos-extras 1.0"


def test_a_run_on_the_dataset_is_measured_by_its_own_metric(ours):
    """The first mask stays where it is: of 100 pixels 90, 80, 70 and 60 are right on the four scored frames."""
    record = record_of(run(ours))
    figures = {name: found["value"] for name, found in record["scores"]["precision_recall"].items()}
    assert figures == {"precision": pytest.approx(300 / 400), "recall": pytest.approx(300 / 400)}
    assert record["benchmark"]["scoring"] == "ours/1"
    assert (record["benchmark"]["videos_done"], record["partial"]) == (2, False)
    assert set(record["scores"]) == {"j_and_f", "precision_recall"}


def test_masks_made_elsewhere_are_scored_by_it_too(ours):
    """Ten rows by ten more than there are: every second pixel is right, every true one is found."""
    for video in ("harbour", "market"):
        (ours / "masks" / video).mkdir(parents=True)
        for t in range(6):
            write_mask(ours / "masks" / video / f"{t:05d}.png", square(t, grown=10))
    scored = harness(ours, "score", "masks", "--bench", "ours-val", "--data-root", "videos", "--json")
    figures = record_of(scored)["scores"]["precision_recall"]
    assert (figures["precision"]["value"], figures["recall"]["value"]) == (100 / 200, 1)


def test_its_tree_passes_the_check_of_data(ours):
    checked = harness(ours, "data", "check", "ours-val", "--data-root", "videos")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
def test_a_frame_without_mask_is_named(ours):
    (ours / "videos" / "market" / "masks" / "00002.png").unlink()
    done = run(ours)
    assert done.returncode == 3
    assert "market: found 6 frames, 5 masks, unpaired: ['00002']" in done.stderr


def test_a_mask_of_another_size_is_named(ours):
    write_mask(ours / "videos" / "market" / "masks" / "00002.png", square(2)[:20])
    checked = harness(ours, "data", "check", "ours-val", "--data-root", "videos")
    assert checked.returncode == 3
    assert "00002.png: found (20, 60) rows and columns, expected (40, 60)" in checked.stdout + checked.stderr


def test_a_frame_that_is_no_picture_is_named(ours):
    (ours / "videos" / "harbour" / "frames" / "00004.jpg").write_bytes(b"no picture")
    checked = harness(ours, "data", "check", "ours-val", "--data-root", "videos")
    assert checked.returncode == 3
    assert "00004.jpg: found no readable frame" in checked.stdout + checked.stderr


@pytest.mark.slow
def test_a_tree_that_lacks_a_video_makes_a_partial_record_where_that_is_allowed(ours):
    (ours / "videos" / "harbour").rename(ours / "elsewhere")
    assert run(ours).returncode == 3
    record = record_of(run(ours, "--allow-partial"))
    assert (record["partial"], record["partial_reason"]) == (True, "1 of 2 videos are not in the data")


def test_every_byte_of_the_data_is_in_the_fingerprint(ours):
    def fingerprint() -> str:
        return harness(ours, "data", "fingerprint", "ours-val", "--data-root", "videos").stdout

    before = fingerprint()
    assert fingerprint() == before
    write_mask(ours / "videos" / "market" / "masks" / "00005.png", square(4))
    assert fingerprint() != before


@pytest.mark.slow
def test_the_executor_gives_a_crashed_video_a_second_try(ours):
    once = run(ours, plugin="flaky")
    assert once.returncode == 5
    assert [failure["video"] for failure in json.loads(once.stdout)["failures"]] == ["harbour"]
    twice = record_of(run(ours, "--executor", "again", "--resume", "never", plugin="flaky"))
    assert (twice["failures"], twice["partial"], twice["conditions"]["executor"]) == ([], False, "again")
    assert [row["video"] for row in twice["videos"]] == ["harbour", "market"]


@pytest.mark.slow
def test_the_reporter_writes_a_row_for_each_figure(ours):
    record = record_of(run(ours))
    assert harness(ours, "leaderboard", "add", "run").returncode == 0
    assert harness(ours, "leaderboard", "build", "--reporter", "csv").returncode == 0
    assert harness(ours, "leaderboard", "check", "--reporter", "csv").returncode == 0
    table = ours / "leaderboard" / "leaderboard.csv"
    rows = {row["figure"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert len(rows) == sum(len(figures) for figures in record["scores"].values())
    assert float(rows["precision"]["value"]) == pytest.approx(300 / 400)
    assert (rows["recall"]["method"], rows["recall"]["benchmark"]) == ("copyfirst", "ours-val")
    assert rows["recall"]["record"] == record["id"]


@pytest.fixture
def extras(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTRAS))
    import vos_extras.dataset
    import vos_extras.metric
    import vos_extras.reporter

    return vos_extras


def test_no_cell_of_the_table_is_a_formula(extras, make_record):
    record = make_record({"a": [(0.5, 0.5)]}, preset="=1+1")
    assert {row[3] for row in extras.reporter.rows_of(record)} == {"'=1+1"}


def test_an_object_that_is_never_there_has_no_recall(extras, tests_tools):
    """Object 2 is in the first mask only; object 1 stays. Of its 18 predicted pixels 9 are right."""
    first = tests_tools.moving_square(0)
    first[7, 7] = 2
    sample = tests_tools.tiny_sample(length=3, read_truth=lambda t: first if t == 0 else first * (first == 1))
    rule = extras.dataset.harness_benchmarks()[0].rules["one-shot"]
    metric = extras.metric.PrecisionRecall()
    video = metric.start(sample, rule)
    prediction = sample.read_truth(1).copy()
    prediction[5:8, 1:4] = 1
    for t in range(3):
        video.add(t, prediction, sample.read_truth(t))
    scores = video.finish()
    assert scores.frames == [1]
    assert scores.summary == {"1": {"precision": 9 / 18, "recall": 1.0}, "2": {"precision": None, "recall": None}}
    assert metric.summarise([scores], rule) == {"precision": 9 / 18, "recall": 1.0}


def test_the_metric_refuses_a_rule_it_does_not_know(extras, tests_tools):
    from harness import DAVIS_2016

    with pytest.raises(ValueError, match="davis2016/1"):
        extras.metric.PrecisionRecall().start(tests_tools.tiny_sample(), DAVIS_2016)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["your-dataset.md", "extend.md"])
def test_the_commands_of_the_page_run_beside_the_data(page, ours):
    lines = re.findall(r"^```console extras\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.M | re.S)
    commands = [line[2:] for block in lines for line in block.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        done = harness(ours, *shlex.split(command)[1:])
        assert done.returncode == 0, f"{command}\n{done.stderr}"
