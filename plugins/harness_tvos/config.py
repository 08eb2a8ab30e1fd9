"""Every constant of TVOS inference, with its source; the defaults are what the released code does.

Sources: paper = Zhang et al. 2020; code = microsoft/transductive-vos.pytorch at 1312e43 (lib/predict.py, inference.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Constants of inference.

    References of target t (frames are counted from the first prompted one): all earlier frames while there are at
    most ``sparse + dense``, then ``sparse`` frames spread evenly over t - ``reach`` .. t - 1 - ``dense``, and the
    ``dense`` last ones. Other strategies of the paper's Table 2: sparse=0 with dense=1, 3 or 9 (that many previous
    frames); sparse=9, dense=0, reach=40 (uniform).
    """

    dense: int = 3
    """code: linspace ends at t - 4 and is followed by t - 3, t - 2, t - 1 (paper 3.3: 4 consecutive frames)."""
    sparse: int = 6
    """code: 6 points of linspace, of which t - 4 is the last (paper 3.3: 5)."""
    reach: int = 44
    """code: linspace starts at t - 4 - 40 (paper 3.3: the preceding 40 frames)."""
    sigma_near: float = 8.0
    """Feature pixels. paper 3.3; code --sigma_1."""
    sigma_far: float = 21.0
    """Feature pixels. paper 3.3; code --sigma_2."""
    near: int = 4
    """How many of the last references take ``sigma_near``. paper 3.3; code the same."""
    far_from: int = 16
    """First target whose older references take ``sigma_far``. code: t > 15 (paper: none said)."""
    temperature: float = 1.0
    """Factor on <f_i, f_j>. code --temperature 1.0 (paper eq. 6: none)."""
    renormalise: bool = False
    """Whether scores are divided by their sum over classes, which puts the prior into the softmax as paper eq. 6 and 4
    have it. code: the prior comes after the softmax, and nothing is renormalised."""
    short_side: int | None = None
    """Pixels of the shorter side of what the network sees: frames are resized bilinearly (Pillow's filter), the first
    mask with them; masks come back at the video's own size. None: the video's own. code: none for DAVIS."""
    untrained_architecture: Literal["r18", "r50", "r101"] = "r50"
    """Network built where there are no weights; weights decide by themselves. paper 3.5: ResNet-50."""

    def __post_init__(self) -> None:
        if self.dense < 0 or self.sparse < 0 or self.dense + self.sparse == 0:
            raise ValueError(f"found dense={self.dense}, sparse={self.sparse}; expected at least one reference")
        if self.sparse and self.reach < self.dense + self.sparse:
            raise ValueError(
                f"reach={self.reach} holds fewer frames than sparse={self.sparse} and dense={self.dense} need"
            )
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"found short_side={self.short_side}; expected at least 1 pixel, or none set")
        if min(self.sigma_near, self.sigma_far) <= 0:
            raise ValueError(f"found sigmas {self.sigma_near} and {self.sigma_far}; expected numbers above 0")


OFFICIAL = Config()
PAPER = Config(dense=4, sparse=5, reach=40, far_from=0, renormalise=True)
