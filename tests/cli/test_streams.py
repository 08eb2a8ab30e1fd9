"""Standard error that nobody can read ends no command; neither does a reader of standard output that has gone."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from harness.cli.streams import streams_held
with streams_held():
    kept = os.open("kept", os.O_CREAT | os.O_WRONLY)
    for stream in (sys.stderr, sys.stdout):
        for _ in range(3):
            print("x" * 70000, file=stream, flush=True)
    print(kept, file=open("descriptor", "w"))
sys.exit(7)
"""


def run_program(shell, folder):
    command = f'exec 9>&1; "{sys.executable}" -c "$PROGRAM" {shell}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env={**os.environ, "PROGRAM": PROGRAM}, check=False
    ).returncode


@pytest.mark.parametrize(
    "shell", ["2>&- >/dev/null", "2>/dev/full >/dev/null", "2>&1 | head -c 1 >/dev/null", ">&- 2>&-"]
)
def test_a_command_ends_with_its_own_code(tmp_path, shell):
    assert run_program(shell, tmp_path) == 7
    assert int((tmp_path / "descriptor").read_text()) > 2  # no file of ours is taken for standard error
    assert (tmp_path / "kept").read_bytes() == b""


def test_a_full_disk_behind_standard_output_is_told(tmp_path):
    assert run_program("2>/dev/null >/dev/full", tmp_path) == 1
