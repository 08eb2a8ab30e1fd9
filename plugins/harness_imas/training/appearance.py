"""What appearance adds: targets refined by colours, a constraint by meaning, and the loss of the second stage.

Paper 3.3, equations 7 to 12, and 6.3 for the rule by which a constraint is dropped.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness.models.alignment import respond
from harness.ops.crf import DenseCRF, refine, unary_of


def refine_target(
    frame: UInt8[Tensor, "h w 3"],
    mask: Float[Tensor, "h w"],
    crf: DenseCRF,
    *,
    divide: float,
) -> Float[Tensor, "h w"]:
    """Eq. 7: the object's mask where the CRF, at the mask's own size, sees it; 0 or 1.

    ``divide``: the mask is divided by it, and by its maximum then, before it becomes a unary. code: .7.
    """
    unary = unary_of(mask[None], divide=divide, stretch=True)
    return (refine(frame[None], unary, crf)[0, 1] > 0.5).to(mask.dtype)


def constrain(
    target: Float[Tensor, "h w"],
    features: Float[Tensor, "D i j"],
    *,
    threshold: float,
    dilation: int,
) -> Float[Tensor, "h w"]:
    """Eq. 10 to 12: what of the target resembles its mean feature; the target itself where that says nothing.

    It says nothing where the response covers more than 80 % of the width or 90 % of the height (6.3), or where there is
    no target.
    """
    response = respond(features, target, threshold=threshold)
    if response is None:
        return target
    return target * widen(response, dilation)


def widen(mask: Bool[Tensor, "h w"], size: int) -> Float[Tensor, "h w"]:
    """Eq. 11: dilation by a square of an odd side."""
    return functional.max_pool2d(mask[None].float(), size, stride=1, padding=size // 2)[0]


def appearance_loss(mask: Float[Tensor, "B h w"], target: Float[Tensor, "B h w"], *, lacking: float = 1.0) -> Tensor:
    """Eq. 8: the mean squared difference; what is lacking may weigh more than what is too much (RCF: 2)."""
    difference = target - mask
    return (lacking * difference.relu().square() + (-difference).relu().square()).mean()
