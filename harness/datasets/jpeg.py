"""The segments of a JPEG's header, by hand: half of the start of a score would be Pillow's import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.api.mask_files import LARGEST_IMAGE
from harness.api.plain_files import open_plain

HEADER_BYTES = 1 << 16
PIXELS_BEGIN = 0xDA


def read_segments(path: Path) -> Iterator[tuple[int, bytes]]:
    """The kind of each segment before the pixels, and what it holds, as far as the first 64 KiB go.

    None of what is no JPEG, or cannot be read: whoever decodes it says why.
    """
    try:
        with open_plain(path, largest=LARGEST_IMAGE) as file:
            data = file.read(HEADER_BYTES)
    except OSError:
        return
    at = 2
    while data[:2] == b"\xff\xd8" and data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == PIXELS_BEGIN:
            return
        yield kind, data[at + 4 : at + 2 + length]
        at += 2 + length
