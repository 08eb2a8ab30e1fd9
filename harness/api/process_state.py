"""What a process has once for everybody in it: folder, environment, handlers, random numbers, threads, children.

Noted before code from elsewhere runs, compared after it, and put back.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

State = Mapping[str, Any]
OF_LIBRARIES = ("LD_LIBRARY_PATH", "TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_", "KMP_")
"""Beginnings of environment variables that OpenCV, torch and OpenMP set for themselves when they are imported."""
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "torch/_inductor", "torch._inductor")
"""Children that Python and torch keep for themselves until the process ends."""
GRACE_SECONDS = 2.0
"""What a thread or child that was told to end may take for it."""


def note_state() -> State:
    """The state that is everybody's.

    >>> before = note_state()
    >>> os.environ["OF_A_METHOD"] = "1"
    >>> describe_changes(before)
    ["environment variable OF_A_METHOD = '1'"]
    >>> restore_state(before); describe_changes(before)
    []
    """
    state: dict[str, Any] = {
        "working directory": _working_directory(),
        "umask": _umask(),
        "sys.path": [place for place in sys.path if not place.endswith("setuptools/_vendor")],
        "locale": locale.setlocale(locale.LC_ALL),
        "sys.excepthook": sys.excepthook,
        "standard output": sys.stdout,
        "standard error": sys.stderr,
        "Python's random numbers": random.getstate(),
    }
    state |= {f"environment variable {name}": value for name, value in os.environ.items() if _is_anybodys(name)}
    state |= {f"handler of {number.name}": signal.getsignal(number) for number in signal.Signals}
    if numpy := sys.modules.get("numpy"):
        kind, keys, *rest = numpy.random.get_state()
        state["numpy's random numbers"] = (kind, keys.tobytes(), *rest)
        state["numpy's handling of errors"] = numpy.geterr()
    return state


def describe_changes(before: State) -> list[str]:
    """In words, what is otherwise now than ``before``; what only has been imported since is no change."""
    now = note_state()
    names = [*before, *(name for name in now if name not in before and name.startswith("environment"))]
    return [
        name if "random" in name else f"{name} = {now.get(name)!r:.100}"
        for name in names
        if now.get(name) != before.get(name)
    ]


def restore_state(before: State) -> None:
    """Put everything back that is otherwise now; signal handlers from the main thread only."""
    now = note_state()
    changed = {name for name in {*before, *now} if now.get(name) != before.get(name)}
    for name in changed:
        value = before.get(name)
        if name.startswith("environment variable "):
            _set_variable(name.removeprefix("environment variable "), value)
        elif name.startswith("handler of "):
            if value is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.Signals[name.removeprefix("handler of ")], value)
        elif value is not None:
            _restore(name, value)


def _restore(name: str, value: Any) -> None:
    match name:
        case "working directory":
            os.chdir(value)
        case "umask":
            os.umask(value)
        case "sys.path":
            sys.path[:] = value
        case "locale":
            locale.setlocale(locale.LC_ALL, value)
        case "sys.excepthook":
            sys.excepthook = value
        case "standard output":
            sys.stdout = value
        case "standard error":
            sys.stderr = value
        case "Python's random numbers":
            random.setstate(value)
        case "numpy's random numbers":
            numpy = sys.modules["numpy"]
            kind, keys, *rest = value
            numpy.random.set_state((kind, numpy.frombuffer(keys, numpy.uint32), *rest))
        case "numpy's handling of errors":
            sys.modules["numpy"].seterr(**value)


def _is_anybodys(variable: str) -> bool:
    return not variable.startswith((*OF_LIBRARIES, "PYTEST_CURRENT_TEST"))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None


def _umask() -> int:
    """It can be asked for by setting it only."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def list_running() -> dict[tuple[str, int], str]:
    """Threads and children that are at work, in words; idle workers of a pool of Python's own are at none.

    Children are looked for in /proc; where there is none, they are not seen.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    running = {
        ("thread", ident): f"thread {names.get(ident, 'without a name')!r}"
        for ident, frame in sys._current_frames().items()
        if not _waits_in_a_pool(frame)
    }
    for tasks in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            running |= {("child", int(number)): _describe_child(int(number)) for number in tasks.read_text().split()}
    return {key: words for key, words in running.items() if words}


def _waits_in_a_pool(frame: FrameType) -> bool:
    return frame.f_code.co_name == "_worker" and frame.f_globals.get("__name__") == "concurrent.futures.thread"


def _describe_child(number: int) -> str:
    """The child and its command; empty for one that has ended, and for helpers of Python and torch."""
    try:
        command = _read_command(number)
    except OSError:
        return ""
    return f"child process {number} ({command:.80})" if command and not any(h in command for h in HELPERS) else ""


def _read_command(number: int) -> str:
    """The command line of a process, which is empty once it has ended, and for a moment while it becomes a program."""
    process = Path(f"/proc/{number}")
    for _ in range(100):
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        has_ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        if command or has_ended:
            return command
        time.sleep(0.001)
    return (process / "comm").read_text().strip()


def list_left(before: Mapping[tuple[str, int], str]) -> list[str]:
    """What runs now and did not ``before``, in words; what is ending is given a while for it."""
    until = time.monotonic() + GRACE_SECONDS
    while True:
        gc.collect()
        left = [words for key, words in list_running().items() if key not in before]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.01)
