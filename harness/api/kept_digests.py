"""Digests of files that were made before: a dataset is read whole once, not before each score of it.

A digest is kept in the user's cache under what its files are called, with what the disk says of each: size, times of
change, number. Where one of these is another it is made again. ``ctime`` is set by the kernel at every write and every
rename, and no program can set it back; where a system has none (Windows) nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.api.kept_files import keep_file, read_kept, user_cache

SETTLED_NS = 2_000_000_000
"""How long files must have been at rest before they are read: a clock of the disk may stand still that long."""
LEAST_BYTES = 1 << 18
"""Less is read sooner than it is looked up."""
BYTES_IN_PLACE_OF_A_FILE = 1 << 14
"""About so many are read in the time that it takes to open a file."""
MOST_OF_A_FOLDER = 64
"""Digests in each of the 256 folders; beyond it those that were made first make room."""

Ask = Callable[[Any], os.stat_result | None]
_DIGEST = re.compile(rb"[0-9a-f]{64}")


def ask_disk(path: Path | str) -> os.stat_result | None:
    """What the disk says of a file; None where it is not there."""
    try:
        return os.stat(path)
    except OSError:
        return None


def find_digest(
    head: str, named: Sequence[tuple[str, Path | str]], make: Callable[[], str], *, ask: Ask = ask_disk
) -> str:
    """The digest that ``make`` gives, or gave before of the same ``head`` and files; it is called at most once.

    ``named`` are the files and what each is, in order; ``ask`` is ``ask_disk``, or one that also refuses files.
    """
    if os.name != "posix":
        return make()
    found = [ask(path) for _, path in named]
    states = [one for one in found if one is not None]
    if len(states) < len(found) or sum(one.st_size + BYTES_IN_PLACE_OF_A_FILE for one in states) < LEAST_BYTES:
        return make()
    names = "\n".join([head, *(f"{kind} {os.path.abspath(path)}" for kind, path in named)])
    told = (f"{one.st_size} {one.st_mtime_ns} {one.st_ctime_ns} {one.st_ino} {one.st_dev}" for one in states)
    key, state = (
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for text in (names, "\n".join(told))
    )
    folder = user_cache("digests") / key[:2]
    kept = _read(folder / key, state)
    if kept is not None:
        return kept
    now = time.time_ns()
    made = make()
    newest = max(max(one.st_mtime_ns, one.st_ctime_ns) for one in states)
    if newest < now - SETTLED_NS and keep_file(folder, key, f"{state} {made}\n".encode()):
        _make_room(folder)
    return made


def _read(path: Path, state: str) -> str | None:
    try:
        kept_state, _, digest = read_kept(path, {os.getuid()}).rstrip(b"\n").partition(b" ")
    except OSError:
        return None
    is_same = kept_state == state.encode() and _DIGEST.fullmatch(digest)
    return digest.decode() if is_same else None


def _make_room(folder: Path) -> None:
    """Remove the oldest beyond what a folder may hold."""
    try:
        with os.scandir(folder) as entries:
            kept = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
        for _, path in kept[:-MOST_OF_A_FOLDER]:
            os.unlink(path)
    except OSError:  # another process makes room too, or a full disk: there is more than there should be, for now
        return
