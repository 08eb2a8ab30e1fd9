"""Ends what is left of a Ray cluster of our own once its run is gone; a process apart, of the standard library alone.

Ray's head and raylet die with the run that started them. What the raylet was just starting does not: agents and idle
workers look for minutes for a cluster that is no more. Each process of such a cluster carries a mark in its
environment, which names the run by process, start time and PID namespace, so that no stranger's is taken for one.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "HARNESS_RAY_RUN"
ENDED = b"ended"
"""What a run says that ends by itself."""
LOOK_SECONDS = 0.05
QUIET_SECONDS = 1.0
"""So long none may be seen before an abandoned cluster counts as gone: between fork and exec one has no mark."""
PATIENCE_SECONDS = 60.0
"""After so long of killing what does not end is left to the system: it waits for a disk."""


def mark_of(process: int) -> str:
    """What names a running process and no other; empty where it has ended, or the system has no /proc."""
    try:
        state, *rest = _read_stat(process)
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    return "" if state in "ZX" else f"{space}-{process}-{rest[18]}"


def end_marked(mark: str, *, quiet: float = 0.0) -> None:
    """Kill the processes that carry this mark, and all below them, until none has been seen for ``quiet`` seconds."""
    if mark:
        _end_until_quiet({mark}, quiet)


def end_abandoned() -> None:
    """Kill what carries the mark of a run of this user that is no more: its keeper was killed with it."""
    here = mark_of(os.getpid()).partition("-")[0]
    marks = {mark for mark in _list_marked().values() if here and mark.partition("-")[0] == here}
    if gone := {mark for mark in marks if mark_of(int(mark.split("-")[1])) != mark}:
        _end_until_quiet(gone, 0.0)


def _end_until_quiet(marks: set[str], quiet: float) -> None:
    began = last = time.monotonic()
    while (now := time.monotonic()) - began < PATIENCE_SECONDS:
        marked = _list_marked()
        if there := _with_all_below(process for process, mark in marked.items() if mark in marks):
            last = now
            for process in (other for other in there if other != os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
        elif now - last >= quiet:
            return
        time.sleep(LOOK_SECONDS)


def _list_marked() -> dict[int, str]:
    """Process -> its mark, of this user's that have one; those that ended have no environment any more."""
    found, key = {}, f"{MARK}=".encode()
    for process in _list_processes():
        try:
            if os.stat(f"/proc/{process}").st_uid != os.getuid():
                continue
            entries = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in entries:
            mark = entry.removeprefix(key).decode("ascii", errors="replace")
            if entry.startswith(key) and [part.isdigit() for part in mark.split("-")] == [True] * 3:
                found[process] = mark
    return found


def _with_all_below(roots: Iterable[int]) -> list[int]:
    """These processes and what came from them, whatever environment they gave it; the oldest first.

    So a parent is ended before it can see a child end, and act on it.
    """
    found = fresh = set(roots)
    parents, born = {}, {}
    for process in _list_processes() if fresh else ():
        with contextlib.suppress(OSError):
            state = _read_stat(process)
            parents[process], born[process] = int(state[1]), int(state[19])
    while fresh:
        fresh = {process for process, parent in parents.items() if parent in fresh} - found
        found = found | fresh
    return sorted(found & set(born), key=lambda process: (born[process], process))


def _list_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:  # not Linux: Ray's own reaper does what it can
        return []


def _read_stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: state, parent, ..., start time as the 20th."""
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _hears_from(process: int) -> bool:
    """Wait for the process: True when it says that it ends, False when it ends without a word.

    Its end is that of standard input; or its own, as other children may hold the pipe for longer. Whether it is still
    there tells nothing: a killed process closes its files some time before it is gone.
    """
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    with contextlib.suppress(AttributeError, OSError):  # a system without pidfd_open
        waiting.register(os.pidfd_open(process), select.POLLIN)
    waiting.poll()
    os.set_blocking(0, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(0, len(ENDED)) == ENDED
    return False


def main(mark: str, folder: str) -> None:
    """Wait for the run's end, end its cluster; of one that was killed, remove the folder as well."""
    if _hears_from(os.getppid()):
        end_marked(mark)
        return
    end_marked(mark, quiet=QUIET_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
