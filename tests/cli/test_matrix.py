"""Several runs by one command: a bad one stops no other, folders are those of single runs, and the code is right."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.api.foreign import Interrupted
from harness.cli import main
from harness.cli.cell import End, answer_for, play_cell
from harness.cli.matrix import describe_seconds, run_cells
from harness.planning.cells import Cell

ASKED = {
    "task": None,
    "rule": None,
    "constants": [],
    "weights": None,
    "device": "cpu",
    "precision": "fp32",
    "videos": ["small-cross"],
    "limit": None,
    "shard": None,
    "data_root": None,
    "allow_partial": False,
    "executor": "inline",
    "seed": 0,
    "python": None,
    "workers": 1,
    "threads": 1,
    "first_frame_seconds": 600.0,
    "frame_seconds": 120.0,
    "resume": "auto",
    "overlay": False,
}


def type_command(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([*words])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_a_run_that_fails_stops_no_other_and_the_code_is_that_of_the_worst(make_record, capsys):
    record = make_record({"a": [(0.5, 0.7)]})
    ends = {
        "bad": End(3, problem="no data\n  next: fetch"),
        "worse": End(5, problem="crashed"),
        "good": End(0, None, record),
    }
    begun = []

    def play(asked, runs):
        begun.append((asked["plugin"], asked["bench"], asked["preset"], runs))
        return ends[asked["plugin"]]

    cells = [Cell(name, "toy") for name in ("bad", "worse", "good")]
    assert run_cells(cells, {}, Path("there"), as_json=False, play=play) == 5
    assert begun == [(name, "toy", "", Path("there")) for name in ("bad", "worse", "good")]
    told = capsys.readouterr().out
    assert "J&F 0.6000" in told
    assert "no data" in told
    assert "3 runs: 1 finished, 2 failed" in told
    assert run_cells(cells[2:], {}, None, as_json=False, play=play) == 0


def test_after_ctrl_c_none_is_begun_and_those_that_ended_are_told(make_record, capsys):
    record = make_record({"a": [(0.5, 0.7)]})

    def play(asked, runs):
        if asked["plugin"] == "second":
            raise Interrupted
        return End(0, Path("runs/x"), record)

    cells = [Cell(name, "toy") for name in ("first", "second", "third")]
    assert run_cells(cells, {}, None, as_json=True, play=play) == 130
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows] == ["finished", "failed", "not begun"]
    assert [row["exit_code"] for row in rows] == [0, 130, None]
    assert (rows[0]["value"], rows[0]["folder"]) == (pytest.approx(0.6), "runs/x")


def test_what_is_of_one_method_or_of_one_run_is_refused(capsys):
    several = ("run", "--plugin", "copyfirst,tvos", "--bench", "mini-small")
    for words in (("--set", "k=3"), ("--weights", "some.pt"), ("--attributes",), ("--preset", "small,lite0")):
        code, _, err = type_command(capsys, *several, *words)
        assert (code, words[0] in err) == (2, True), words
    code, _, err = type_command(capsys, "run", "--plugin", "copyfirst,tvso", "--bench", "mini-small")
    assert (code, "did you mean 'tvos'?" in err) == (4, True)


def test_a_dry_run_lists_what_would_run_and_what_cannot_and_runs_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)  # no leaderboard/records here, which may know this machine
    words = ("run", "--plugin", "copyfirst,centre-prior", "--bench", "mini-small,davis17-val", "--dry-run")
    code, out, _ = type_command(capsys, *words, "--json")
    jobs = {(job["plugin"], job["bench"]): job for job in json.loads(out)}
    assert code == 3  # the largest: data that are not there
    good = jobs["copyfirst", "mini-small"]
    assert (good["videos"], good["frames"], good["finished"]) == (4, 102, 0)
    assert good["mask_bytes"] == 102 * 4096
    assert good["seconds"] is None  # nothing is known of this machine
    assert jobs["copyfirst", "davis17-val"]["to_fetch"]
    assert "no task in common" in jobs["centre-prior", "davis17-val"]["problem"]
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_knows_what_is_finished_and_how_long_the_rest_may_take(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    one = ("run", "--plugin", "copyfirst", "--bench", "mini-small", "--threads", "1")
    code, out, _ = type_command(capsys, *one, "--videos", "small-cross", "--json")
    assert code == 0
    steady = json.loads(out)["timing"]["e2e"]["mean_ms"]
    first = json.loads(out)["timing"]["e2e_first_frame"]["mean_ms"]
    _, out, _ = type_command(capsys, *one, "--dry-run", "--json")
    (job,) = json.loads(out)
    assert (job["finished"], job["frames"]) == (1, 102)
    assert job["seconds"] == pytest.approx((3 * first + (78 - 3) * steady) / 1000)
    assert Path(job["folder"]) == next(tmp_path.glob("mini-small/one-shot/copyfirst-*"))
    _, out, _ = type_command(capsys, *one, "--dry-run")
    assert "time from mini-small" in out


def test_seconds_are_told_in_words():
    assert describe_seconds(None) == "unknown"
    assert describe_seconds(7300) == "2 h 1 min"


def test_what_a_cell_came_to_is_written_for_whoever_asked(tmp_path):
    asked = {**ASKED, "plugin": "copyfirst", "bench": "mini-small", "preset": "", "out": str(tmp_path / "run")}
    assert answer_for(asked, tmp_path / "end.json") == 0
    told = json.loads((tmp_path / "end.json").read_text())
    assert (told["exit_code"], told["folder"], told["problem"]) == (0, str(tmp_path / "run"), "")
    assert answer_for({**asked, "bench": "davis16-val", "task": "vis"}, tmp_path / "end.json") == 2
    assert "no task in common" not in json.loads((tmp_path / "end.json").read_text())["folder"]
    assert "scores" in json.loads((tmp_path / "end.json").read_text())["problem"]


PLUGIN = """
import os, time
from harness import Method, hookimpl

class Dies:
    def propagate(self, video, prompts):
        yield prompts[0]
        os.kill(os.getpid(), 11)

class Waits:
    def propagate(self, video, prompts):
        yield prompts[0]
        time.sleep(600)

@hookimpl
def harness_methods():
    return [Method(name=name, tasks=("one-shot",), build=lambda context, what=what: what())
            for name, what in (("dies", Dies), ("waits", Waits))]
"""


@pytest.fixture
def with_plugin(tmp_path, monkeypatch):
    """A path on which a method that ends its process is installed, and one that never comes to an end."""
    site = tmp_path / "site"
    (site / "odd-1.0.dist-info").mkdir(parents=True)
    (site / "odd_plugin.py").write_text(PLUGIN)
    (site / "odd-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (site / "odd-1.0.dist-info/entry_points.txt").write_text("[harness]\nodd = odd_plugin\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])


@pytest.mark.slow
def test_a_process_that_dies_ends_its_cell_alone_and_ctrl_c_reaches_it_once(with_plugin, tmp_path):
    asked = {**ASKED, "plugin": "dies", "bench": "mini-small", "preset": ""}
    assert play_cell(asked, tmp_path).problem == "its process was ended by SIGSEGV"
    threading.Thread(target=_interrupt_once_begun, args=(tmp_path,), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        play_cell({**asked, "plugin": "waits"}, tmp_path)
    (folder,) = tmp_path.glob("mini-small/one-shot/waits-*")
    assert not list(folder.glob("videos/*"))
    end = play_cell({**asked, "plugin": "copyfirst"}, tmp_path)  # the folder of a single run, and its record
    assert (end.exit_code, end.folder) == (0, next(tmp_path.glob("mini-small/one-shot/copyfirst-*")))
    assert end.record is not None


def _interrupt_once_begun(runs: Path) -> None:
    """Ctrl-C for this process once the method's folder is there."""
    while not list(runs.glob("mini-small/one-shot/waits-*/plan.json")):
        time.sleep(0.1)
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGINT)
