"""The answer has standard output to itself, whatever code of a plugin does to standard output."""

import json
import os
import subprocess
import sys

import pytest

PLUGIN = """
import atexit, os, sys, threading
from harness import Method, hookimpl

def print_late():
    threading.main_thread().join()
    print("NOISE", flush=True)

DEEDS = {
    "print": lambda: print("NOISE", flush=True),
    "print past sys.stdout": lambda: sys.__stdout__.write("NOISE"),
    "write below Python": lambda: os.write(1, b"NOISE"),
    "let a child write": lambda: os.system("echo NOISE"),
    "print at the end": lambda: atexit.register(print, "NOISE"),
    "write below Python at the end": lambda: atexit.register(os.write, 1, b"NOISE"),
    "print from a thread that goes on": lambda: threading.Thread(target=print_late).start(),
    "close": lambda: sys.stdout.close(),
    "close both": lambda: (sys.stdout.close(), sys.stderr.close()),
    "close the descriptor": lambda: os.close(1),
    "swap": lambda: setattr(sys, "stdout", open("/dev/null", "w")),
    "swap for none": lambda: setattr(sys, "stdout", None),
}

class Noisy:
    def propagate(self, video, prompts):
        DEEDS[os.environ["DEED"]]()
        for _ in range(len(video)):
            yield prompts[0]

@hookimpl
def harness_methods():
    return [Method(name="noisy", tasks=("one-shot",), build=lambda context: Noisy())]
"""


@pytest.fixture
def site(tmp_path):
    """A folder on the path that holds one installed plugin."""
    info = tmp_path / "noisy-1.0.dist-info"
    info.mkdir()
    (tmp_path / "noisy_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nnoisy = noisy_plugin\n")
    return tmp_path


def call(site, deed, *arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    given = {**os.environ, "PYTHONPATH": str(site), "DEED": deed}
    return subprocess.run(command, cwd=site, env=given, capture_output=True, text=True, check=False)


RUN = ("run", "--plugin", "noisy", "--bench", "mini-small", "--limit", "1", "--threads", "1", "--out", "run")


NOISES = ("print", "print past sys.stdout", "write below Python", "let a child write")
LATE_NOISES = ("print at the end", "write below Python at the end", "print from a thread that goes on")


@pytest.mark.parametrize("deed", [*NOISES, *LATE_NOISES])
def test_what_a_method_prints_is_on_standard_error(site, deed):
    ended = call(site, deed, *RUN, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["plugin"]["name"] == "noisy"
    assert "NOISE" in ended.stderr


@pytest.mark.parametrize("deed", ["close", "close both", "close the descriptor", "swap", "swap for none"])
def test_a_method_that_takes_standard_output_away_leaves_the_answer(site, deed):
    ended = call(site, deed, *RUN, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["plugin"]["name"] == "noisy"
    assert "Traceback" not in ended.stderr


def test_check_answers_alone_too(site):
    ended = call(site, "print", "check", "noisy", "--quick", "--json")
    assert json.loads(ended.stdout)
    assert "NOISE" in ended.stderr


def test_help_is_an_answer(site):
    ended = call(site, "print", "bench", "methods", "--help")
    assert "--frames" in ended.stdout
    assert ended.stderr == ""
