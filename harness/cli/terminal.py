"""The one place that writes to the terminal: nothing a record, a dataset or a plugin says can steer it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import click


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print on standard output, or with ``err`` on standard error, as ``visible`` has it."""
    click.echo(visible(str(text)), err=err, nl=nl)


def visible(text: str) -> str:
    """The text with control, reordering and half characters spelled out; line ends and tabs stay.

    They are spelled as JSON does, so that JSON with such characters in its strings stays the same JSON.

    >>> visible("a\\x1b[2Jb")
    'a\\\\u001b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(_spell(character) for character in text)


def one_line(text: object) -> str:
    """The text for a place where a line end would forge a line: ``visible``, and on one line.

    >>> one_line("a\\n  next: b")
    'a next: b'
    """
    return visible(" ".join(str(text).split()))


def table(rows: Sequence[Sequence[object]], heads: Sequence[str], *, align: str = "left") -> str:
    """Rows under their heads; every cell is one line of visible text, also where it looks like a number."""
    from tabulate import tabulate

    cells = [[one_line(cell) for cell in row] for row in rows]
    return tabulate(cells, headers=[one_line(head) for head in heads], disable_numparse=True, stralign=align)


def _spell(character: str) -> str:
    if character in "\n\t" or not unicodedata.category(character).startswith(("C", "Zl", "Zp")):
        return character
    return json.dumps(character)[1:-1]
