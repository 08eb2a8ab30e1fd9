"""How a TVOS network learns: the propagation loss, the correspondence loss, one step, the schedule, the checkpoint."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from harness import DataError
from harness_tvos.network import IMAGENET_MEAN, IMAGENET_STD, STRIDE, EmbeddingNetwork


@dataclass(frozen=True)
class TrainingConfig:
    """The constants of a training run; the defaults are the small ones of the shipped weights (one CPU core, an hour).

    The released code (microsoft/transductive-vos@1312e43) uses SGD with lr .02, weight decay 3e-4, 16 clips of 10
    frames of 256 x 256 and 240 epochs; only the last frame of a clip is a target there, here each is in turn.
    """

    iterations: int = 1400
    clips: int = 4
    frames: int = 3
    crop: int = 128
    late_crop: int = 192
    """The crop of the last iterations, from ``late_from`` (a fraction of all) on."""
    late_from: float = 0.8
    lr: float = 2e-3
    final_lr: float = 2e-5
    warm_up: int = 60
    weight_decay: float = 0.02
    clip_norm: float = 2.0
    temperature: float = 1.0  # as at test time: features are plain dot products
    correspondence_weight: float = 0.5
    neighbourhood: float = 0.7
    """The width, in feature cells, of the Gaussian that says which references count as the same point."""
    seed: int = 0

    def crop_at(self, iteration: int) -> int:
        """The side of the crops at one iteration, a multiple of the network's stride."""
        return self.late_crop if iteration >= self.late_from * self.iterations else self.crop

    def lr_at(self, iteration: int) -> float:
        """Linear warm-up, then a cosine to ``final_lr`` at the last iteration."""
        if iteration < self.warm_up:
            return self.lr * (iteration + 1) / self.warm_up
        done = (iteration - self.warm_up) / max(self.iterations - self.warm_up, 1)
        return self.final_lr + 0.5 * (self.lr - self.final_lr) * (1 + math.cos(math.pi * min(done, 1.0)))


@dataclass(frozen=True)
class ClipBatch:
    """B clips of K frames, cropped, and what is known of them.

    ``frames`` is (B, K, S, S, 3) uint8 RGB, ``ids`` (B, K, S, S) uint8 with 0 background. Frames 0 and 1 of each clip
    are a pair with known correspondences: ``matches`` (B, 2, h, w, 2) says for each feature cell of frame 0 where, as
    (x, y) in cells, it lies in frame 1, and the other way round; ``is_matched`` says where that is trusted.
    """

    frames: Tensor
    ids: Tensor
    matches: Tensor
    is_matched: Tensor


@dataclass(frozen=True)
class StepReport:
    """What one step measured, before the weights moved."""

    iteration: int
    propagation: float
    correspondence: float
    right: float
    """The fraction of target cells whose propagated label is right."""
    lr: float


def normalised(frames: Tensor) -> Tensor:
    """uint8 RGB (..., H, W, 3) to the network's input (..., 3, H, W)."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return ((frames.float() / 255 - mean) / std).movedim(-1, -3)


def majority_labels(ids: Int[Tensor, "*batch H W"] | Tensor, classes: int) -> Int[Tensor, "*batch h w"]:
    """The commonest id of each 8 x 8 block (the lower id on a tie): hard labels on the feature grid."""
    height, width = ids.shape[-2:]
    one_hot = F.one_hot(ids.reshape(-1, height, width).long(), classes).movedim(-1, 1).float()
    share = F.avg_pool2d(one_hot, STRIDE, ceil_mode=True)  # (N, classes, h, w)
    return share.argmax(1).reshape(*ids.shape[:-2], *share.shape[-2:])


def propagate_labels(
    target: Float[Tensor, "B C N"],
    references: Float[Tensor, "B C M"],
    labels: Int[Tensor, "B M"],
    classes: int,
    temperature: float = 1.0,
) -> Float[Tensor, "B N classes"]:
    """Zhang et al. 2020, eq. 7: one softmax over all reference cells, no spatial prior, times their labels."""
    affinity = torch.softmax(target.transpose(1, 2) @ references * temperature, dim=-1)
    return affinity @ F.one_hot(labels, classes).to(affinity.dtype)


def propagation_loss(
    target: Float[Tensor, "B C N"],
    references: Float[Tensor, "B C M"],
    target_labels: Int[Tensor, "B N"],
    reference_labels: Int[Tensor, "B M"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Zhang et al. 2020, eq. 8: the mean negative log of the propagated probability of each cell's own label.

    Taken in log space, so a saturated softmax still has a gradient (the released code adds 1e-14 instead). Cells whose
    label no reference carries have nothing to learn from and are left out.
    """
    scores = target.transpose(1, 2) @ references * temperature  # (B, N, M)
    agrees = target_labels[:, :, None] == reference_labels[:, None, :]
    is_known = agrees.any(-1)
    own = scores.masked_fill(~agrees, -torch.inf).masked_fill(~is_known[..., None], 0.0).logsumexp(-1)
    loss = (scores.logsumexp(-1) - own)[is_known]
    return loss.mean() if len(loss) else scores.sum() * 0.0


def correspondence_loss(
    query: Float[Tensor, "B C h w"],
    reference: Float[Tensor, "B C h w"],
    matches: Float[Tensor, "B h w 2"],
    is_matched: Bool[Tensor, "B h w"],
    neighbourhood: float,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Propagate "is the same point" instead of an object id: a Gaussian around the known match is the label."""
    height, width = query.shape[-2:]
    scores = query.flatten(2).transpose(1, 2) @ reference.flatten(2) * temperature  # (B, N, N)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([columns, rows], -1).reshape(-1, 2).to(matches)  # (N, 2) as x, y
    distance = (matches.reshape(len(matches), -1, 1, 2) - cells).square().sum(-1)
    log_label = -distance / (2 * neighbourhood**2)
    log_label = log_label - log_label.amax(-1, keepdim=True)  # the nearest cell counts fully
    loss = (scores.logsumexp(-1) - (scores + log_label).logsumexp(-1))[is_matched.flatten(1)]
    return loss.mean() if len(loss) else scores.sum() * 0.0


def clip_losses(
    features: Float[Tensor, "B K C h w"], batch: ClipBatch, config: TrainingConfig
) -> tuple[Tensor, Tensor, float]:
    """Propagation loss with each frame as target in turn, correspondence loss, and the fraction of right labels."""
    classes = int(batch.ids.max()) + 1
    labels = majority_labels(batch.ids, classes).flatten(2)  # (B, K, N)
    flat = features.flatten(3)  # (B, K, C, N)
    losses, right = [], []
    for t in range(flat.shape[1]):
        others = [k for k in range(flat.shape[1]) if k != t]
        references = torch.cat([flat[:, k] for k in others], dim=-1)
        reference_labels = torch.cat([labels[:, k] for k in others], dim=-1)
        losses.append(propagation_loss(flat[:, t], references, labels[:, t], reference_labels, config.temperature))
        with torch.no_grad():
            prediction = propagate_labels(flat[:, t], references, reference_labels, classes, config.temperature)
            right.append((prediction.argmax(-1) == labels[:, t]).float().mean().item())
    pairs = [
        correspondence_loss(
            features[:, a], features[:, 1 - a], batch.matches[:, a], batch.is_matched[:, a],
            config.neighbourhood, config.temperature,
        )
        for a in (0, 1)
    ]  # fmt: skip
    return torch.stack(losses).mean(), torch.stack(pairs).mean(), sum(right) / len(right)


class Training:
    """A network, its optimiser and the iteration it is at; everything random is a function of seed and iteration."""

    def __init__(self, network: EmbeddingNetwork, config: TrainingConfig) -> None:
        self.network = network.train()
        self.config = config
        self.iteration = 0
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99))

    def step(self, batch: ClipBatch) -> StepReport:
        """One forward, backward and update; batch norms use the batch."""
        config, clips, frames = self.config, *batch.frames.shape[:2]
        lr = config.lr_at(self.iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images = normalised(batch.frames.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
        features = self.network(images).unflatten(0, (clips, frames)).contiguous()
        propagation, correspondence, right = clip_losses(features, batch, config)
        self.optimizer.zero_grad(set_to_none=True)
        (propagation + config.correspondence_weight * correspondence).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.optimizer.step()
        report = StepReport(self.iteration, propagation.item(), correspondence.item(), right, lr)
        self.iteration += 1
        return report

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on, by temporary file and rename."""
        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "iteration": self.iteration,
                "state_dict": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "config": json.dumps(asdict(self.config)),
            },
            temporary,
        )
        os.replace(temporary, path)

    def resume(self, path: Path) -> None:
        """Go on from ``save``; another config is refused, except for another number of iterations."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        found, expected = json.loads(saved["config"]), asdict(self.config)
        changed = [name for name in expected if found.get(name) != expected[name] and name != "iterations"]
        if changed:
            raise DataError(
                f"the training at {path} ran with another config: "
                + ", ".join(f"{name} = {found.get(name)}, now {expected[name]}" for name in changed),
                hint="use the same options, or another folder to begin anew",
            )
        self.network.load_state_dict(saved["state_dict"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.iteration = saved["iteration"]


def soften_logits(network: EmbeddingNetwork, *, scale: float) -> None:
    """Prepare an untrained r18 for plain dot products: residual branches start closed, layer 3 starts at ``scale``.

    As drawn, post-ReLU features of 256 channels have dot products of several hundred, and a softmax at temperature 1
    sees one reference only. At scale .24 the expected spread between a cell and another is about 10.
    """
    layer3, layer4 = network.backbone[6], network.backbone[7]
    for block in (layer3[1], layer4[0], layer4[1]):  # type: ignore[index]
        nn.init.zeros_(block.bn2.weight)
    for norm in (layer3[0].bn2, layer3[0].downsample[1]):  # type: ignore[index,union-attr]
        nn.init.constant_(norm.weight, scale)


def rescale_features(network: EmbeddingNetwork, scale: float) -> None:
    """Multiply the features of a network in evaluation mode by ``scale``, exactly, by its weights alone.

    The rule of test time has temperature 1, so the scale of the features is what sets the sharpness of the softmax.
    The last layers of r18 are residual: there every addend from layer 3 on is scaled, and every input scaled back.
    """
    with torch.no_grad():
        if isinstance(network.bn256, nn.BatchNorm2d):
            _scale_norm(network.bn256, scale)
            return
        blocks = [*network.backbone[6].children(), *network.backbone[7].children()]
        _scale_norm(blocks[0].get_submodule("downsample.1"), scale)
        for index, block in enumerate(blocks):
            _scale_norm(block.get_submodule("bn2"), scale)
            if index > 0:
                block.get_parameter("conv1.weight").div_(scale)


def _scale_norm(norm: nn.Module, scale: float) -> None:
    for name in ("weight", "bias"):
        norm.get_parameter(name).mul_(scale)
