"""What a worker prints: its beginning in a file of the run, its latest in memory; a pipe that never fills up."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from harness.files import name_refusals

KEPT_BYTES = 8 << 20
"""How much of one worker's output goes to the file; the rest is read and counted."""
TAIL_BYTES = 64 << 10
_LAST_WORDS_SECONDS = 1.0


class Log:
    """A pipe to be given to a worker as its stdout and stderr, drained by a thread."""

    def __init__(self, path: Path | None) -> None:
        """Append to ``path``; None: keep the latest in memory only."""
        self._file = None
        if path is not None:
            with name_refusals(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("ab", buffering=0)
        self._reading, self.writing = os.pipe()
        self._left = KEPT_BYTES
        self._latest = bytearray()
        self._changes = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="harness-worker-log", daemon=True)

    def began(self) -> None:
        """The worker has its copy of the pipe: close ours, so that the pipe ends with the worker."""
        os.close(self.writing)
        self._thread.start()

    def mark(self) -> None:
        """Let ``tail`` begin here."""
        with self._changes:
            self._latest.clear()

    def tail(self) -> str:
        """The latest output since the mark."""
        with self._changes:
            return bytes(self._latest).decode("utf-8", "replace")

    def drain(self) -> None:
        """Wait for what a dead worker left in the pipe; a descendant that lives on keeps us no longer than a second."""
        self._thread.join(_LAST_WORDS_SECONDS)

    def close(self) -> None:
        """Read what is left, and close the file; the thread closes the pipe when it ends."""
        self.drain()
        with self._changes:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _drain(self) -> None:
        while part := os.read(self._reading, 1 << 16):
            with self._changes:
                self._latest += part
                del self._latest[:-TAIL_BYTES]
                self._write(part)
        os.close(self._reading)

    def _write(self, part: bytes) -> None:
        if self._file is None or not self._left:
            return
        kept = part[: self._left]
        self._left -= len(kept)
        try:
            self._file.write(kept + (b"" if self._left else b"\n[the rest of this worker's output is left out]\n"))
        except OSError:  # a full disk must not stop the worker; the latest lines are in memory
            self._left = 0
