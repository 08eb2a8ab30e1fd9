"""The losses of D-Net: cross-entropy of foreground, squared error of the heatmap, absolute error of offsets."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness_dtnet.training.targets import UNKNOWN, VOID, Targets


def foreground_loss(
    logits: Float[Tensor, "B C H W"], classes: UInt8[Tensor, "B H W"], hardest: float = 1.0
) -> Float[Tensor, ""]:
    """Cross-entropy over pixels that are not void; with one channel of foreground against background.

    An object of no known category counts as any of them: the loss is that of "not background". ``hardest`` < 1: the
    mean of that share of all pixels, those of the largest loss (Panoptic-DeepLab: .2).
    """
    if logits.shape[1] == 1:
        truth = (classes > 0).to(logits.dtype)
        each = functional.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")  # (B, H, W)
    else:
        place = classes.long().clamp(max=logits.shape[1] - 1)
        known = logits.gather(1, place[:, None])[:, 0]
        any_object = logits[:, 1:].logsumexp(1)
        each = logits.logsumexp(1) - torch.where(classes == UNKNOWN, any_object, known)
    return hardest_mean(each, classes != VOID, hardest)


def hardest_mean(each: Float[Tensor, "B H W"], counts: Bool[Tensor, "B H W"], share: float) -> Float[Tensor, ""]:
    """The mean over the ``share`` of pixels with the largest loss, of those that count; 0 where none does."""
    if share >= 1:
        return (each * counts).sum() / counts.sum().clamp(min=1)
    chosen = each[counts]
    return chosen.topk(max(int(share * len(chosen)), 1)).values.mean() if len(chosen) else each.sum() * 0


def centre_loss(heatmap: Float[Tensor, "B h w"], targets: Targets) -> Float[Tensor, ""]:
    """Mean squared error of the heatmap, where it is told."""
    squared = (heatmap - targets.heatmap).square() * targets.is_told
    return squared.sum() / targets.is_told.sum().clamp(min=1)


def offset_loss(offsets: Float[Tensor, "B 2 h w"], targets: Targets) -> Float[Tensor, ""]:
    """Mean absolute error of both coordinates, on objects; 0 where there is none."""
    away = (offsets - targets.offsets).abs() * targets.is_object[:, None]
    return away.sum() / (2 * targets.is_object.sum()).clamp(min=1)
