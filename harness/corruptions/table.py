"""The protocol: nine ways in which a video can be worse, five severities each, every number with its source.

Change a number, or what is done with it, change ``PROTOCOL``: it is part of every digest.
"""

from __future__ import annotations

from typing import Literal

from harness.api.dataclass import dataclass

PROTOCOL = "corruptions/2"
SEVERITIES = (1, 2, 3, 4, 5)
IMAGENET_C = "ImageNet-C (Hendrycks and Dietterich 2019)"
OURS = "our choice"


@dataclass(frozen=True)
class Corruption:
    """One way; ``values`` are its severities 1 to 5, each so many of ``unit``."""

    name: str
    changes: Literal["frames", "which frames", "first mask"]
    values: tuple[float, float, float, float, float]
    unit: str
    summary: str
    source: str
    is_random: bool = False
    """Whether there is a seed to it."""


_ALL = (
    Corruption(
        "noise",
        "frames",
        (0.08, 0.12, 0.18, 0.26, 0.38),
        "standard deviation, of values from 0 to 1",
        "Gaussian noise on every value, new in each frame",
        f"{IMAGENET_C}, gaussian_noise",
        is_random=True,
    ),
    Corruption(
        "blur",
        "frames",
        (1, 2, 3, 4, 6),
        "pixels, standard deviation",
        "Gaussian blur",
        f"{IMAGENET_C}, gaussian_blur; in pixels of the video's own size",
    ),
    Corruption("jpeg", "frames", (25, 18, 15, 10, 7), "quality", "JPEG", f"{IMAGENET_C}, jpeg_compression"),
    Corruption(
        "resolution",
        "frames",
        (0.6, 0.5, 0.4, 0.3, 0.25),
        "of rows and columns",
        "reduced, and enlarged to the size it had; truth and masks stay at full size",
        f"{IMAGENET_C}, pixelate; enlarged bilinearly, as a player does, where that repeats pixels",
    ),
    Corruption(
        "drop",
        "which frames",
        (0.1, 0.2, 0.3, 0.4, 0.5),
        "of the frames are gone",
        "frames lost at random; never the first, the last or one with a prompt",
        OURS,
        is_random=True,
    ),
    Corruption(
        "rate",
        "which frames",
        (2, 3, 4, 6, 8),
        "times fewer frames a second",
        "every second, third, ... frame; those with a prompt stay",
        f"{OURS}: of 24 frames a second 12, 8, 6, 4 and 3",
    ),
    Corruption(
        "mask-erode",
        "first mask",
        (0.02, 0.04, 0.06, 0.08, 0.12),
        "of the object's size",
        "each object of the first mask loses so much all around; something is always left",
        f"{OURS}; the kind of error after Boundary IoU (Cheng et al. 2021)",
    ),
    Corruption(
        "mask-dilate",
        "first mask",
        (0.02, 0.04, 0.06, 0.08, 0.12),
        "of the object's size",
        "each object of the first mask grows so much all around, into background only",
        f"{OURS}; the kind of error after Boundary IoU (Cheng et al. 2021)",
    ),
    Corruption(
        "mask-shift",
        "first mask",
        (0.025, 0.05, 0.1, 0.15, 0.2),
        "of the object's size",
        "each object of the first mask is moved so far in a direction of its own",
        "severity 3 is the shift that MaskTrack trains with (Perazzi et al. 2017: 10 % of the object); the others ours",
        is_random=True,
    ),
)
CORRUPTIONS: dict[str, Corruption] = {corruption.name: corruption for corruption in _ALL}
"""By name, in the order in which they are listed. An object's size is the square root of its area."""
