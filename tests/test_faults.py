"""Faults by a seed: what is there after each is whole, the same command goes on, and nothing is left behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import describe
from benchmarks.faults.stage import Stage, Trial
from harness.running.folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_few_faults_of_every_kind_that_needs_no_cluster_cost_nothing(tmp_path):
    kinds = ["runner", "cut", "foreign", "two", "disk", "clocks"]
    out = tmp_path / "faults.json"
    command = [sys.executable, "-m", "benchmarks.faults", "--trials", "10", "--out", str(out)]
    command += [f"--kind={kind}" for kind in kinds]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    trials = json.loads(out.read_text())["trials"]
    assert {trial["kind"] for trial in trials} == set(kinds)
    assert {trial["kind"] for trial in trials if trial["compared"]} == set(kinds)


@pytest.mark.slow
def test_what_is_wrong_and_what_is_left_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("benchmarks.faults.stage.SECONDS_TO_DIE", 0.2)
    stage = Stage(tmp_path)
    assert (stage.look(stage.whole), stage.compare(stage.whole), stage.list_left(stage.whole)) == ([], [], [])
    out = Path(shutil.copytree(stage.whole, stage.new()))
    record = json.loads((out / "record.json").read_text())
    record["scores"]["j_and_f"]["J&F"]["value"] = 0.5
    (out / "record.json").write_text(json.dumps(record))
    (out / "masks" / "small-cross" / "00003.png").write_bytes(b"")
    assert stage.compare(out) == [
        "record: scores",
        "small-cross.json is not whole",
        "masks/small-cross/00003.png: other masks",
    ]
    (out / "videos" / ".small-cross.json.1.tmp").write_bytes(b"")
    (stage.temporary / "harness-1-x").mkdir()
    sleeps = subprocess.Popen(["sleep", "60"])
    with RunFolder(out):
        (out / "videos" / ".small-cross.json.1.tmp").write_bytes(b"")  # the lock swept it
        left = stage.list_left(out)
    sleeps.kill()
    sleeps.wait()
    assert left[:3] == ["file videos/.small-cross.json.1.tmp", "temporary harness-1-x", "process sleep 60"]
    assert left[3].startswith("lock: another run")


def test_the_table_counts_what_was_wrong_and_what_was_left():
    rows = [
        Trial("runner", "a"),
        Trial("runner", "b", True),
        Trial("runner", "c", True, ("record: scores",)),
        Trial("disk", "d", True, (), ("process x",)),
    ]
    _, _, runner, disk = describe(rows).splitlines()
    assert runner.split()[-6:] == ["3", "1", "of", "2", "0", "0"]
    assert disk.split()[-6:] == ["1", "1", "of", "1", "0", "1"]
