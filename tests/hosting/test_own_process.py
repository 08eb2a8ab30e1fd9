"""What a process of our own came to, in words, and that one which takes too long is ended."""

import subprocess
import sys

import pytest

from harness.hosting.own_process import describe_end, wait_for_end


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (-11, "its process was ended by SIGSEGV"),
        (-9, "its process was ended by SIGKILL, perhaps for want of memory"),
        (3, "its process ended with code 3 and no answer: code of a plugin ended it"),
    ],
)
def test_an_end_without_an_answer_is_put_into_words(code, told):
    assert describe_end(code) == told


def test_one_that_takes_too_long_is_ended():
    waits = [sys.executable, "-S", "-c", "import sys; sys.stdin.read(); sys.stdin.read()"]
    process = subprocess.Popen(waits, stdin=subprocess.PIPE, process_group=0)
    assert wait_for_end(process, seconds=0.05) is None
    assert process.returncode == -9
