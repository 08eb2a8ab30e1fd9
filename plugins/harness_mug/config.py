"""Every constant of MuG at test time, with its source.

Sources: paper = Lu et al. 2020; code = carrierlxk/MuG at c923518, whose frames, references and read-out differ from the
paper's; ours = left open by both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Source = Literal["videos", "frames", "maps"]
"""Where an object comes from: r of the whole video, x of the frame alone, the maps that training began with."""

Features = Literal["x", "match", "trunk"]


@dataclass(frozen=True)
class FrameConfig:
    """What each card needs to turn frames into features."""

    short_side: int = 240
    """Frames are resized, bilinearly, so that the shorter side has this many pixels, unless ``stretch`` is set."""
    stretch: tuple[int, int] | None = None
    """Rows and columns that every frame is brought to instead. paper: 256 x 256; code: 640 x 640."""
    untrained_architecture: Literal["paper", "code", "small"] = "small"
    """Network built where there are no weights. Weights of another, which their names tell, are refused."""
    imagenet: bool = False
    """Whether the trunk of an untrained ``small`` is that of ImageNet: "the same backbone before training"."""

    def __post_init__(self) -> None:
        if self.short_side < 16 or (self.stretch is not None and min(self.stretch) < 16):
            raise ValueError(f"found short_side={self.short_side}, stretch={self.stretch}; expected 16 pixels or more")


@dataclass(frozen=True)
class ObjectConfig(FrameConfig):
    """Card ``mug-zvos``."""

    stretch: tuple[int, int] | None = (256, 448)
    """What ``small`` learnt from."""
    source: Source = "videos"
    """videos: the read-out of r (paper 3.3); frames: P = rho(x) of each frame by itself (eq. 2); maps: no network, the
    saliency maps, made binary by the CRF (paper Table 1, "Initial Fore-/Background Knowledge")."""
    references: int = 8
    """K, frames of the whole video that each frame is compared with. paper."""
    pick: Literal["middle", "random", "released"] = "middle"
    """Which frame stands for a segment. ours: its middle one; paper: any, drawn by the seed of the run; code: any, but
    never the first frame of the video (``readout/accidents.py``)."""
    leave_out_own: bool = True
    """Whether a frame that is a reference itself is compared with the others alone, as in training. ours (code: no)."""
    enlarge: Literal["bilinear", "nearest"] = "bilinear"
    """How probabilities of cells are brought to pixels. ours: bilinear; code: nearest."""
    crf: bool = True
    """Whether a CRF at the video's size decides. paper 4.3: +2.7 J; code: none."""
    plain: bool = False
    """Whether trunk, attention and CRF are computed in their plain forms, to compare with."""
    threshold: float = 0.5
    """From which probability on a pixel is the object. paper."""
    saliency: str = "motion"
    """Where the maps of ``source=maps`` come from: a provider, as docs/providers.md names them. ours: the paper's
    manifold ranking is patented, and what moves is told better than what stands out (``boundary``)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references < 1 or not 0 < self.threshold < 1:
            raise ValueError(
                f"found references={self.references}, threshold={self.threshold}; expected 1 or more, and between 0 "
                "and 1"
            )


@dataclass(frozen=True)
class InstanceConfig(ObjectConfig):
    """Card ``mug-instances``."""

    proposals: str = "components"
    """Where candidates come from: components of the own mask, edgebox+grabcut (paper Table 4, the rows with a star),
    maskrcnn:FILE (the rows without) or files:DIR."""
    candidates: int = 100
    """Of a frame, that are looked at. ours."""
    least_foreground: float = 0.5
    """The share of a candidate that has to be foreground. ours; paper: "filter out the background proposals"."""
    most_overlap: float = 0.2
    """IoU with a surer candidate above which one is left out. ours, UnOVOST's value."""
    flow: str = "dis"
    """The optical flow that masks are moved along before they are compared; empty: overlap alone."""
    least_link: float = 0.05
    """IoU from which a candidate goes on with a track. ours, UnOVOST's value."""
    patience: int = 5
    """Frames a track may be out of sight before it ends. ours."""
    most_tracks: int = 20
    """Of a video: those with the highest sum of scores. DAVIS 2017 unsupervised."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = (self.least_foreground, self.most_overlap, self.least_link)
        if not all(0 < share <= 1 for share in shares) or self.patience < 0 or self.candidates < 1:
            raise ValueError(
                f"found least_foreground={self.least_foreground}, most_overlap={self.most_overlap}, "
                f"least_link={self.least_link}, patience={self.patience}, candidates={self.candidates}; expected "
                "shares above 0, at most 1, 0 frames or more, 1 candidate or more"
            )
        if not 1 <= self.most_tracks <= 20:
            raise ValueError(f"found most_tracks={self.most_tracks}; expected 1 to 20, the most that may be yielded")


@dataclass(frozen=True)
class Config(FrameConfig):
    """Card ``mug``: one-shot propagation. The default is ``uvc``, with frames of the size that ``small`` likes."""

    features: Features = "x"
    """What cells are compared by. x: paper eq. 17; match: the projection that the long term and r are made of. ours, by
    the sizes in print; trunk: the trunk's last map, before any projection of MuG. ours."""
    dense: bool = True
    """Whether ``small`` has cells of 8 pixels by dilation, where it learnt on 16: thin objects need them. ours."""
    first: bool = True
    """Whether prompted frames are looked at beside the last one. code; paper eq. 17: the last frame alone."""
    top: int = 5
    """So many of the largest affinities of a pixel count, after the softmax; 0: all. code; paper: all."""
    labels: Literal["soft", "hard"] = "soft"
    """What the next frame is told of the last one. code: scores; paper: the object of each cell."""
    stretch_scores: bool = True
    """Whether the scores of each object are brought to 0..1 in each frame before the largest wins. code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top < 0:
            raise ValueError(f"found top={self.top}; expected 0 (all) or more")


PAPER_FRAMES = {"stretch": (256, 256), "untrained_architecture": "paper"}
CODE_FRAMES = {"stretch": (640, 640), "untrained_architecture": "code"}
CODE_ACCIDENTS = {"pick": "released", "enlarge": "nearest", "leave_out_own": False}

OBJECT = ObjectConfig()
OBJECT_PRESETS = {
    "small": OBJECT,
    "small-plain": replace(OBJECT, plain=True),
    "small-no-crf": replace(OBJECT, crf=False),
    "paper": ObjectConfig(**PAPER_FRAMES, crf=True),  # type: ignore[arg-type]
    "paper-no-crf": ObjectConfig(**PAPER_FRAMES, crf=False),  # type: ignore[arg-type]
    "code": ObjectConfig(**CODE_FRAMES, crf=False, **CODE_ACCIDENTS),  # type: ignore[arg-type]
    "small-scratch": replace(OBJECT, stretch=(128, 224)),
    "frames": replace(OBJECT, source="frames"),
    "maps": replace(OBJECT, source="maps", crf=True),
    "maps-boundary": replace(OBJECT, source="maps", crf=True, saliency="boundary"),
    "smoke": ObjectConfig(stretch=None, short_side=64, crf=False),  # a second of a CPU, for tests
}
INSTANCE = InstanceConfig()
INSTANCE_PRESETS = {
    "small": INSTANCE,
    "small-edgebox": replace(INSTANCE, proposals="edgebox+grabcut"),
    "small-scratch": replace(INSTANCE, stretch=(128, 224)),
    "paper": InstanceConfig(**PAPER_FRAMES, crf=True),  # type: ignore[arg-type]
    "paper-edgebox": InstanceConfig(**PAPER_FRAMES, crf=True, proposals="edgebox+grabcut"),  # type: ignore[arg-type]
    "smoke": InstanceConfig(stretch=None, short_side=64, crf=False, flow="dis:fast"),
}
ONE_SHOT = Config()
PRESETS = {
    "small": ONE_SHOT,
    "small-scratch": replace(ONE_SHOT, short_side=128),
    "untrained": replace(ONE_SHOT, imagenet=True, features="trunk"),
    "paper": Config(**PAPER_FRAMES, first=False, top=0, labels="hard", stretch_scores=False),  # type: ignore[arg-type]
    "uvc": Config(**CODE_FRAMES),  # type: ignore[arg-type]
    "smoke": Config(short_side=64),
}
