"""What a file is that should be a zip, told by its first bytes: a web page, another archive, a zip that is cut."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LOOKED_AT = 1024


class Content(NamedTuple):
    """What was found, in words, and what to do about it."""

    what: str
    advice: str


_REPACK = "unpack it and give the folder, or pack it again as a zip"
_PAGE = Content(
    "a web page (HTML)",
    "the server answered with a page (a login, a licence, a limit): open the address in a browser and save what that "
    "page leads to",
)
_BEGINNINGS = (
    (b"\x1f\x8b", Content("a gzip file, as a .tar.gz is", _REPACK)),
    (b"BZh", Content("a bzip2 file", _REPACK)),
    (b"\xfd7zXZ\x00", Content("an xz file", _REPACK)),
    (b"7z\xbc\xaf\x27\x1c", Content("a 7-Zip archive", _REPACK)),
    (b"Rar!", Content("a RAR archive", _REPACK)),
    (b"version https://git-lfs", Content("a Git LFS pointer in place of the file", "git lfs pull brings the file")),
    (b"PK\x03\x04", Content("a zip that is cut: its table of contents is missing", "get the rest, or get it again")),
)


def name_content(path: Path) -> Content:
    """What a file is that ``zipfile`` does not take.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"<!DOCTYPE html><html>"), file.flush()
    ...     name_content(Path(file.name)).what
    'a web page (HTML)'
    """
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    if not start:
        return Content("an empty file", "get it again")
    if start[257:262] == b"ustar":
        return Content("a tar archive", _REPACK)
    for beginning, content in _BEGINNINGS:
        if start.startswith(beginning):
            return content
    if start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<" and b"<html" in start.lower():
        return _PAGE
    return Content("a file that is no zip", "get it again, or give the folder it was made of")
