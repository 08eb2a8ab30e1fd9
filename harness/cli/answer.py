"""A command's answer has standard output to itself: what code of plugins prints goes to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from harness.cli.streams import Dropping

ANSWER = "harness.answer"
"""Where the stream for the answer lies in ``click.Context.meta``."""


class Apart(click.Context):
    """The context of a verb: while its function runs, standard output is the answer's alone."""

    def invoke(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the verb's function."""
        with answer_apart() as answer:
            self.meta[ANSWER] = answer
            try:
                return super().invoke(callback, *args, **kwargs)
            finally:
                del self.meta[ANSWER]


def set_apart(command: click.Command) -> None:
    """Give a verb, or each verb of a group, a context that keeps its answer apart."""
    if not isinstance(command, click.Group):
        command.context_class = Apart
        return
    for verb in command.commands.values():
        set_apart(verb)


def find_answer() -> Any:
    """The stream for the answer of the verb that runs; standard output where none does."""
    context = click.get_current_context(silent=True)
    return sys.stdout if context is None else context.meta.get(ANSWER, sys.stdout)


@contextmanager
def answer_apart() -> Iterator[Any]:
    """What is standard output now, for the answer; inside, who writes to standard output writes to standard error.

    Below Python too, where standard output is the process's own: libraries and children have descriptor 1. Whatever
    becomes of either inside, closed or put in place of another, both are as before afterwards.
    """
    before = sys.stdout
    with _own_descriptor(before) as answer:
        sys.stdout = sys.stderr
        try:
            yield answer
        finally:
            sys.stdout = before


def end_answer() -> None:
    """The answer is given: what still runs in this process, threads and what waits for its end, has standard error."""
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):  # closed by the shell, or a full disk, which Python tells at its end
        return
    if _descriptor_of(sys.stdout) == 1:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
    sys.stdout = sys.stderr


@contextmanager
def _own_descriptor(stream: Any) -> Iterator[Any]:
    """The same place under a descriptor that nobody else knows; the stream itself where it is not descriptor 1."""
    if _descriptor_of(stream) != 1:
        yield stream
        return
    stream.flush()
    with open(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors) as file:
        os.dup2(2, 1)
        try:
            yield Dropping(file, BrokenPipeError)
        finally:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()  # what was printed past sys.stdout
            os.dup2(file.fileno(), 1)


def _descriptor_of(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None
