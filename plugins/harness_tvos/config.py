"""Every constant of TVOS inference, with its source; the defaults are what the released code does on DAVIS.

Sources: paper = Zhang et al. 2020; code = microsoft/transductive-vos.pytorch at 1312e43 (lib/predict.py, inference.py);
branch = its branch youtube-vos at 1d820a9, by which the published YouTube-VOS figures were made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Constants of inference.

    References of target t (frames are counted from the first prompted one): all earlier frames while there are at
    most ``sparse + dense``, then ``sparse`` frames spread evenly over t - ``reach`` .. t - 1 - ``dense``, and the
    ``dense`` last ones.
    """

    dense: int = 3
    """code: linspace ends at t - 4 and is followed by t - 3, t - 2, t - 1 (paper 3.3: 4 consecutive frames)."""
    sparse: int = 6
    """code: 6 points of linspace, of which t - 4 is the last (paper 3.3: 5)."""
    reach: int = 44
    """code: linspace starts at t - 4 - 40 (paper 3.3: the preceding 40 frames)."""
    sigma_near: float = 8.0
    """Feature pixels. paper 3.3; code --sigma_1. branch: 15."""
    sigma_far: float = 21.0
    """Feature pixels. paper 3.3; code --sigma_2. branch: made and never used."""
    near: int = 4
    """How many of the last references take ``sigma_near``. paper 3.3; code the same. branch: all."""
    far_from: int = 16
    """First target whose older references take ``sigma_far``. code: t > 15 (paper: none said)."""
    temperature: float = 1.0
    """Factor on <f_i, f_j>. code --temperature 1.0 (paper eq. 6: none)."""
    renormalise: bool = False
    """Whether scores are divided by their sum over classes, which puts the prior into the softmax as paper eq. 6 and 4
    have it. code: the prior comes after the softmax, and nothing is renormalised."""
    short_side: int | None = None
    """Pixels of the shorter side of what the network sees: frames are resized bilinearly (Pillow's filter), the first
    mask with them; masks come back at the video's own size. None: the video's own. code: none. branch: 480."""
    least_side: int | None = None
    """Videos whose shorter side is below this are worked on at it, enlarged as ``short_side`` resizes; others are not
    touched. A cell is 8 x 8 pixels, so an object of 30 pixels is four cells wide, and less is seen of its outline than
    a template of its colours tells. ours (code: none)."""
    prompt_labels: Literal["soft", "nearest"] = "soft"
    """How a prompt becomes labels of feature pixels. soft: shares, bilinearly (code). nearest: one id each, the first
    prompt by way of the working size and later ones straight (branch: Pillow takes nearest for palette images)."""
    upsample: Literal["direct", "nearest"] = "direct"
    """direct: scores go bilinearly to the video's size (code, where nothing is resized). nearest: to the working size,
    and the ids from there to the video's by nearest (branch)."""
    official_bugs: bool = False
    """Three accidents of the branch, for its published figures only. Objects that enter together become one, under
    the highest id (``new_label[label > 0] = max``). The third annotated frame of a video is skipped (its index is
    raised twice). The mask of a frame on which objects enter lacks them (it is made before they are put in)."""
    features: Literal["tvos", "layer3"] = "tvos"
    """tvos: the trained network. layer3: the third layer (res4) of any ResNet under torchvision's names, its stride
    made 1, for the rows "ImageNet", "InstDisc" and "MoCo" of paper table 2; paper 4.2 does not say which layer."""
    normalise_features: bool = False
    """Whether features get length 1. code: no. InstDisc and MoCo compare such features, over .07."""
    tf32: bool = False
    """Whether fp32 products may be rounded to TF32; CUDA only. code: never (it is older than TF32)."""
    compile: bool = False
    """Whether torch.compile works on the network; the record's conditions say so."""
    fused_convolutions: bool = True
    """CUDA, halves or TF32: whether convolutions of residual blocks add the shortcut and apply the ReLU (cuDNN)."""
    cuda_graph: bool = False
    """Whether a frame is one CUDA graph, from the frame on the device to the mask; CUDA with Triton only."""
    untrained_architecture: Literal["r18", "r50", "r101"] = "r50"
    """Network built where there are no weights; weights decide by themselves. paper 3.5: ResNet-50."""

    def __post_init__(self) -> None:
        if self.dense < 0 or self.sparse < 0 or self.dense + self.sparse == 0:
            raise ValueError(f"found dense={self.dense}, sparse={self.sparse}; expected at least one reference")
        if self.sparse and self.reach < self.dense + self.sparse:
            raise ValueError(
                f"reach={self.reach} holds fewer frames than sparse={self.sparse} and dense={self.dense} need"
            )
        if min(self.sigma_near, self.sigma_far) <= 0:
            raise ValueError(f"found sigmas {self.sigma_near} and {self.sigma_far}; expected numbers above 0")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"found short_side={self.short_side}; expected at least 1 pixel, or none set")
        if self.least_side is not None and self.least_side < 1:
            raise ValueError(f"found least_side={self.least_side}; expected at least 1 pixel, or none set")
        if self.least_side is not None and self.short_side is not None:
            raise ValueError("short_side sets every video's size and least_side that of small ones; set one of them")


OFFICIAL = Config()
PAPER = Config(dense=4, sparse=5, reach=40, far_from=0, renormalise=True)
YOUTUBE_VOS = Config(sigma_near=15.0, sigma_far=15.0, short_side=480, prompt_labels="nearest", upsample="nearest")
"""branch, without its accidents. Two more are in no preset, because a mask has the video's size here: the branch
saves the first mask at the size of the feature grid, and those of the last video of a data set at 480 pixels."""

# Table 2 of the paper. Its columns differ in the references; only the last one has the motion prior (4.2), so in the
# others "a smaller sigma = 8" (3.3) is that of every reference. The spatial term of eq. 6 is part of the model itself
# and stays. Sampling is that of the released code where both are sparse; "9 frames in the preceding 40" are those of
# t - 40 .. t - 1.
MOTIONLESS = replace(OFFICIAL, sigma_far=OFFICIAL.sigma_near)
TABLE_2 = {
    "table2-1": replace(MOTIONLESS, dense=1, sparse=0),
    "table2-3": replace(MOTIONLESS, dense=3, sparse=0),
    "table2-9": replace(MOTIONLESS, dense=9, sparse=0),
    "table2-uniform": replace(MOTIONLESS, dense=0, sparse=9, reach=40),
    "table2-sparse": MOTIONLESS,
    "table2-sparse-motion": OFFICIAL,
}

PRESETS = {
    "official": OFFICIAL,
    "paper": PAPER,
    "youtube-vos": YOUTUBE_VOS,
    "youtube-vos-official": replace(YOUTUBE_VOS, official_bugs=True),
    **TABLE_2,
    "small-videos": replace(OFFICIAL, least_side=480),
    "layer3-raw": replace(OFFICIAL, features="layer3"),
    # The temperature InstDisc (Wu et al. 2018) and MoCo (He et al. 2020) were trained with.
    "layer3-cosine": replace(OFFICIAL, features="layer3", normalise_features=True, temperature=1 / 0.07),
}
