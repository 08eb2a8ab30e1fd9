"""What is made once and kept for later processes of this user.

It is written all at once, and read only where nobody else could have written it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path


def user_cache(kind: str) -> Path:
    """The folder of this user for what can be made again, below ``XDG_CACHE_HOME`` where that is set; not made yet."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "vos-harness" / kind


def read_kept(path: Path, owners: Collection[int]) -> bytes:
    """The file's bytes; PermissionError where it is not of one of ``owners`` (user ids), or others may write to it."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in owners or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} may have been written by another user")
        return file.read()


def keep_file(folder: Path, name: str, content: bytes) -> bool:
    """Write a file into a folder, which is made too; whether it could be. A reader sees all of it or nothing."""
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # new, and nobody's link
        with open(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, folder / name)
        return True
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return False
