"""Standard streams that may be closed, full or a broken pipe: what is said there is lost, the command is not."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def streams_held() -> Iterator[None]:
    """Let nothing that becomes of standard error end a command, and of standard output no reader that has gone.

    A full disk behind standard output is told all the same: somebody keeps what is written there.
    """
    _open_closed_ones()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = Dropping(sys.stdout or nowhere, BrokenPipeError)  # type: ignore[assignment]
        sys.stderr = Dropping(sys.stderr or nowhere, OSError, ValueError)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _open_closed_ones() -> None:
    """Open what the shell closed (``2>&-``): else the next file of ours would be taken for standard error."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


class Dropping:
    """A text stream that is left alone once writing to it fails in one of these ways."""

    def __init__(self, stream: Any, *ways: type[Exception]) -> None:
        self._stream = stream
        self._ways = ways
        self._is_lost = False

    def write(self, text: str) -> int:
        """Write, or drop what nobody will read."""
        if not self._is_lost:
            with self._failure_noted():
                return int(self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or find that nobody reads."""
        if not self._is_lost:
            with self._failure_noted():
                self._stream.flush()

    def close(self) -> None:
        """Flush: code of a plugin that closes it closes it for itself only."""
        self.flush()

    @contextmanager
    def _failure_noted(self) -> Iterator[None]:
        try:
            yield
        except self._ways:
            self._is_lost = True
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())  # for what is still in its buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
