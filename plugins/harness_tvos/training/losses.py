"""The losses of TVOS training: labels propagate to the target without the spatial prior, and points are found again."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

TINY = 1e-14  # code: added to probabilities before the logarithm


def propagate_labels(
    target: Float[Tensor, "B C N"], references: Float[Tensor, "B C M"], labels: Integer[Tensor, "B M"], classes: int
) -> Float[Tensor, "B N classes"]:
    """Zhang et al. 2020, eq. 7: one softmax over all reference cells, no spatial prior, times their labels."""
    affinity = torch.softmax(target.transpose(1, 2) @ references, dim=-1)
    return affinity @ F.one_hot(labels.long(), classes).to(affinity.dtype)


def last_frame_loss(
    features: Float[Tensor, "B K C N"], labels: Integer[Tensor, "B K N"], classes: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Zhang et al. 2020, eq. 8, as the released code takes it, and the share of cells that are labelled right.

    The mean negative log of (the propagated probability of each cell's own label + 1e-14), last frame from the others.
    """
    references = features[:, :-1].transpose(1, 2).flatten(2)  # (B, C, (K-1)*N)
    probability = propagate_labels(features[:, -1], references, labels[:, :-1].flatten(1), classes)
    own = probability.gather(-1, labels[:, -1, :, None].long())[..., 0]
    return -(own + TINY).log().mean(), (probability.argmax(-1) == labels[:, -1]).float().mean()


def every_frame_losses(
    features: Float[Tensor, "B K C h w"],
    labels: Integer[Tensor, "B K h w"],
    matches: Float[Tensor, "B P h w 2"],
    is_matched: Bool[Tensor, "B P h w"],
    *,
    negatives: float,
    neighbourhood: float,
    negative_cells: int = 0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Propagation loss with each frame as target of the others, correspondence loss of the pair, and the right share.

    Every softmax also holds the cells of the other clips, weighted so that they count as ``negatives`` cells: training
    then sees about as many references as the test does, and the scale of the features comes out right for it. Logs are
    taken of sums of exponentials, so a saturated softmax still has a gradient. Cells whose label no reference carries
    have nothing to learn from and are left out.
    """
    frames, cells = features.shape[1], features.shape[-2] * features.shape[-1]
    flat = features.flatten(3).transpose(2, 3).flatten(1, 2)  # (B, K*N, C)
    own = flat @ flat.transpose(1, 2)  # (B, K*N, K*N)
    frame = torch.arange(frames, device=own.device).repeat_interleave(cells)
    scores = own.masked_fill(frame[:, None] == frame, -torch.inf)
    others = scores.logsumexp(-1)
    elsewhere = log_negatives(flat, negatives, negative_cells) if negatives else None  # (B, K*N)
    total = others if elsewhere is None else torch.logaddexp(others, elsewhere)
    classes = labels.flatten(1)
    agrees = classes[:, :, None] == classes[:, None, :]
    is_known = (agrees & (frame[:, None] != frame)).any(-1)
    right = scores.masked_fill(~agrees, -torch.inf).masked_fill(~is_known[..., None], 0.0).logsumexp(-1)
    propagation = mean_where(total - right, is_known)
    with torch.no_grad():
        share = mean_where((right - others > -0.6931).float(), is_known)  # more than half of the probability
    if not matches.shape[1]:
        return propagation, propagation.new_zeros(()), share
    pair = own.unflatten(1, (frames, cells)).unflatten(3, (frames, cells))
    found = torch.stack([pair[:, a, :, 1 - a] for a in (0, 1)], 1)  # (B, 2, N, N)
    behind = None if elsewhere is None else elsewhere.unflatten(1, (frames, cells))[:, :2]
    return propagation, correspondence_loss(found, matches, is_matched, neighbourhood, behind), share


def log_negatives(flat: Float[Tensor, "B M C"], negatives: float, most: int = 0) -> Float[Tensor, "B M"]:
    """For each cell the log of the sum of exponentials over the other clips' cells, as if they were ``negatives``.

    At most about ``most`` of them are looked at, evenly spread; 0: all.
    """
    clips, cells = flat.shape[:2]
    seen = flat[:, :: max((clips - 1) * cells // most, 1)] if most else flat  # (B, m, C)
    sums = []
    for clip in range(clips):
        rest = torch.cat([seen[:clip], seen[clip + 1 :]]).flatten(0, 1)
        sums.append((flat[clip] @ rest.t()).logsumexp(-1))
    return torch.stack(sums) + math.log(negatives / ((clips - 1) * seen.shape[1]))


def correspondence_loss(
    scores: Float[Tensor, "B P N N"],
    matches: Float[Tensor, "B P h w 2"],
    is_matched: Bool[Tensor, "B P h w"],
    neighbourhood: float,
    elsewhere: Float[Tensor, "B P N"] | None = None,
) -> Float[Tensor, ""]:
    """Propagate "is the same point" instead of an object id: a Gaussian around the known match is the label.

    ``scores`` are of cells against those of the other frame of a pair; ``elsewhere`` is the log of what else is in the
    softmax.
    """
    height, width = matches.shape[2:4]
    sides = (torch.arange(size, device=matches.device, dtype=matches.dtype) for size in (height, width))
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    cells = torch.stack([columns, rows], -1).reshape(-1, 2)  # (N, 2) as x, y
    distance = (matches.flatten(2, 3)[..., None, :] - cells).square().sum(-1)  # (B, P, N, N)
    log_label = -distance / (2 * neighbourhood**2)
    log_label = log_label - log_label.amax(-1, keepdim=True)  # the nearest cell counts fully
    total = scores.logsumexp(-1)
    total = total if elsewhere is None else torch.logaddexp(total, elsewhere)
    return mean_where(total - (scores + log_label).logsumexp(-1), is_matched.flatten(2))


def mean_where(values: Tensor, is_counted: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """The mean of some values, 0 where there are none; without asking the device how many."""
    return values.where(is_counted, 0.0).sum() / is_counted.sum().clamp(min=1)
