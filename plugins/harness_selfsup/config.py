"""Every constant of propagation at test time, with its source; presets by name, the default is ``correct``.

Sources: paper = Zhu et al. 2020; MAST = zlai0/MAST at a57b043 (benchmark.py, models/colorizer.py), which the paper
builds on; ours = left open by both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Constants of propagation. Frames are counted from the first prompted one, which is frame 0.

    References of target t: those of ``first`` before t, and t - gap for each gap of ``recent``; with ``every_frame``
    all earlier frames instead. A reference more than ``long_term`` frames back is searched for around where its
    coarse match lies, not around the pixel itself.
    """

    first: tuple[int, ...] = (0, 5)
    """MAST (paper 3.2: 5 references "with the first frame always included")."""
    recent: tuple[int, ...] = (1, 3, 5)
    """MAST: t - 1, t - 3, t - 5. The paper's author says "five previous frames as in MAST" (issue 1)."""
    every_frame: bool = False
    """paper Table 2, "t-1": all previous frames. Memory then grows with the video."""
    radius: int = 12
    """Half side of the 25 x 25 window, in feature cells. paper 4.1 and MAST."""
    temperature: float = 1.0
    """Factor on <f_q, f_r>. paper eq. 7 and MAST: none."""
    roi: bool = True
    """Whether long-term references are searched coarse to fine. MAST; the paper does not say."""
    long_term: int = 15
    """References further back than this are long-term. MAST."""
    max_dilation: int = 4
    """The coarse window is dilated by min(max_dilation, (t - reference) // long_term + 1). MAST."""
    own_offsets: bool = True
    """Whether a long-term reference's labels lie where its own coarse match lies. MAST: where that of the last
    long-term reference does, a slip of the released code."""
    aligned: bool = True
    """Whether scores are upsampled as if cells lay on pixel 4 i, where features and labels lie. MAST: on 4 i + 1.5,
    which shifts every mask by 1.5 pixels. ours."""
    labels: Literal["nearest", "mean"] = "nearest"
    """How a full-size mask becomes labels of cells: nearest takes pixel 4 i (MAST), mean the 4 x 4 pixels around it."""
    classes: int | None = None
    """Ids have to be below this; None: any ids. MAST: 7."""
    shared_encoder: bool = False
    """Encode references by Phi_q too, so each frame once. paper eq. 5: by Phi_r. Weights without Phi_r share anyhow."""
    short_side: int | None = None
    """Resize videos so that the shorter side has this many pixels; None: their own size. MAST: 480p as it is."""
    tf32: bool = False
    """Whether fp32 products may be rounded to TF32; CUDA only. MAST: never (it is older than TF32)."""

    def __post_init__(self) -> None:
        if not (self.every_frame or self.recent or 0 in self.first):
            raise ValueError("expected at least one reference of any target: give recent, or first with 0 in it")
        if min(self.first, default=0) < 0 or min(self.recent, default=1) < 1:
            raise ValueError(f"found first={self.first}, recent={self.recent}; expected frames from 0, gaps from 1 on")
        for name, least in (("radius", 0), ("long_term", 1), ("max_dilation", 1), ("short_side", 1), ("classes", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"found {name}={value}; expected {least} or more")
        if self.temperature <= 0:
            raise ValueError(f"found temperature={self.temperature}; expected a number above 0")


CORRECT = Config()
MAST = Config(own_offsets=False, aligned=False, classes=7)
REFS_1 = replace(CORRECT, first=(), recent=(1,))
REFS_3 = replace(CORRECT, first=(0,), recent=(1, 3))
REFS_ALL = replace(CORRECT, every_frame=True)
NO_ROI = replace(CORRECT, roi=False)

PRESETS = {
    "correct": CORRECT,
    "mast": MAST,
    "refs-1": REFS_1,
    "refs-3": REFS_3,
    "refs-5": CORRECT,
    "refs-all": REFS_ALL,
    "no-roi": NO_ROI,
}
"""refs-N are the rows of the paper's Table 2, which does not say which 3 frames are meant: ours are 0, t - 3, t - 1."""
