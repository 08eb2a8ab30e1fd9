"""Every constant of training, with its source; the defaults are the paper's, on DAVIS 2017.

Sources: paper = Zhou et al. 2021; PDL = bowenc0221/panoptic-deeplab, whose heads D-Net's derive from; FRTM =
andr345/frtm-vos, whose decoder refines scores; ours = left open by all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of training. Stage "discovery" learns D-Net, stage "refiner" the decoder of T-Net's scores."""

    architecture: Literal["paper", "small"] = "paper"
    """paper: ResNet-50 and 101, ASPPs of 256. small: EfficientNet-Lite0 in both. ours."""
    imagenet: bool = False
    """Whether the trunks of ``small`` begin with the ImageNet weights of the extra ``backbones``; those of ``paper``
    take torchvision's files: ``--init resnet50.pth --init refiner=resnet101.pth``. paper: "the backbone", ImageNet."""
    guidance: Literal["task", "printed", "off"] = "task"
    """What the gates of the guidance squeeze; see ``DiscoveryConfig``. off: no guidance (Table 3, "w/o SGM")."""
    categories: bool = False
    """Whether the foreground head learns the data's categories. paper 4.3: for YouTube-VIS."""

    lines: int = 480
    """Frames are brought to so many pixels on the shorter side, times ``scale``. paper 4.1: 480p."""
    scale: tuple[float, float] = (0.8, 1.5)
    """paper 4.1."""
    crop: int = 640
    """Side of the square that is seen; what of it lies beyond the frame is void. paper 4.1."""
    flip: float = 0.5
    """paper 4.1 ("horizontal flipping")."""
    on_object: float = 0.0
    """How often the crop lies around an object and not anywhere. ours."""
    colour: float = 0.0
    """Strength of changes in brightness, contrast and tint, as a logarithm, alike in both frames. ours."""
    gap: int = 3
    """The frame of the guidance lies 1 to this many frames back. ours (test time: 1)."""
    unguided: float = 0.2
    """How often a frame has no guidance, as the first of a video has none. ours."""
    mask_jitter: float = 0.05
    """How far the guidance's mask is moved, as a share of the crop, and resized and grown at random. ours."""
    mask_lacks: float = 0.1
    """How often the guidance's mask lacks an object, each by itself. ours."""
    generated: float = 0.5
    """Share of samples from videos with exact flow, where there are such and others. ours."""
    paste: float = 0.0
    """How often objects of other videos are laid over a frame and the one before. ours."""
    most_pasted: int = 3
    """ours."""

    sigma: float = 10.0
    """Standard deviation of a centre's Gaussian, in pixels of frames of 480 lines. paper 3.1: 10."""
    foreground_weight: float = 1.0
    """PDL (paper: no weights)."""
    centre_weight: float = 200.0
    """PDL."""
    offset_weight: float = 0.01
    """PDL; of offsets in pixels."""
    hardest: float = 1.0
    """Share of pixels that the foreground's loss is the mean of, those of the largest loss. paper: all. PDL: .2."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd: momentum .9. paper 4.1. adamw: ours."""
    lr: float = 0.01
    """ours (paper: none)."""
    trunk_lr: float = 1.0
    """Factor on it for the trunk. ours."""
    frozen_norms: bool = False
    """Whether the statistics of the trunk's batch norms stay as they begin. ours."""
    power: float = 0.9
    """Of the polynomial decay to 0. paper 4.1 ("polynomial annealing"); PDL: .9."""
    weight_decay: float = 5e-4
    """paper 4.1."""
    batch: int = 8
    """Frames, each with one before. ours (paper: none)."""
    iterations: int = 40_000
    """Of stage "discovery"; 0: there is none, ``--init`` names a D-Net. ours (paper: none)."""

    refiner_iterations: int = 20_000
    """Of stage "refiner"; 0: there is none. FRTM: 260 passes over 60 videos, each eight times."""
    refiner_batch: int = 16
    """Targets. FRTM."""
    refiner_frames: int = 2
    """Later frames whose masks are learnt from, a target. FRTM."""
    refiner_gap: int = 10
    """A later frame lies at most so many frames after the first of its target. ours."""
    refiner_lr: float = 1e-3
    """Adam's, AMSGrad; a tenth of it in the second half. FRTM."""
    refiner_weight_decay: float = 1e-5
    """FRTM."""
    refiner_projection: int = 96
    """Channels of W1 * X while the refiner learns; ours: as at test time (FRTM: 32)."""
    refiner_steps: tuple[int, ...] = (5, 10, 10, 10, 10)
    """Steps of conjugate gradient in each Gauss-Newton step; ours: as at test time."""
    refiner_copies: int = 4
    """Augmented copies of a target's first frame; ours: as at test time (FRTM: 14)."""
    refiner_size: tuple[int, int] = (473, 473)
    """Rows and columns that T-Net sees, as at test time. paper 4.1."""

    half_weights: bool = True
    """Whether weights are stored in fp16. ours."""

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 16:
            raise ValueError(f"found crop={self.crop}; expected a multiple of 16 from 32 on")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"found scale={self.scale}; expected two numbers above 0, the larger second")
        if self.batch < 2 or self.refiner_batch < 2:
            raise ValueError("expected batch and refiner_batch from 2 on: batch norms need two")
        if self.iterations < 0 or self.refiner_iterations < 0 or not self.iterations + self.refiner_iterations:
            raise ValueError("found no iterations: set iterations or refiner_iterations above 0")
        if not 0 < self.hardest <= 1 or self.sigma <= 0 or self.gap < 1 or self.refiner_gap < self.refiner_frames:
            raise ValueError(
                f"found hardest={self.hardest}, sigma={self.sigma}, gap={self.gap}, refiner_gap={self.refiner_gap}; "
                f"expected (0, 1], above 0, 1 or more, and refiner_frames={self.refiner_frames} or more"
            )
        if self.imagenet and self.architecture != "small":
            raise ValueError("imagenet=true is of architecture=small; that of the paper takes files from --init")

    def learning_rate(self, iteration: int) -> float:
        """Polynomial decay from ``lr`` to 0, every iteration."""
        return self.lr * (1 - iteration / self.iterations) ** self.power

    def refiner_learning_rate(self, iteration: int) -> float:
        """FRTM: a tenth from the middle on (epoch 127 of 260)."""
        return self.refiner_lr * (1 if 2 * iteration < self.refiner_iterations else 0.1)


PAPER = TrainingConfig()
YOUTUBE_VIS = replace(PAPER, categories=True, iterations=90_000)
SMALL = replace(
    PAPER,
    architecture="small",
    imagenet=True,
    lines=240,
    crop=192,
    on_object=0.8,
    colour=0.15,
    paste=0.7,
    offset_weight=0.2,
    optimizer="adamw",
    lr=1e-3,
    trunk_lr=0.2,
    frozen_norms=True,
    weight_decay=0.01,
    iterations=1000,
    refiner_iterations=300,
    refiner_batch=4,
    refiner_frames=1,
    refiner_projection=32,
    refiner_steps=(5, 10, 10),
    refiner_copies=1,
    refiner_size=(240, 427),
)
"""For a CPU: 1,000 iterations take about 17 minutes of one thread. ours."""

PRESETS = {
    "paper": PAPER,
    "paper-youtube-vis": YOUTUBE_VIS,
    "paper-no-guidance": replace(PAPER, guidance="off"),
    "small": SMALL,
    "small-categories": replace(SMALL, categories=True),
    "small-no-guidance": replace(SMALL, guidance="off"),
    "small-scratch": replace(SMALL, imagenet=False, frozen_norms=False, trunk_lr=1.0),
}
"""The first three are the rows of the paper's Tables 1 to 3."""
