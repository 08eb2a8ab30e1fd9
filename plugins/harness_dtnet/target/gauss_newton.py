"""Fits models of all targets at once: Gauss-Newton steps of conjugate gradient by an exact, explicit Jacobian.

Zhou et al. 2021, eq. 8 and 9: scores are w2 * (w1 * x), a 1x1 and a 3x3 filter without biases, interpolated to the
labels. Two identities keep the work small (ours): labels and their weights come in by a stencil of 3 x 3 cells, and the
Jacobian of w1 needs nine products of D channels, not one for each projected channel. Nothing is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness_dtnet.target.bilinear import couple, gather, spread

Parts = tuple[Tensor, ...]
"""The unknowns, or something of their shapes: one or two tensors, targets first."""


@dataclass(frozen=True)
class Penalty:
    """What holds the weights down and scales the search; one number for w1 and one for w2 each."""

    regularisation: tuple[float, float] = (1e-4, 1e-2)
    """FRTM: multiply the weights inside the residual, so their squares stand in the energy."""
    preconditioner: tuple[float, float] = (1e-4, 1e-2)
    """FRTM: divides the residual of conjugate gradient."""
    is_inside: bool = True
    """False: eq. 9 as printed, the regularisation stands in the energy itself."""

    @property
    def factors(self) -> tuple[float, float]:
        """What |w1|^2 and |w2|^2 are multiplied by in the energy."""
        first, second = self.regularisation
        return (first**2, second**2) if self.is_inside else (first, second)


def fit(
    features: Float[Tensor, "N D K h w"],
    stencil: Float[Tensor, "N 9 K h w"],
    target: Float[Tensor, "N K h w"],
    w1: Float[Tensor, "N C D"],
    w2: Float[Tensor, "N C 9"],
    iterations: Sequence[int],
    penalty: Penalty,
) -> tuple[Float[Tensor, "N C D"], Float[Tensor, "N C 9"]]:
    """Both filters of N targets after a Gauss-Newton step for each of ``iterations``, which says its CG steps.

    ``stencil`` is U^T V^2 U of K samples and ``target`` U^T V^2 y, weights of samples included.
    """
    x = features.flatten(2)  # (N, D, K*h*w)
    grid = features.shape[2:]
    for count in iterations:
        z = w1 @ x  # (N, C, K*h*w)

        def jacobian(d1: Tensor, d2: Tensor, z: Tensor = z, w2: Tensor = w2) -> Tensor:
            products = (w2.mT @ d1) @ x + d2.mT @ z  # (N, 9, K*h*w)
            return gather(products.unflatten(2, grid))

        def adjoint(residual: Tensor, z: Tensor = z, w2: Tensor = w2) -> Parts:
            parts = spread(residual).flatten(2)  # (N, 9, K*h*w)
            return w2 @ (parts @ x.mT), z @ parts.mT

        scores = gather((w2.mT @ z).unflatten(2, grid))
        w1, w2 = descend((w1, w2), jacobian, adjoint, stencil, target, scores, count, penalty)
    return w1, w2


def refit(
    projected: Float[Tensor, "N C S h w"],
    stencil: Float[Tensor, "N 9 S h w"],
    target: Float[Tensor, "N S h w"],
    w2: Float[Tensor, "N C 9"],
    iterations: int,
    penalty: Penalty,
) -> Float[Tensor, "N C 9"]:
    """The second filter of N targets fitted on, the first one kept: linear least squares, one step of CG.

    ``projected`` is w1 * x of the samples in memory.
    """
    z = projected.flatten(2)  # (N, C, S*h*w)

    def jacobian(d2: Tensor) -> Tensor:
        return gather((d2.mT @ z).unflatten(2, projected.shape[2:]))

    def adjoint(residual: Tensor) -> Parts:
        return (z @ spread(residual).flatten(2).mT,)

    return descend((w2,), jacobian, adjoint, stencil, target, jacobian(w2), iterations, penalty)[0]


def descend(
    weights: Parts,
    jacobian: Callable[..., Tensor],
    adjoint: Callable[[Tensor], Parts],
    stencil: Tensor,
    target: Tensor,
    scores: Tensor,
    iterations: int,
    penalty: Penalty,
) -> Parts:
    """One Gauss-Newton step of length 1 from ``weights``, whose scores are ``scores``."""
    factors = penalty.factors[-len(weights) :]
    slope = adjoint(couple(stencil, scores) - target)
    residual = tuple(-(part + f * w) for part, f, w in zip(slope, factors, weights, strict=True))

    def curvature(*direction: Tensor) -> Parts:
        parts = adjoint(couple(stencil, jacobian(*direction)))
        return tuple(part + f * d for part, f, d in zip(parts, factors, direction, strict=True))

    step = conjugate_gradient(curvature, residual, penalty.preconditioner[-len(weights) :], iterations)
    return tuple(w + d for w, d in zip(weights, step, strict=True))


def conjugate_gradient(
    curvature: Callable[..., Parts], residual: Parts, preconditioner: Sequence[float], iterations: int
) -> Parts:
    """Go down each target's quadratic from 0; Polak-Ribiere with a factor of at least 0, as FRTM has it.

    Each residual is made orthogonal to all before it, as it is in exact arithmetic: in single precision it would not be
    after some ten steps, and the energy reached stays 2 to 40 % above that of double precision (ours; the README).
    A target that has arrived, or whose direction has no curvature, stays where it is: no division by zero.
    """
    step = direction = tuple(torch.zeros_like(part) for part in residual)
    before, rho = residual, residual[0].new_zeros(len(residual[0]))
    passed: list[tuple[Parts, Parts, Tensor]] = []
    for place in range(iterations):
        for earlier, earlier_scaled, its_rho in passed:
            residual = along(residual, -divide(inner(residual, earlier_scaled), its_rho), earlier)
        scaled = tuple(part / scale for part, scale in zip(residual, preconditioner, strict=True))
        last, rho = rho, inner(residual, scaled)
        passed.append((residual, scaled, rho))
        turn = divide(rho - inner(before, scaled), last).clamp(min=0) if place else torch.zeros_like(rho)
        direction = along(scaled, turn, direction)
        curved = curvature(*direction)
        length = divide(rho, inner(direction, curved))
        step = along(step, length, direction)
        before, residual = residual, along(residual, -length, curved)
    return step


def inner(a: Parts, b: Parts) -> Float[Tensor, " N"]:
    """The inner product of each target's parts."""
    return torch.stack([(one * other).flatten(1).sum(1) for one, other in zip(a, b, strict=True)]).sum(0)


def along(start: Parts, lengths: Float[Tensor, " N"], direction: Parts) -> Parts:
    """Each target's start moved by its own length."""
    return tuple(a + lengths[:, None, None] * d for a, d in zip(start, direction, strict=True))


def divide(above: Float[Tensor, " N"], below: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The quotient where the divisor is above 0 and the quotient a number, else 0."""
    found = above / below.where(below > 0, 1.0)
    return found.where((below > 0) & found.isfinite(), 0.0)
