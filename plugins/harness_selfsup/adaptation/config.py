"""Every constant of online adaptation, with its source, beside those of the propagation it learns from.

Sources: paper = Zhu et al. 2020, section 4.1 where nothing else is said; ours = left open there ("Details can be
checked in the code", which was never released).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from harness_selfsup.config import PRESETS, Config

STRIDE = 32
"""Of the U-Net: what goes in has a multiple of this many rows and columns."""


@dataclass(frozen=True)
class AdaptedConfig(Config):
    """Constants of propagation and of the U-Net that learns its masks, whole video by whole video."""

    unet_size: int = 480
    """The U-Net's input is this by this pixels, whatever the video's aspect. paper."""
    unet_width: int = 64
    """Channels of the encoder's first stage. 64: ResNet-18, paper; less is not ResNet-18 any more, and faster."""
    unet_batch: int = 8
    """Frames an iteration. ours."""
    iterations: int = 200
    """paper: "around 200" ("we decide to train only 200", 4.2). Causal form: those after each prompt."""
    learning_rate: float = 2e-4
    """Of Adam. paper."""
    decay_every: int = 50
    """Iterations. paper: "decaying with the step size of 50"."""
    decay: float = 0.5
    """Factor at each decay. ours; .1 (preset step-0.1) hardly moves after 100 iterations."""
    first_weight: float = 2.0
    """Weight of the first prompted frame, the one whose mask is true. ours; paper, B: "more weights on the early"."""
    weight_slope: float = 0.7
    """Frame i of T weighs 1 - slope i / T, in how often it is drawn and in the loss. ours."""
    least_weight: float = 0.3
    """But no less than this. ours."""
    jitter: float = 0.8
    """How often colours are jittered. ours; MoCo v2."""
    jitter_strengths: tuple[float, ...] = (0.4, 0.4, 0.4, 0.1)
    """Of brightness, contrast, saturation, hue. ours; MoCo v2."""
    gray: float = 0.2
    """How often colours are taken away. ours; MoCo v2."""
    flip: float = 0.5
    """How often frame and mask are mirrored. ours."""
    dice_smoothing: float = 1.0
    """Pixels added to overlap and sizes, so that an absent object has a Dice loss. ours."""
    most_lessons: int = 512
    """Masks kept to learn from; of a longer video every 2nd, 4th ... frame. ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = self.unet_batch * (self.unet_size // STRIDE) ** 2
        if self.unet_size < STRIDE or self.unet_size % STRIDE or self.unet_batch < 1 or cells < 2:
            raise ValueError(
                f"found unet_size={self.unet_size}, unet_batch={self.unet_batch}; expected a multiple of {STRIDE}, "
                "and two images where it is the smallest (batch norm needs two values)"
            )
        if self.unet_width < 4 or self.unet_width % 4:
            raise ValueError(f"found unet_width={self.unet_width}; expected a multiple of 4")
        for name in ("iterations", "decay_every", "most_lessons"):
            if getattr(self, name) < 1:
                raise ValueError(f"found {name}={getattr(self, name)}; expected 1 or more")
        for name in ("learning_rate", "decay", "first_weight", "least_weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"found {name}={getattr(self, name)}; expected more than 0")
        for name in ("jitter", "gray", "flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"found {name}={getattr(self, name)}; expected a probability")
        if len(self.jitter_strengths) != 4 or not all(0 <= strength <= 1 for strength in self.jitter_strengths):
            raise ValueError(f"found jitter_strengths={self.jitter_strengths}; expected four numbers from 0 to 1")
        if self.dice_smoothing < 0:
            raise ValueError(f"found dice_smoothing={self.dice_smoothing}; expected 0 or more")


@dataclass(frozen=True)
class CausalConfig(AdaptedConfig):
    """Constants of the causal form, which sees no later frame: the paper's, and those it has alone (all ours)."""

    iterations: int = 100
    """After a prompt, on the frames so far. ours; the rate then stays where they leave it."""
    iterations_per_frame: int = 3
    """Before each other frame. ours: with 70 frames, as many as the first 100 again and twice."""
    most_lessons: int = 64
    """ours: memory does not grow with the video."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations_per_frame < 0:
            raise ValueError(f"found iterations_per_frame={self.iterations_per_frame}; expected 0 or more")


PAPER = AdaptedConfig()
ADAPTED_PRESETS = {
    **{name: AdaptedConfig(**asdict(propagation)) for name, propagation in PRESETS.items()},
    "paper": PAPER,
    "step-0.1": replace(PAPER, decay=0.1),
    "cpu": replace(PAPER, unet_size=160, unet_batch=2),
    "smoke": replace(PAPER, unet_size=32, unet_width=4, unet_batch=2, iterations=2),
}
CAUSAL_PRESETS = {
    **{name: CausalConfig(**asdict(propagation)) for name, propagation in PRESETS.items()},
    "cpu": CausalConfig(unet_size=160, unet_batch=2),
    "smoke": CausalConfig(unet_size=32, unet_width=4, unet_batch=2, iterations=2, iterations_per_frame=1),
}
"""Those of propagation under their names, and: cpu, what a CPU can do (about a minute of one core a video); smoke, for
tests, whose masks are worth nothing."""
