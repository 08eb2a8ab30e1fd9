"""The plain form of the fit: the energy of eq. 9 at the size of the labels, differentiated twice by autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from harness_dtnet.target.gauss_newton import Parts, Penalty, conjugate_gradient


def scores_plain(features: Float[Tensor, "D K h w"], w1: Float[Tensor, "C D"], w2: Float[Tensor, "C 9"]) -> Tensor:
    """Eq. 8 by two convolutions: (K, 1, h, w)."""
    projected = functional.conv2d(features.transpose(0, 1), w1[..., None, None])
    return functional.conv2d(projected, w2.unflatten(1, (3, 3))[None], padding=1)


def residuals(
    features: Tensor, labels: Float[Tensor, "K H W"], importance: Float[Tensor, "K H W"], weights: Parts, p: Penalty
) -> list[Tensor]:
    """What eq. 9 sums the squares of, for one target."""
    scores = functional.interpolate(
        scores_plain(features, *weights), labels.shape[-2:], mode="bilinear", align_corners=False
    )
    factors = [factor**0.5 for factor in p.factors]
    return [importance.sqrt() * (scores[:, 0] - labels), *(f * w for f, w in zip(factors, weights, strict=True))]


def energy(features: Tensor, labels: Tensor, importance: Tensor, weights: Parts, penalty: Penalty) -> Float[Tensor, ""]:
    """Eq. 9 for one target."""
    found = residuals(features, labels, importance, weights, penalty)
    return torch.stack([part.square().sum() for part in found]).sum()


def fit_plain(
    features: Float[Tensor, "N D K h w"],
    labels: Float[Tensor, "N K H W"],
    importance: Float[Tensor, "N K H W"],
    w1: Float[Tensor, "N C D"],
    w2: Float[Tensor, "N C 9"],
    *,
    iterations: Sequence[int],
    penalty: Penalty,
) -> tuple[Float[Tensor, "N C D"], Float[Tensor, "N C 9"]]:
    """``fit`` of one target after the other, each product with the Jacobian by double backward, as FRTM has it."""
    given = (features, labels, importance, w1, w2)
    with torch.inference_mode(False), torch.enable_grad():
        one_each = [
            _fit_one(*parts, iterations=iterations, penalty=penalty)
            for parts in zip(*(tensor.clone() for tensor in given), strict=True)
        ]
    first, second = (torch.stack(parts) for parts in zip(*one_each, strict=True))
    return first, second


def _fit_one(
    features: Tensor, labels: Tensor, importance: Tensor, w1: Tensor, w2: Tensor,
    *, iterations: Sequence[int], penalty: Penalty,
) -> Parts:  # fmt: skip
    weights: Parts = (w1, w2)
    for count in iterations:
        weights = tuple(part.detach().requires_grad_() for part in weights)
        found = residuals(features, labels, importance, weights, penalty)
        hands = [part.detach().requires_grad_() for part in found]  # J^T u is linear in u, so J p is its derivative
        slope = torch.autograd.grad(found, weights, hands, create_graph=True)

        def curvature(
            *direction: Tensor, found: list = found, hands: list = hands, slope: Parts = slope, at: Parts = weights
        ) -> Parts:
            moved = torch.autograd.grad(slope, hands, [d[0] for d in direction], retain_graph=True)
            return tuple(part[None] for part in torch.autograd.grad(found, at, moved, retain_graph=True))

        residual = tuple(-part.detach()[None] for part in slope)
        step = conjugate_gradient(curvature, residual, penalty.preconditioner, count)
        weights = tuple(w.detach() + d[0] for w, d in zip(weights, step, strict=True))
    return weights
