"""A method in another environment, workers that speak another tongue, and runs that end before their workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.api.errors import EnvironmentProblem, PluginError, UsageError
from harness.hosting.apart import describe
from harness.planning.request import Request

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def other_python(tmp_path_factory):
    """A virtual environment with a plugin and what a worker needs, without the harness."""
    folder = tmp_path_factory.mktemp("other")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    ours = Path(np.__file__).parents[1]
    for package in [*ours.iterdir()]:
        if not package.name.startswith(("vos_harness", "_vos_harness", "harness", "__editable__", "distutils", "_vir")):
            (site / package.name).symlink_to(package)
    info = site / "planted-3.1.dist-info"
    info.mkdir()
    (site / "planted_elsewhere.py").write_text((HERE / "planted.py").read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text("[harness]\nplanted = planted_elsewhere\n")
    python = folder / "bin/python"
    found = subprocess.run([python, "-c", "import harness"], capture_output=True, text=True, cwd=folder)
    assert "No module named 'harness'" in found.stderr
    return python


def test_a_method_of_another_environment_is_described_and_run(tmp_path, run_planted, inline, other_python):
    asked = {"python": other_python, "overrides": ("folder=/x",), "elsewhere": True}
    record = run_planted("shifts", tmp_path / "process", **asked)
    assert (record.plugin.distribution, record.plugin.version) == ("planted", "3.1")
    assert record.config == {"shift": 1, "folder": "/x", "tricks": "", "flow": ""}
    assert record.scores == inline.scores
    assert record.conditions.torch == inline.conditions.torch
    plan = json.loads((tmp_path / "process/plan.json").read_text())
    assert plan["harness_elsewhere"] == record.harness_version


def test_a_method_of_another_environment_is_run_nowhere_else(tmp_path, run_planted, other_python):
    with pytest.raises(UsageError, match="executor inline cannot do --python"):
        run_planted("shifts", tmp_path, python=other_python, elsewhere=True, executor="inline")


@pytest.mark.slow
def test_an_unknown_method_or_constant_there_is_named_as_here(planted, other_python):
    with pytest.raises(PluginError, match="did you mean 'shifts'"):
        describe(Request(plugin="shift", bench="tiny", python=other_python))
    with pytest.raises(UsageError, match="did you mean 'shift'"):
        describe(Request(plugin="shifts", bench="tiny", python=other_python, overrides=("shft=2",)))


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


FAKE = f"""#!{sys.executable}
import json, os, struct, sys
def send(message):
    body = json.dumps(message).encode()
    os.write(int(sys.argv[3]), struct.pack(">I", len(body)) + body)
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("send({'re': 'hello', 'protocol': 99, 'harness': '9.0'})", "speaks protocol 99 .vos-harness 9.0., this .* 1"),
        ("os.write(int(sys.argv[3]), b'GET / HTTP/1.1')", "no sense: a message said to be"),
        ("os.write(int(sys.argv[3]), struct.pack('>I', 2) + b'no')", "is not JSON"),
        ("sys.exit('no module named torch')", r"exit code 1\n  \| no module named torch"),
        (
            "send({'re': 'hello', 'protocol': 1}); send({'re': 'done', 'description': {'name': 7}})",
            "describes no method",
        ),
    ],
)
def test_a_worker_of_another_tongue_is_refused(tmp_path, body, message):
    python = script(tmp_path / "python", FAKE + body + "\nimport time; time.sleep(600)\n")
    with pytest.raises((EnvironmentProblem, PluginError), match=message):
        describe(Request(plugin="shifts", bench="tiny", python=python))


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EnvironmentProblem, match="nowhere could not be started"):
        describe(Request(plugin="shifts", bench="tiny", python=tmp_path / "nowhere"))


# The run ends, and the worker with it.


@pytest.fixture
def waiting_run(tmp_path):
    """A run of ``waits`` as a user starts it, once its method hangs; (process, worker, process of the worker)."""
    site = tmp_path / "site"
    info = site / "planted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nplanted = planted\n")
    path = os.pathsep.join([str(site), str(HERE), os.environ.get("PYTHONPATH", "")])
    arguments = ["run", "--plugin", "waits", "--bench", "mini-small", "--limit", "1", "--executor", "process"]
    arguments += ["--set", f"folder={tmp_path}", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-c", "from harness.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "pids").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process, *map(int, (tmp_path / "pids").read_text().split())
    process.kill()
    process.communicate()


def is_gone(pid):
    """Whether the process ended; a zombie that nobody collects has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blow", "code"), [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_or_interrupted_leaves_no_process(waiting_run, blow, code):
    process, *others = waiting_run
    assert not any(is_gone(pid) for pid in others)
    process.send_signal(blow)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code
    if code == 130:
        assert "the same command goes on from there" in err
    deadline = time.monotonic() + 120
    while not all(is_gone(pid) for pid in others):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_rests_ends_with_a_run_that_is_killed(waiting_run, blow):
    process, *others = waiting_run
    os.kill(others[0], signal.SIGSTOP)
    process.send_signal(blow)
    process.communicate(timeout=300)
    deadline = time.monotonic() + 120
    while not all(is_gone(pid) for pid in others):
        assert time.monotonic() < deadline
        time.sleep(0.05)
