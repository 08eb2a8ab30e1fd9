"""Names of files as people and other systems write them: numbers in order, accents in one spelling, what is no data."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

_LEFT_BEHIND = frozenset({"__macosx", "@eadir", "desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"})
_MARK_OF_THE_WEB = ":zone.identifier"
"""How a file ends that Windows keeps beside one from a browser, copied to a file system without streams."""


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key by which numbers in names count as numbers; names with leading zeros stay in the order they are in.

    >>> sorted(["10.jpg", "2.jpg", "1.jpg"], key=natural_key)
    ['1.jpg', '2.jpg', '10.jpg']
    """
    parts = re.split("([0-9]+)", name)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def is_left_behind(name: str) -> bool:
    """Whether a name is what an operating system leaves beside data (``.DS_Store``, ``._a.png``, ``Thumbs.db``).

    >>> [is_left_behind(name) for name in ("._00000.png", "__MACOSX", "Thumbs.db", "00000.png")]
    [True, True, True, False]
    """
    folded = name.casefold()
    return name.startswith(".") or folded in _LEFT_BEHIND or folded.endswith(_MARK_OF_THE_WEB)


def spelling_key(name: str) -> str:
    """Equal for names that are one name where case or the spelling of accents does not count (macOS, Windows)."""
    return unicodedata.normalize("NFC", name).casefold()


def find_alike(folder: Path, name: str) -> Path:
    """The entry of this name; where there is none, the only one that differs in case or the spelling of accents.

    Where there is neither it is the path that was asked for.
    """
    exact = folder / name
    if exact.exists():
        return exact
    try:
        alike = _entries_of(folder, folder.stat().st_mtime_ns).get(spelling_key(name))
    except OSError:
        return exact
    return folder / alike if alike else exact


@functools.lru_cache(maxsize=64)
def _entries_of(folder: Path, changed: int) -> Mapping[str, str]:
    """The entries by their key, as they were when the folder ``changed``; of two with one key neither."""
    found: dict[str, str] = {}
    for name in os.listdir(folder):
        key = spelling_key(name)
        found[key] = "" if key in found else name
    return found
