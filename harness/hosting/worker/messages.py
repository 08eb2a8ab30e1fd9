"""The protocol between a run and its worker: length-prefixed JSON over one socket; no pickle, a version in the hello.

The run asks and the worker answers: ``hello`` once, unasked; then for each ask (``{"do": ...}``) any number of
``want`` (a frame is asked for, the run replies) and ``track``, and one ``done`` or ``error``. Pixels never travel
here: they lie in shared memory (``harness.hosting.worker.shared``). docs/isolation.md lists every message.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

PROTOCOL = 1
"""Raised whenever a message changes its meaning. Both sides must say the same number."""

LONGEST_MESSAGE = 1 << 28
_LENGTH = struct.Struct(">I")
_TICK_SECONDS = 0.1

Message = dict[str, Any]


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """The other side did not answer in time."""


class Garbled(Exception):
    """What came is no message of this protocol."""


class Channel:
    """One end of the conversation."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Message) -> None:
        """Send one message; Closed where nobody is left to read it."""
        body = json.dumps(message).encode()
        if len(body) > LONGEST_MESSAGE:
            raise Garbled(f"a message of {len(body)} bytes; the longest is {LONGEST_MESSAGE}")
        self._end.settimeout(None)
        try:
            self._end.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise Closed from error

    def receive(self, *, until: float | None = None, is_alive: Callable[[], bool] = lambda: True) -> Message:
        """The next message.

        Late after the moment ``until`` (of ``time.monotonic``); Closed once ``is_alive`` denies and nothing is left
        to read: a descendant of a dead process may hold its socket open.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, until, is_alive))
        if length > LONGEST_MESSAGE:
            raise Garbled(f"a message said to be {length} bytes long")
        body = self._exactly(length, until, is_alive)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Garbled(f"{body[:80]!r} is not JSON") from error
        if not isinstance(message, dict):
            raise Garbled(f"{body[:80]!r} is not an object")
        return message

    def _exactly(self, size: int, until: float | None, is_alive: Callable[[], bool]) -> bytes:
        found = bytearray()
        while len(found) < size:
            found += self._some(size - len(found), until, is_alive)
        return bytes(found)

    def _some(self, size: int, until: float | None, is_alive: Callable[[], bool]) -> bytes:
        dying = False
        while True:
            self._end.settimeout(_TICK_SECONDS)
            try:
                part = self._end.recv(min(size, 1 << 20))
            except TimeoutError:
                if dying:
                    raise Closed from None
                dying = not is_alive()  # once more: its last words may have come between
                if until is not None and time.monotonic() > until:
                    raise Late from None
                continue
            except OSError as error:
                raise Closed from error
            if not part:
                raise Closed
            return part

    def close(self) -> None:
        """Close this end."""
        self._end.close()
