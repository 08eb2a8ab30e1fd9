"""The one place that writes to the terminal: nothing a record, a dataset or a plugin says can steer it."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
import unicodedata
from collections.abc import Sequence

import click

from harness.cli.answer import find_answer


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print on standard output, or with ``err`` on standard error, as ``visible`` has it."""
    click.echo(visible(str(text)), file=None if err else find_answer(), err=err, nl=nl)


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


def count(number: int, noun: str) -> str:
    """A number and its noun.

    >>> count(1, "video"), count(4, "video")
    ('1 video', '4 videos')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(
    rows: Sequence[Sequence[object]], heads: Sequence[str], *, align: str = "left", width: int | None = None
) -> str:
    """Rows under their heads; every cell is one line of visible text, also where it looks like a number.

    With ``width`` cells are broken into lines, so that no line is longer; the first column last.
    """
    from tabulate import tabulate

    cells = [[one_line(cell) for cell in row] for row in rows]
    titles = [one_line(head) for head in heads]
    if width is not None and cells:
        most = fit_columns(widths_of(titles, cells), width)
        cells = [[_break(cell, wide) for cell, wide in zip(row, most, strict=True)] for row in cells]
        titles = [_break(title, wide - PADDING) for title, wide in zip(titles, most, strict=True)]
    return tabulate(cells, headers=titles, disable_numparse=True, stralign=align)


def _break(cell: str, width: int) -> str:
    """The cell in lines of at most ``width``, broken at spaces; names with hyphens stay whole where they fit."""
    return textwrap.fill(cell, width, break_on_hyphens=False)


def terminal_width() -> int | None:
    """The columns of the terminal behind standard output, or ``COLUMNS``; None for a file or pipe: as wide as it is."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    return shutil.get_terminal_size().columns if find_answer().isatty() else None


GAP = 2
"""Characters between two columns."""
PADDING = 2
"""Characters that tabulate leaves beside a title (its ``MIN_PADDING``)."""
NARROWEST = 8
"""A column is broken no narrower than this, so a table of many columns may stay too wide."""


def widths_of(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """The longest cell of each column, or its title with what tabulate puts beside it."""
    return [max(PADDING + len(title), *map(len, column)) for title, *column in zip(titles, *cells, strict=True)]


def fit_columns(widths: Sequence[int], width: int) -> list[int]:
    """How wide each column may be for the whole to fit: the widest give way first, the first one only after the others.

    >>> fit_columns([10, 40, 20], 54)
    [10, 20, 20]
    >>> fit_columns([30, 20, 20], 40)
    [20, 8, 8]
    """
    fitted = list(widths)
    for part in (slice(1, None), slice(0, 1)):
        indices = range(len(fitted))[part]
        while sum(fitted) + GAP * (len(fitted) - 1) > width:
            widest = max(indices, key=fitted.__getitem__, default=None)
            if widest is None or fitted[widest] <= NARROWEST:
                break
            fitted[widest] -= 1
    return fitted


def _spell(character: str) -> str:
    if character in "\n\t" or not unicodedata.category(character).startswith(("C", "Zl", "Zp")):
        return character
    return json.dumps(character)[1:-1]
