"""How the refiner learns: from coarse scores of models fitted to a target's first frame, to its masks later on.

After FRTM: trunk and models are given, the decoder alone learns. Models are fitted by what test time fits them with
(FRTM: other constants), and anew at every step, so nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from harness import DataError, TrainingContext, read_facts
from harness.models.checkpoints import read_state
from harness.models.dilated_resnet import ResNet, load_torchvision
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.discovery.heads import enlarge
from harness_dtnet.network import GUIDANCE, Networks, guidance_of, load_networks, state_to_store
from harness_dtnet.target.bilinear import gather
from harness_dtnet.target.copies import draw_copies
from harness_dtnet.target.gauss_newton import Penalty
from harness_dtnet.target.models import Learning, TargetModels
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.learner import begin, is_ours
from harness_dtnet.training.pasting import SMALLEST
from harness_dtnet.training.targets import MOST, UNKNOWN
from harness_dtnet.training.videos import Ids, Image, LearnedVideo, open_videos

OWN_SEED = 7
"""Sets the draws of this stage apart from those of the first."""


class TargetBatch(NamedTuple):
    """B targets: K first samples and R later frames each."""

    first: Tensor
    """(B, K, H, W, 3) uint8 RGB: the first frame, then augmented copies."""
    first_masks: Tensor
    """(B, K, H, W) float, 0 to 1."""
    later: Tensor
    """(B, R, H, W, 3) uint8 RGB."""
    later_masks: Tensor
    """(B, R, H, W) uint8, 0 and 1."""


class TargetSource:
    """The targets of one training."""

    def __init__(self, videos: Sequence[LearnedVideo], config: TrainingConfig, seed: int) -> None:
        self.videos = [video for video in videos if len(video.frames) > config.refiner_frames]
        if not self.videos:
            raise DataError(f"the refiner learns from videos of more than {config.refiner_frames} annotated frames")
        self.config, self.seed = config, seed

    def targets(self, iteration: int, places: Sequence[int]) -> TargetBatch:
        """The targets at these places of an iteration's batch."""
        drawn = [self._target(np.random.default_rng((self.seed, OWN_SEED, iteration, place))) for place in places]
        return TargetBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True)))

    def _target(self, rng: np.random.Generator) -> tuple[NDArray, ...]:
        config = self.config
        for _ in range(100):  # frames without objects are rare
            video = self.videos[int(rng.integers(len(self.videos)))]
            moments = draw_later(rng, video.frames, config.refiner_frames, config.refiner_gap)
            frames = [shrink(*video.read(t), config.refiner_size) for t in moments]
            name = pick_target(rng, frames[0][1])
            if name is not None:
                break
        else:
            raise DataError("no object of 64 pixels was found in 100 frames; the refiner has nothing to learn from")
        masks = [ids == name for _, ids in frames]
        share = masks[0].astype(np.float32)
        copies = [(frames[0][0], share), *draw_copies(frames[0][0], share, config.refiner_copies, rng)]
        images, shares = (np.stack(parts) for parts in zip(*copies, strict=True))
        return images, shares, np.stack([image for image, _ in frames[1:]]), np.stack(masks[1:]).astype(np.uint8)


def draw_later(rng: np.random.Generator, frames: Sequence[int], count: int, gap: int) -> list[int]:
    """A first frame and ``count`` later ones, at most ``gap`` after it, ascending."""
    first = int(rng.integers(len(frames) - count))
    reach = min(gap, len(frames) - 1 - first)
    return [frames[first], *(frames[first + 1 + int(k)] for k in sorted(rng.choice(reach, count, replace=False)))]


def pick_target(rng: np.random.Generator, ids: Ids) -> int | None:
    """The id of an object that is large enough; merged ones are one target."""
    counts = np.bincount(ids.ravel(), minlength=256)
    names = [name for name in [*range(1, MOST + 1), UNKNOWN] if counts[name] >= SMALLEST]
    return int(rng.choice(names)) if names else None


def shrink(image: Image, ids: Ids, size: tuple[int, int]) -> tuple[Image, Ids]:
    """A frame and its ids at T-Net's size."""
    if image.shape[:2] == size:
        return image, ids
    import cv2

    wide = (size[1], size[0])
    smaller = cv2.resize(image, wide, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8), np.asarray(cv2.resize(ids, wide, interpolation=cv2.INTER_NEAREST), np.uint8)


class RefinerLearner:
    """The refiner while it learns. A ``harness.Learner``."""

    def __init__(self, context: TrainingContext) -> None:
        config: TrainingConfig = context.config
        if config.refiner_batch % context.world or config.refiner_batch // context.world < 2:
            raise ValueError(f"refiner_batch={config.refiner_batch} cannot be shared by {context.world} processes")
        self.config, self.device = config, torch.device(context.device)
        self.iterations = config.refiner_iterations
        self.source = TargetSource(open_videos(context.samples, {}), config, context.seed)
        self.places = range(context.rank, config.refiner_batch, context.world)
        self.told, self.all = networks_before(context)
        self.refiner = self.all.refiner or self.all.add_refiner(context.seed)
        dtype = DTYPES[context.precision]
        self.layout = fastest_layout(self.device, dtype, tf32=False)
        self.all.to(self.device, memory_format=self.layout).eval().requires_grad_(False)  # type: ignore[call-overload]
        self.refiner.train().requires_grad_(True)
        target = self.all.target
        self.normalise = Normalise(target.mean, target.std, str(self.device), torch.float32, self.layout)
        self.seed = context.seed
        self._adam = torch.optim.Adam(
            self.refiner.parameters(), lr=config.refiner_lr, weight_decay=config.refiner_weight_decay, amsgrad=True
        )

    def networks(self) -> Mapping[str, nn.Module]:
        """All of them; the refiner alone changes."""
        return {"networks": self.all}

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam over the refiner."""
        return self._adam

    def learning_rate(self, iteration: int) -> float:
        """See ``TrainingConfig``."""
        return self.config.refiner_learning_rate(iteration)

    def batch(self, iteration: int) -> TargetBatch:
        """This rank's targets: every ``world``-th of the batch."""
        return self.source.targets(iteration, self.places)

    def loss(self, batch: TargetBatch, iteration: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Cross-entropy of the later masks; logged beside it how much of them is right, refined and coarse (IoU)."""
        first, first_masks, later, later_masks = (part.to(self.device, non_blocking=True) for part in batch)
        truth = later_masks.flatten(0, 1)  # (B*R, H, W)
        size = (truth.shape[1], truth.shape[2])
        with torch.no_grad():
            coarse, maps = self._look(first, first_masks.float(), later)
        logits = enlarge(self.refiner(coarse, maps)[:, None], truth)[:, 0].float()  # (B*R, H, W)
        loss = functional.binary_cross_entropy_with_logits(logits, truth.float())
        with torch.no_grad():
            rough = functional.interpolate(coarse[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            logs = {"iou": mean_iou(logits > 0, truth > 0), "iou_of_coarse": mean_iou(rough > 0.5, truth > 0)}
        return loss, {"bce": loss.detach(), **logs}

    def _look(self, first: Tensor, masks: Tensor, later: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (B*R, h, w) of models fitted to the first samples, and the trunk's maps of the later frames."""
        count = later.shape[1]
        begun = self._maps(first)[-1].float().unflatten(0, first.shape[:2])  # (B, K, D, h, w)
        maps = self._maps(later)
        features = maps[-1].float()  # (B*R, D, h, w)
        with torch.autocast(self.device.type, enabled=False):
            models = TargetModels(self._learning(), (masks.shape[2], masks.shape[3]), features[0])
            models.add(begun, masks, torch.Generator().manual_seed(self.seed))
            w1, w2 = (each.repeat_interleave(count, 0) for each in (models.w1, models.w2))
            coarse = gather((w2.mT @ (w1 @ features.flatten(2))).unflatten(2, features.shape[2:]))
        return coarse, maps

    def _maps(self, frames: Tensor) -> list[Tensor]:
        """The trunk's maps of (B, K, H, W, 3) frames, B*K in front."""
        return self.all.target.maps(self.normalise.apply(frames.flatten(0, 1).permute(0, 3, 1, 2).float()))

    def _learning(self) -> Learning:
        """The constants models are fitted with."""
        config = self.config
        return Learning(config.refiner_projection, config.refiner_steps, 1, 0.1, 1, "cg", Penalty())

    def after_step(self, iteration: int) -> None:
        """Nothing: no copies are kept."""

    def weights(self) -> Mapping[str, Tensor]:
        """D-Net, T-Net's trunk and the refiner, by their names."""
        return state_to_store(self.all, is_half=self.config.half_weights)

    def facts(self) -> Mapping[str, str]:
        """Those of D-Net's weights."""
        return self.told


def mean_iou(found: Tensor, truth: Tensor) -> Tensor:
    """Of masks (N, H, W); two empty ones count as 1."""
    together = (found & truth).flatten(1).sum(1)
    either = (found | truth).flatten(1).sum(1)
    return torch.where(either > 0, together / either.clamp(min=1), 1.0).mean()


def networks_before(context: TrainingContext) -> tuple[Mapping[str, str], Networks]:
    """The networks of the stage before, or of the file the training begins from, and their facts.

    A torchvision ResNet-101 as ``--init refiner=FILE`` becomes T-Net's trunk.
    """
    config: TrainingConfig = context.config
    given = context.weights
    path = given if given is not None and is_ours(given) else context.earlier
    if path is None:
        networks, facts = begin(config, None, context.seed, 0), {GUIDANCE: str(config.guidance)}
    else:
        facts = dict(read_facts(path))
        networks = load_networks(path, guidance_of(config.guidance, facts))
    if given is not None and given != path:
        trunk = networks.target.trunk
        if not isinstance(trunk, ResNet):
            raise DataError.at(given, found="no D-Net", expected="weights of harness train --plugin dtnet")
        load_torchvision(trunk, read_state(given), str(given))
    return facts, networks
