"""The fuzz tests of this folder with 25 times the examples, in a process of their own: a reader may crash it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
FILES = sorted(path.name for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name)


@pytest.fixture
def bounds():
    """None here: each test has its own in the process that is started."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_same_with_more_examples(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / name)]
    run = subprocess.run(
        command,
        cwd=FOLDER.parents[1],
        env={**os.environ, "HARNESS_FUZZ": "fuzz-long"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
