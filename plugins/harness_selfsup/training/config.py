"""Every constant of training by frame reconstruction, with its source; presets by name, the paper's first.

Sources: paper = Zhu et al. 2020; MAST = zlai0/MAST at a57b043, which the paper builds on; ours = left open by both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of one training; the defaults are the paper's pairwise pretraining.

    A clip is ``references`` frames and then the target, each ``interval`` frames after the one before. A video of one
    frame is an image: its clip is made by random homographies.
    """

    iterations: int = 120_000
    """paper 4.1."""
    batch: int = 48
    """Clips of one step, over all processes. paper 4.1."""
    size: int = 384
    """Side of what the encoder sees, a multiple of 4. paper 4.1 (MAST: 256)."""
    references: int = 1
    """Frames in the memory, in one joint softmax. paper 3.2: 1 for pretraining, 5 for the memory."""
    momentum: float = 0.999
    """m of eq. 8. paper 3.2."""
    momentum_encoder: bool = False
    """Whether references are encoded by Phi_r, without gradient. paper 3.2: only with the memory."""
    symmetric: bool = False
    """Whether every frame of the clip is a target of all the others, not the last alone (not with Phi_r). ours."""
    radius: int = 12
    """Half side of the window, in feature cells: 25 x 25. paper B (MAST: 6)."""
    mask_outside: bool = False
    """Whether what of a window lies outside the frame is left out of the softmax. MAST: it stays, with logit 0 and
    colour 0; at 384 pixels that is the border's affair, at 128 it is half of the window."""
    lr: float = 1e-3
    """Adam. MAST (paper: not said for pretraining, 1e-4 for the memory)."""
    halve_at: tuple[float, ...] = (0.4, 0.6, 0.8)
    """After which fractions of the iterations the rate halves. ours (MAST: after .4, .6, .8 and 1.0 M samples)."""
    warm_up: int = 0
    """Iterations over which the learning rate rises linearly. ours."""
    intervals: tuple[int, ...] = (2, 5, 8)
    """Frames between neighbours of a clip. MAST."""
    interval_probabilities: tuple[float, ...] = (0.4, 0.4, 0.2)
    """MAST."""
    crop: Literal["random-resized", "whole", "zoomed"] = "random-resized"
    """random-resized: a box of ``area`` and ``aspect``, resized; whole: the frame, resized (MAST); zoomed: a square
    that, resized, magnifies the frame by ``zoom``. One box for all frames of a clip. paper 4.1: random crop."""
    shrink: Literal["area", "linear"] = "area"
    """How a box larger than ``size`` is resized: over all of its pixels, or from four each (MAST). ours: area, which
    has no aliases."""
    norms: Literal["joint", "apart"] = "joint"
    """Whether batch norms see all frames of the clips at once, or one place of the clip after the other. MAST: apart,
    every frame is a pass of its own. ours: joint, so that references and targets are normalised alike."""
    area: tuple[float, float] = (0.5, 1.0)
    """Fraction of the frame. ours."""
    aspect: tuple[float, float] = (0.75, 4 / 3)
    """Width over height of the box. ours."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """ours."""
    flip: float = 0.0
    """How often the whole clip is mirrored. ours."""
    drop: float = 0.5
    """How often one of a and b is dropped: then it alone is regressed; else both are. paper 4.1 (MAST: always)."""
    drop_scale: float = 1.5
    """Factor on the channels that are left. MAST."""
    jitter: float = 0.3
    """How often the colours of a clip are jittered, each frame by its own draw. paper 4.1."""
    jitter_strength: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Brightness, contrast, saturation (factors 1 +- x), hue (+- a fraction of the circle). ours."""
    loss_scale: float = 20.0
    """Factor on prediction and truth inside smooth-L1. MAST."""
    is_aligned: bool = False
    """Whether cell i of a prediction is laid on pixel 4 i, where its features and colours come from. MAST: 1.5 further
    (plain bilinear up-sampling)."""
    homography: float = 0.15
    """How far the corners of an image move over a clip, as a fraction of its sides. ours (paper: not said)."""
    videos: int = 0
    """Learn from so many of the videos, drawn by the seed; 0: from all. paper 4.4: 100."""
    stills: bool = False
    """Take one frame of every video, drawn by the seed, as an image. paper 4.4 (100 images)."""
    feature_norm: bool = True
    """Whether a batch norm holds the features while training, folded into the weights. ours: see network.py
    (MAST: none)."""
    feature_spread: float = 4.0
    """Scale an untrained encoder so that the logits of a window have this standard deviation; 0: as drawn. ours: of
    1/4, 1, 4, 16 and 64 the one whose reconstruction is best before any step (recipe/README.md)."""
    export_momentum: bool = False
    """Whether the weights hold Phi_r too, as ``momentum.*``; else both encoders of test time are Phi_q."""

    def __post_init__(self) -> None:
        if self.references < 1 or self.batch < 1 or self.iterations < 1:
            found = f"iterations={self.iterations}, batch={self.batch}, references={self.references}"
            raise ValueError(f"found {found}; expected 1 or more")
        if self.size % 4 or self.size < 16:
            raise ValueError(f"found size={self.size}; expected a multiple of 4 from 16 on")
        if len(self.intervals) != len(self.interval_probabilities) or min(self.intervals, default=0) < 1:
            raise ValueError(
                f"found intervals={self.intervals} with interval_probabilities={self.interval_probabilities}; "
                "expected as many of both, intervals from 1 on"
            )
        if self.symmetric and self.momentum_encoder:
            raise ValueError("symmetric=True needs a gradient through every frame; set momentum_encoder=False")

    def learning_rate(self, iteration: int) -> float:
        """Warm-up, then ``lr`` halved at each of ``halve_at``."""
        if iteration < self.warm_up:
            return self.lr * (iteration + 1) / self.warm_up
        return self.lr * 0.5 ** sum(iteration >= fraction * self.iterations for fraction in self.halve_at)


PAIRWISE = TrainingConfig()
MEMORY = replace(PAIRWISE, iterations=10_000, batch=16, references=5, momentum_encoder=True, lr=1e-4, halve_at=())
"""paper 3.2 and 4.1, but for the batch, which is not said: 16 clips of 6 frames are as many frames as 48 pairs."""
MAST_ITERATIONS = 119_300
"""20 epochs of 5,965 batches: the 469,887 frames of its ytvos.csv make 71,583 pairs an epoch on the average."""
MAST_PAIRWISE = replace(
    PAIRWISE,
    iterations=MAST_ITERATIONS,
    batch=12,
    size=256,
    radius=6,
    halve_at=tuple((samples + 1) / (12 * MAST_ITERATIONS) for samples in (400_000, 600_000, 800_000, 1_000_000)),
    crop="whole",
    shrink="linear",
    norms="apart",
    drop=1.0,
    jitter=0.0,
    feature_norm=False,
    feature_spread=0.0,
)
"""MAST: the rate halved after .4, .6, .8 and 1.0 M samples; reported not to converge on torch above 1.1."""
SMALL_PAIRWISE = replace(
    PAIRWISE,
    iterations=700,
    batch=4,
    size=96,
    radius=6,
    symmetric=True,
    crop="zoomed",
    zoom=(0.7, 1.8),
    flip=0.5,
    drop=1.0,
    intervals=(1, 2, 4),
    interval_probabilities=(0.4, 0.3, 0.3),
    warm_up=30,
    jitter_strength=(0.3, 0.3, 0.2, 0.02),
    mask_outside=True,
    is_aligned=True,
)
"""What half a CPU core does in 40 minutes, on frames of 240 lines. ours."""
SMALL_MEMORY = replace(
    SMALL_PAIRWISE,
    iterations=240,
    references=5,
    momentum_encoder=True,
    momentum=0.99,
    symmetric=False,
    lr=1e-4,
    halve_at=(),
    warm_up=20,
    intervals=(1, 2),
    interval_probabilities=(0.5, 0.5),
)
"""Begins from the weights of small-pairwise; m is lower than the paper's .999 because Phi_r has to follow within 240
iterations, not 10,000. ours."""
PRESETS = {
    "pairwise": PAIRWISE,
    "memory": MEMORY,
    "mast-pairwise": MAST_PAIRWISE,
    "small-pairwise": SMALL_PAIRWISE,
    "small-memory": SMALL_MEMORY,
}
