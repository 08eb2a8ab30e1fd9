"""SIGKILL at seeded moments of a run: what is there is whole, the same command goes on, and nothing is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = 200


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_it_never_was(tmp_path):
    program = Path(__file__).with_name("kill_trials.py")
    ended = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(TRIALS)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["killed"] > TRIALS // 2
    assert found["compared"] >= 1
