"""What is odd about the files of a video without being wrong: a tag that turns images, images that are not read."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from harness.api.file_names import is_left_behind, natural_key
from harness.api.oddities import Oddity, some
from harness.datasets.orientation import UPRIGHT, read_orientation

AS_STORED = (
    "pixels are taken as they are stored: masks must lie as those do, not as a viewer shows them; to turn the files "
    "themselves: mogrify -auto-orient, or PIL.ImageOps.exif_transpose"
)
PICTURES = (".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_oddities(frames: Sequence[Path], known: Collection[str]) -> tuple[Oddity, ...]:
    """What is odd about the frames of a video; ``known`` are those left out on purpose, by name without ending."""
    return (*_find_turned(frames[0]), *_unread(frames, known))


def _find_turned(first: Path) -> list[Oddity]:
    """A first frame with a tag that turns or mirrors it."""
    orientation = read_orientation(first)
    if orientation == UPRIGHT:
        return []
    return [Oddity("an orientation tag (Exif) on frames", AS_STORED, f"{first.name}: {orientation}")]


def _unread(frames: Sequence[Path], known: Collection[str]) -> list[Oddity]:
    """Images beside the frames that are none of them; a video of one frame is an image among others."""
    if len(frames) < 2:
        return []
    stems = {os.path.splitext(path.name)[0] for path in frames}.union(known)
    parts: list[tuple[str, str]] = []
    with suppress(OSError):
        parts = [os.path.splitext(name) for name in os.listdir(frames[0].parent)]
    others = [stem + suffix for stem, suffix in parts if stem not in stems and suffix.lower() in PICTURES]
    others = [name for name in others if not is_left_behind(name)]
    if not others:
        return []
    others.sort(key=natural_key)
    advice = "move them away, or write them in the form of the frames"
    return [Oddity("images among the frames that are not read as frames", advice, some(others))]
