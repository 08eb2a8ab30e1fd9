"""How a camera was held, as a JPEG says it (Exif, tag 0x0112): viewers and OpenCV turn such an image, Pillow does not.

Frames are taken as their pixels are stored, as the official readers take them; that there is a tag is told.
"""

from __future__ import annotations

import struct
from pathlib import Path

from harness.api.mask_files import LARGEST_IMAGE
from harness.api.plain_files import open_plain

HEADER_BYTES = 1 << 16
UPRIGHT = 1
_ORIENTATION = 0x0112
_TAGS_OF_FIRST_FOLDER = 256


def read_orientation(path: Path) -> int:
    """1 where an image is stored upright or says nothing, else 2 to 8 (Exif 2.32, 4.6.5)."""
    try:
        with open_plain(path, largest=LARGEST_IMAGE) as file:
            data = file.read(HEADER_BYTES)
    except OSError:
        return UPRIGHT
    at = 2
    while data[:2] == b"\xff\xd8" and data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return _orientation_in(data[at + 10 : at + 2 + length])
        if kind == 0xDA:  # the pixels begin
            break
        at += 2 + length
    return UPRIGHT


def _orientation_in(tiff: bytes) -> int:
    """The tag of the first folder of a TIFF header; what makes no sense says nothing."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(min(count, _TAGS_OF_FIRST_FOLDER)):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
