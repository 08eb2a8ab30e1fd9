"""What sets with merged objects share: masks as one object by threshold, and how they are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.api.contracts import Rule
from harness.datasets.files import read_image

THRESHOLD = 127
"""Masks of these sets are JPEG or anti-aliased, so a pixel belongs to the object above half of 255."""

_NOTE = "all objects of a video are one; J and F on annotated frames, mean over videos (papers report J)"
MERGED_ZERO_SHOT = Rule(version="merged-zvos/1", frames="all", objects="single", average="sequences", note=_NOTE)
MERGED_ONE_SHOT = Rule(
    version="merged-one-shot/1",
    frames="annotated",
    objects="single",
    average="sequences",
    note=_NOTE + "; the prompted frame is left out",
)


def read_thresholded_mask(path: Path) -> np.ndarray:
    """Any grey or RGB image as a (H, W) uint8 mask: 1 where it is brighter than half."""
    return (read_image(path, "L") > THRESHOLD).astype(np.uint8)
