"""How a camera was held, as a JPEG says it (Exif, tag 0x0112): viewers and OpenCV turn such an image, Pillow does not.

Frames are taken as their pixels are stored, as the official readers take them; that there is a tag is told.
"""

from __future__ import annotations

import struct
from pathlib import Path

from harness.datasets.jpeg import read_segments

APP1, EXIF = 0xE1, b"Exif\0\0"
UPRIGHT = 1
_ORIENTATION = 0x0112
_TAGS_OF_FIRST_FOLDER = 256


def read_orientation(path: Path) -> int:
    """1 where an image is stored upright or says nothing, else 2 to 8 (Exif 2.32, 4.6.5)."""
    for kind, content in read_segments(path):
        if kind == APP1 and content.startswith(EXIF):
            return _orientation_in(content.removeprefix(EXIF))
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
