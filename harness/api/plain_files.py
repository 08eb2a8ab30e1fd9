"""Files of people read whole: a pipe, a device or an endless file is refused before a byte is waited for."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
LARGEST_TEXT = 1 << 20
"""Bytes of what a person writes: a gate, an experiment, a plan."""


def read_plain(path: Path, *, largest: int, links: bool = True) -> bytes:
    """The bytes of a plain file of at most ``largest``; without ``links`` it may be none itself.

    OSError whose ``strerror`` says what was found instead.
    """
    descriptor = os.open(path, _FLAGS | (0 if links else os.O_NOFOLLOW))
    try:
        size = _check_plain(descriptor, path, largest)
        content = os.read(descriptor, size + 1)
        while 0 < len(content) <= largest and len(content) != size:  # it grows, shrinks, or comes in parts
            more = os.read(descriptor, largest + 1 - len(content))
            if not more:
                break
            content += more
        return content
    finally:
        os.close(descriptor)


def read_head(path: Path, count: int, *, largest: int) -> bytes:
    """The first bytes of a plain file, at most ``count``; OSError as ``read_plain``."""
    descriptor = os.open(path, _FLAGS)
    try:
        _check_plain(descriptor, path, largest)
        return os.read(descriptor, count)
    finally:
        os.close(descriptor)


@contextmanager
def open_plain(path: Path, *, largest: int, links: bool = True) -> Iterator[BinaryIO]:
    """A plain file open for reading, as ``read_plain`` has it."""
    with open(os.open(path, _FLAGS | (0 if links else os.O_NOFOLLOW)), "rb") as file:
        _check_plain(file.fileno(), path, largest)
        yield file


def _check_plain(descriptor: int, path: Path, largest: int) -> int:
    """The size of an open file; OSError where it is no plain one, or too large."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, _KINDS.get(stat.S_IFMT(found.st_mode), "no plain file"), str(path))
    if found.st_size > largest:
        raise OSError(errno.EFBIG, f"{found.st_size} bytes", str(path))
    return found.st_size


def decode_text(content: bytes, *, errors: str = "strict") -> str:
    """The text of a file: UTF-8, with or without the mark that Windows puts first, or UTF-16 with its mark.

    >>> decode_text("bear".encode("utf-8-sig")), decode_text("bear".encode("utf-16"))
    ('bear', 'bear')
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors)


_KINDS = {
    stat.S_IFIFO: "a pipe, not a plain file",
    stat.S_IFCHR: "a device, not a plain file",
    stat.S_IFBLK: "a device, not a plain file",
    stat.S_IFDIR: "a folder, not a plain file",
}
