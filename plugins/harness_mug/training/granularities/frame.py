"""Frame granularity: what is object and what is not, from maps that the learner itself makes better (eq. 2 and 15)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def bootstrap(
    initial: Float[Tensor, "*shape"], predicted: Float[Tensor, "*shape"] | None, alpha: float
) -> Float[Tensor, "*shape"]:
    """T of eq. 15: alpha Q + (1 - alpha) P of the round before; in the first round Q itself."""
    return initial if predicted is None else alpha * initial + (1 - alpha) * predicted


def frame_loss(logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The cross-entropy of eq. 2 and 15, whose minus sign the print of 15 lacks; its mean over cells and frames.

    The paper sums over the cells of a frame: ours divides by their number, here and in the other losses.
    """
    return functional.binary_cross_entropy_with_logits(logits, target)
