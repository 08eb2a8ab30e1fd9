"""What code from elsewhere raises: told from a real Ctrl-C, and put into words even where it has none.

A plugin may raise what is no ``Exception`` (``sys.exit``, a panic of an extension): that is a crash of its own like any
other and stops nobody else. ``except BaseException`` with ``is_interrupt`` is how that is caught.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from harness.api.errors import HarnessError


class Interrupted(KeyboardInterrupt):
    """A real Ctrl-C, or a signal heard like one: raised by the handlers of ``hear_interrupts`` and by nothing else."""


@contextmanager
def hear_interrupts(*others: signal.Signals) -> Iterator[list[int]]:
    """Let a Ctrl-C raise Interrupted inside; left alone in threads and where the signal is ignored or handled.

    So do ``others`` that would end the process; those heard are listed, and a second one ends it where it stands.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler} | dict.fromkeys(
        others, signal.SIG_DFL
    )
    usual = {number: handler for number, handler in usual.items() if signal.getsignal(number) == handler}
    for number in usual:
        signal.signal(number, _raise_interrupted if number == signal.SIGINT else _Ending(heard).hear)
    try:
        yield heard
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    raise Interrupted


class _Ending:
    """Hears a signal that would have ended the process; a fork of it that has no ear for it is ended."""

    def __init__(self, heard: list[int]) -> None:
        self._heard = heard
        self._process = os.getpid()

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note the signal and interrupt."""
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != self._process:
            os.kill(os.getpid(), number)
            return
        self._heard.append(number)
        raise Interrupted


def is_interrupt(error: BaseException) -> bool:
    """Whether this is a Ctrl-C; where the signal is not heard by us, every KeyboardInterrupt may be one."""
    if isinstance(error, Interrupted):
        return True
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not _raise_interrupted


def describe_error(error: BaseException) -> str:
    """The error in words that can be stored: a HarnessError speaks for itself, any other is named.

    >>> describe_error(SystemExit(0)), describe_error(ValueError("half \\udc80"))
    ('SystemExit: 0', 'ValueError: half \\\\udc80')
    """
    try:
        words = str(error)
    except BaseException as worse:
        if is_interrupt(worse):
            raise
        words = f"it cannot say more, its str() raises {type(worse).__name__}"
    if isinstance(error, HarnessError):
        return make_storable(words)
    return make_storable(f"{type(error).__name__}: {words}" if words else type(error).__name__)


def describe_traceback(error: BaseException) -> str:
    """The traceback of the error, as text that can be stored."""
    return make_storable("".join(traceback.format_exception(error)))


def make_storable(text: str) -> str:
    """The text with halves of characters spelled out: UTF-8 cannot hold them."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_ours(thing: object) -> bool:
    """Whether the class of a thing comes with the harness itself."""
    return type(thing).__module__.partition(".")[0] == "harness"


@contextmanager
def blame(whose: str, kind: type[HarnessError], *, hint: str | None = None) -> Iterator[None]:
    """Turn whatever code from elsewhere raises inside into a ``kind`` that says ``whose`` it is.

    A HarnessError passes as it is, and so does a Ctrl-C.
    """
    try:
        yield
    except HarnessError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise kind(f"{whose}: {describe_error(error)}", hint=hint) from error
