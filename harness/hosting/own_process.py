"""A piece of work of ours in a process of its own: begun, ended when whoever asked ends, and its end put into words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

MOST_UNWANTED = 1000
"""The kernel looks here first when memory is short (proc(5), oom_score_adj)."""


def start_apart(
    module: str, answer: Path, asked: bytes, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start ``python -m module answer``, importing what this process can import, with one line ``asked`` to read.

    Its standard input stays open: at its end the process is alone, and stops (``end_with_parent``). It has a process
    group of its own, so Ctrl-C does not reach it by itself; what it prints goes to standard error. Where memory gets
    short it is the first to be ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(answer)],
        stdin=subprocess.PIPE,
        stdout=2,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), **(more or {})},
        process_group=0,
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # not Linux, or ended already
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(MOST_UNWANTED), encoding="ascii")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(asked + b"\n")
        process.stdin.flush()
    return process


def wait_for_end(process: subprocess.Popen[bytes], *, seconds: float | None = None) -> int | None:
    """Its return code; None where it had to be ended after so many ``seconds``.

    What interrupts the waiting interrupts the process first, and is raised once that has ended.
    """
    assert process.stdin is not None
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
    finally:
        process.stdin.close()
        process.wait()


def end_with_parent() -> None:
    """In the process itself, after its one line was read: do as Ctrl-C would once standard input ends."""

    def watch() -> None:
        os.read(0, 1)  # nothing more comes; not by sys.stdin, whose lock an ending interpreter wants
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def describe_end(code: int) -> str:
    """What the end of a process without an answer was.

    >>> describe_end(-11)
    'its process was ended by SIGSEGV'
    """
    if code >= 0:
        return f"its process ended with code {code} and no answer: code of a plugin ended it"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"its process was ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
