"""Every constant of dtnet at test time, with its source; the defaults are those of the shipped weights.

Sources: paper = Zhou et al. 2021; FRTM = andr345/frtm-vos, the model of a target that the paper takes "with default
settings"; PDL = bowenc0221/panoptic-deeplab, whose heads D-Net's derive from; ours = left open by all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class DiscoveryConfig:
    """Constants of D-Net; alone they are those of card ``dnet``."""

    untrained_architecture: Literal["paper", "small"] = "small"
    """Network built where there are no weights; weights decide by themselves. paper: ResNet-50, ASPPs of 256. small:
    EfficientNet-Lite0. ours."""
    imagenet: bool = False
    """Whether an untrained ``small`` begins with the ImageNet weights of the extra ``backbones``. ours."""
    categories: int = 0
    """Categories an untrained network tells apart; weights decide by themselves, and others are refused where this is
    not 0. paper 4.3: 40 for YouTube-VIS."""
    wanted: tuple[str, ...] = ()
    """Names of the categories whose tracks are yielded, as the weights call them; none: all. ours."""
    guidance: Literal["task", "printed", "off"] = "task"
    """What the gates of the guidance squeeze; weights that say what they were trained with decide by themselves.
    printed: X^SAL and X^INS (eq. 3 and 4). task: each the map it gates and X^SGM, which they weigh. ours.
    off: no guidance (paper Table 3, "w/o SGM")."""
    short_side: int | None = 240
    """Frames are worked on at most at this shorter side. paper: DAVIS at 480p. ours: the lines of the training."""
    foreground_threshold: float = 0.5
    """Probability from which a pixel is foreground. ours."""
    centre_threshold: float = 0.1
    """PDL: how high a peak of the heatmap is at least."""
    centre_window: int = 3
    """Side of the window a peak is the highest in, here in cells of 4 pixels. PDL: 7. ours: of frames of 240 lines."""
    most_proposals: int = 20
    """paper 4.2 (DAVIS 2017 unsupervised): at most 20 objects. PDL: 200."""
    least_proposal: float = 100 / (480 * 854)
    """Share of the frame below which a proposal is dropped. ours."""

    def __post_init__(self) -> None:
        for name in ("foreground_threshold", "centre_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"found {name}={getattr(self, name)}; expected a number from 0 to below 1")
        if self.centre_window < 1 or self.centre_window % 2 == 0:
            raise ValueError(f"found centre_window={self.centre_window}; expected an odd number")
        if not 1 <= self.most_proposals <= 255:
            raise ValueError(f"found most_proposals={self.most_proposals}; expected 1 to 255")
        if self.short_side is not None and self.short_side < 16:
            raise ValueError(f"found short_side={self.short_side}; expected at least 16 pixels, or none set")
        if self.categories < 0 or not 0 <= self.least_proposal < 1:
            raise ValueError(f"found categories={self.categories}, least_proposal={self.least_proposal}")


@dataclass(frozen=True)
class Config(DiscoveryConfig):
    """Constants of D-Net and T-Net."""

    target_side: int | None = None
    """T-Net sees frames as squares of this side (spec of the paper's input: 473 x 473). None: as D-Net does; ours."""
    projection: int = 96
    """FRTM: channels of W1 * X."""
    first_iterations: tuple[int, ...] = (5, 10, 10, 10)
    """Steps of conjugate gradient in each Gauss-Newton step on first samples. FRTM: a 10 more (this: its fast form)."""
    later_iterations: int = 10
    """FRTM: steps of conjugate gradient in an update, which moves W2 alone."""
    copies: int = 4
    """FRTM: augmented copies of the first frame beside itself."""
    gamma: float = 0.1
    """FRTM: learning rate, by which the weights of samples grow (paper: gamma, no value)."""
    memory: int = 80
    """FRTM: samples kept a target."""
    solver: Literal["cg", "normal"] = "cg"
    """How updates find W2. cg: conjugate gradient on the memory (FRTM). normal: the exact minimum by normal equations
    over all samples so far, without a memory. ours."""
    regularisation_inside: bool = True
    """Whether lambda multiplies the weights inside the residual (FRTM), so its square stands in the energy, or stands
    there itself (paper, eq. 9)."""
    update_every: int = 8
    """paper 3.2: frames between updates that no verified proposal asks for. 0: never, also not when verified (Table 4,
    "w/o memory updating")."""
    memory_adds: Literal["all", "verified"] = "verified"
    """Which results become samples. verified: those that a proposal confirmed (the paper's text); but then doubling
    their weights says nothing. all: every one of 10 pixels and more, as in FRTM; where targets are many their models
    learn each other's pieces (README.md)."""
    verification: bool = True
    """Whether proposals replace results (eq. 10). False: Table 4, "w/o verification"."""
    matching: Literal["hungarian", "argmax"] = "hungarian"
    """argmax: each track takes its best proposal (paper); two tracks may take one. hungarian: one to one. ours."""
    reid_threshold: float = 0.6
    """paper 3.2."""
    verified_overlap: float = 0.2
    """IoU of a proposal with a result above which they are compared. paper, eq. 10: .5. ours: the coarse masks of few
    cells rarely overlap an object by the half, and then nothing is verified (README.md, association)."""
    new_overlap: float = 0.1
    """paper 3.2: IoU with every result below which a proposal is a new target."""
    least_new: float = 0.001
    """Share of the frame below which no proposal is a new target. ours."""
    most_tracks: int = 20
    """paper 4.2: at most 20 objects a video; the first come, the first kept. ours: which of more."""
    refiner: Literal["auto", "none", "decoder"] = "auto"
    """How coarse scores become masks. none: interpolated. decoder: by one that learnt, as in FRTM. auto: by that of
    the weights where they have one. The paper does not say; ours."""
    within_foreground: bool = True
    """Whether results lie within D-Net's foreground. The paper does not say how scores become masks; ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.most_tracks <= 20:
            raise ValueError(f"found most_tracks={self.most_tracks}; expected 1 to 20")
        if self.memory < self.copies + 2:
            raise ValueError(
                f"found memory={self.memory}; expected {self.copies + 2} or more with copies={self.copies}"
            )
        if not 0 < self.gamma < 1:
            raise ValueError(f"found gamma={self.gamma}; expected a number between 0 and 1")
        if min(self.projection, self.later_iterations, self.update_every + 1, self.copies + 1) < 1:
            raise ValueError("expected projection and later_iterations from 1, update_every and copies from 0 on")
        if not self.first_iterations or min(self.first_iterations) < 1:
            raise ValueError(f"found first_iterations={self.first_iterations}; expected numbers from 1 on")
        if self.target_side is not None and self.target_side < 32:
            raise ValueError(f"found target_side={self.target_side}; expected at least 32 pixels, or none set")


SMALL = Config()
"""For a CPU, and for the shipped weights: EfficientNet-Lite0 in both networks, at most 240 lines. ours."""
PAPER = Config(
    untrained_architecture="paper",
    short_side=480,
    centre_window=7,
    target_side=473,
    first_iterations=(5, 10, 10, 10, 10),
    verified_overlap=0.5,
    memory_adds="all",
)

PRESETS = {
    "paper": PAPER,
    "no-verification": replace(PAPER, verification=False),
    "no-update": replace(PAPER, update_every=0),
    "no-guidance": replace(PAPER, guidance="off"),
    "small": SMALL,
    "small-imagenet": replace(SMALL, imagenet=True),
    "smoke": replace(
        SMALL,
        short_side=64,
        most_tracks=4,
        projection=8,
        first_iterations=(3, 3),
        later_iterations=3,
        copies=1,
        memory=8,
    ),
    "small-no-verification": replace(SMALL, verification=False),
    "small-no-update": replace(SMALL, update_every=0),
    "small-no-guidance": replace(SMALL, guidance="off"),
}
"""The first four are the rows of the paper's Tables 3 and 4; ``smoke`` runs everything, quickly, for tests."""

DISCOVERY_SMALL = DiscoveryConfig()
DISCOVERY_PAPER = DiscoveryConfig(untrained_architecture="paper", short_side=480, centre_window=7)
DISCOVERY_PRESETS = {
    "paper": DISCOVERY_PAPER,
    "no-guidance": replace(DISCOVERY_PAPER, guidance="off"),
    "small": DISCOVERY_SMALL,
    "small-imagenet": replace(DISCOVERY_SMALL, imagenet=True),
    "small-no-guidance": replace(DISCOVERY_SMALL, guidance="off"),
}
