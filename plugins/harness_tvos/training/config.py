"""Every constant of TVOS training, with its source; presets by name, the released code's first. Imports no torch.

Sources: paper = Zhang et al. 2020; code = microsoft/transductive-vos.pytorch at 1312e43 (branch youtube-vos for that
data set); ours = chosen for the shipped weights, recipe/README.md says how.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of one training; the defaults are the released code's, on DAVIS.

    There are two kinds of clips. "plain": whole frames of one video, cropped and flipped alike, the last one the target
    of the others. "mixed": crops near objects, each frame with a little movement of its own, often with the object of
    another video laid over; each frame is the target of the others, and two frames know from flow where points go.
    """

    architecture: Literal["r18", "r50", "r101", "lite0-s4", "lite0-s5", "lite0-s4s5"] = "r50"
    """Of a network that begins untrained or from ImageNet. paper 3.5: r50; lite0, the stages it ends with: ours."""
    imagenet: bool = False
    """Whether a lite0 begins with the ImageNet weights of the installed package where no --init is given. ours."""
    width: int = 0
    """Channels of a lite0's features; 0: as many as its maps have. ours."""
    temperature: float = 40.0
    """On the products of a lite0's features, which have length one without it; where it begins, or stays. ours."""
    learn_temperature: bool = True
    """ours."""
    frozen_stages: int = 0
    """Stages of a lite0 (1 to 5, with the stem) that stay as they begin. ours."""
    frozen_norms: bool = False
    """Whether the statistics of a lite0's batch norms stay as they begin; scale and shift are learnt. ours."""
    closed_residuals: bool = False
    """Whether an untrained r18 begins with closed residual branches and small dot products. ours."""

    clips: Literal["plain", "mixed"] = "plain"
    batch: int = 16
    """Clips of one step, over all processes. code: 4 on each of 4 GPUs."""
    strategy: Literal["previous", "uniform", "sparse"] = "previous"
    """Which references a plain clip has: the frames just before the target, frames spread over the preceding 40, or
    the rule of test time. paper Table 2, rows."""
    references: int = 9
    """paper 3.4: 9 previous frames; 1, 3 and 9 are rows of Table 2."""
    reshuffle: bool = False
    """Whether each epoch has an order of its own. code: no, its DistributedSampler is never told the epoch, so the
    clips that do not fill a batch are the same in all epochs."""
    short_side: int = 0
    """Frames are first resized to this shorter side by Pillow, with "palette" the coloured masks too; 0: as they are.
    code: 384 for YouTube-VOS."""
    crop: int = 256
    """Side of the crops, a multiple of 8. code."""
    late_crop: int = 0
    """Another side for the last iterations; 0: the same. ours."""
    late_from: float = 0.8
    """The fraction of the iterations from which ``late_crop`` holds. ours."""
    flip: float = 0.5
    """How often a clip is mirrored left to right. code (paper 3.5: random flipping)."""
    flip_vertically: float = 0.5
    """How often a clip is turned upside down. code."""
    colour_jitter: float = 0.0
    """Strength for brightness, contrast, saturation and hue, one draw a plain clip. code: .4 where switched on, off by
    default."""
    labels: Literal["majority", "nearest", "palette"] = "palette"
    """How the ids of 8 x 8 pixels become a cell's: the nearest palette colour to the mean of their colours, the
    commonest, or the one at its centre. code: palette, which puts a class 8 on borders of object 1; ours: majority."""

    targets: Literal["last", "each"] = "last"
    """Which frames of a clip are targets. code: the last."""
    negatives: float = 0.0
    """The other clips of the batch are in every softmax, weighted as so many cells; 0: they are not. ours."""
    correspondence: float = 0.0
    """Weight of the loss that a point is found again where flow says (mixed clips). ours."""
    negative_cells: int = 0
    """At most so many cells of the other clips are looked at, evenly spread; 0: all. ours."""
    neighbourhood: float = 0.7
    """Width, in cells, of the Gaussian that says which cells count as the same point. ours."""

    generated: float = 0.5
    """How often a mixed clip is of a video with exact flow, where there are both kinds. ours."""
    scale: tuple[float, float] = (0.8, 2.3)
    """Of a whole mixed clip, relative to frames of 240 lines (those of the test have 480). ours."""
    on_object: float = 0.85
    """How often a mixed clip is centred near an object. ours."""
    paste: float = 0.6
    """How often the object of another video is laid over. ours."""
    near_gap: int = 4
    """The largest distance, in frames, of a mixed clip's second frame from its first. ours."""
    far_gap: int = 20
    """The same for its other frames. ours."""
    frame_shift: float = 0.12
    """How far each frame of a mixed clip strays, as a fraction of the crop. ours."""
    frame_scale: float = 0.08
    """The same in size, as a logarithm. ours."""
    frame_degrees: float = 6.0
    """The same in turn. ours."""
    clip_colour: float = 0.25
    """Strength of the colour changes that a mixed clip's frames share, as a logarithm. ours."""
    frame_colour: float = 0.1
    """Of those that each frame has for itself. ours."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd: Nesterov, momentum .9. code."""
    lr: float = 0.02
    """code."""
    trunk_lr: float = 1.0
    """Factor on it for the trunk of a lite0; its projection and temperature have the whole. ours."""
    final_lr: float = 4e-5
    """Where the cosine ends. code."""
    warm_up: int = 0
    """Iterations over which the learning rate rises linearly. ours."""
    weight_decay: float = 3e-4
    """code: also on batch norms (with adamw: not on them)."""
    clip_norm: float = 0.0
    """The largest norm of the gradient; 0: any. ours (code: any)."""
    average: float = 0.0
    """Decay, a step, of the moving average of the weights that is exported; 0: the weights themselves. ours."""
    half_weights: bool = False
    """Whether the exported weights are stored in fp16. ours."""
    epochs: int = 240
    """An epoch has a clip for every frame of the data; the learning rate changes once an epoch. code (YouTube: 30)."""
    iterations: int = 0
    """Instead of ``epochs`` where it is not 0; the learning rate changes every iteration then. ours."""

    def __post_init__(self) -> None:
        sides = [side for side in (self.crop, self.late_crop or self.crop) if side % 8 or side < 16]
        if sides:
            raise ValueError(f"found crops of side {sides[0]}; expected multiples of 8 from 16 on")
        if self.batch < 1 or self.references < 1 or (self.epochs < 1 and self.iterations < 1):
            raise ValueError(
                f"found batch={self.batch}, references={self.references}, epochs={self.epochs}; expected 1 or more"
            )
        if self.clips == "plain" and self.correspondence:
            raise ValueError("correspondence needs the flow of mixed clips; set clips=mixed or correspondence=0")
        if self.negatives and self.targets == "last":
            raise ValueError("negatives are part of the loss of every frame; set targets=each or negatives=0")
        if self.negatives and self.batch < 2:
            raise ValueError("negatives come from the other clips of a batch; set batch to 2 or more, or negatives=0")
        if self.strategy == "sparse" and self.references != 9:
            raise ValueError(
                f"found references={self.references} with strategy=sparse, the rule of test time; it has references=9"
            )
        if self.closed_residuals and self.architecture != "r18":
            raise ValueError("closed_residuals prepares basic blocks; set architecture=r18 or closed_residuals=false")
        if self.architecture.startswith("r") and (self.imagenet or self.frozen_stages or self.frozen_norms):
            raise ValueError(
                f"imagenet, frozen_stages and frozen_norms are of lite0; found architecture={self.architecture}"
            )
        if not 0 <= self.frozen_stages <= 5 or self.temperature <= 0 or self.width < 0:
            raise ValueError(
                f"found frozen_stages={self.frozen_stages}, temperature={self.temperature}, width={self.width}; "
                "expected 0 to 5, above 0, and 0 or more"
            )
        if self.near_gap >= self.far_gap:
            raise ValueError(f"found near_gap={self.near_gap}, far_gap={self.far_gap}; expected the second larger")

    def crop_at(self, iteration: int, iterations: int) -> int:
        """The side of the crops at one of so many iterations."""
        return self.late_crop if self.late_crop and iteration >= self.late_from * iterations else self.crop

    def learning_rate(self, iteration: int, iterations: int, epoch: int) -> float:
        """Warm-up, then a cosine to ``final_lr``, in steps of ``epoch`` iterations."""
        if iteration < self.warm_up:
            return self.lr * (iteration + 1) / self.warm_up
        start, step = self.warm_up, 1 if self.iterations else epoch
        done = (iteration - start) // step * step / max(iterations - start, 1)
        return self.final_lr + 0.5 * (self.lr - self.final_lr) * (1 + math.cos(math.pi * min(done, 1.0)))


OFFICIAL = TrainingConfig()
SMALL = TrainingConfig(
    architecture="r18",
    closed_residuals=True,
    clips="mixed",
    labels="majority",
    batch=4,
    references=3,
    crop=128,
    flip_vertically=0.0,
    targets="each",
    negatives=20_000.0,
    generated=0.35,
    correspondence=0.5,
    optimizer="adamw",
    lr=2e-3,
    final_lr=2e-5,
    warm_up=30,
    weight_decay=0.02,
    clip_norm=2.0,
    half_weights=True,
    iterations=1000,
)
LITE0 = TrainingConfig(
    architecture="lite0-s4",
    imagenet=True,
    labels="majority",
    reshuffle=True,
    frozen_stages=2,
    frozen_norms=True,
    batch=4,
    flip_vertically=0.0,
    colour_jitter=0.2,
    optimizer="adamw",
    lr=6e-4,
    trunk_lr=0.3,
    final_lr=6e-6,
    warm_up=20,
    weight_decay=0.02,
    clip_norm=2.0,
    average=0.995,
    half_weights=True,
    iterations=500,
)
"""The released code's clips and loss, on a network of ours; recipe/README.md says what else was tried. ours."""
LITE0_MIXED = replace(
    LITE0,
    clips="mixed",
    batch=16,
    references=3,
    crop=128,
    colour_jitter=0.0,
    targets="each",
    negatives=20_000.0,
    negative_cells=2048,
    correspondence=0.5,
    generated=0.0,
)
"""The clips and losses of ``small``: with generated video .05 worse on ten held-out sequences. ours."""
PRESETS = {
    "official": OFFICIAL,
    "official-youtube-vos": replace(OFFICIAL, short_side=384, epochs=30),
    "official-majority": replace(OFFICIAL, labels="majority", reshuffle=True),
    "paper": replace(OFFICIAL, flip_vertically=0.0),
    "table2-1": replace(OFFICIAL, references=1),
    "table2-3": replace(OFFICIAL, references=3),
    "table2-uniform": replace(OFFICIAL, strategy="uniform"),
    "table2-sparse": replace(OFFICIAL, strategy="sparse"),
    "small": SMALL,
    "lite0": LITE0,
    "lite0-mixed": LITE0_MIXED,
}
"""``official`` is the row "9 frames" of Table 2; ``lite0`` made the shipped weights."""
