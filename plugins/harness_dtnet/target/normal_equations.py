"""The exact minimum of the second filter, by sums over all samples so far instead of a memory of them.

Only w2 moves, so the problem is linear least squares of 9 C unknowns. Weights of samples multiply all old ones by one
factor, so A <- (1 - b) A + b Phi M Phi^T is what a memory that forgets nothing gives (ours; ``solver=normal``).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from harness_dtnet.target.bilinear import couple, shifts


def normal_equations(
    projected: Float[Tensor, "N C S h w"], stencil: Float[Tensor, "N 9 S h w"], target: Float[Tensor, "N S h w"]
) -> tuple[Float[Tensor, "N U U"], Float[Tensor, "N U"]]:
    """The matrix and the right side of N targets, summed over their S samples; U = 9 C, neighbours first."""
    rows = shifts(projected).flatten(1, 2)  # (N, 9*C, S, h, w)
    coupled = couple(stencil[:, :, None].expand(-1, -1, rows.shape[1], -1, -1, -1), rows)  # (N, 9*C, S, h, w)
    return coupled.flatten(2) @ rows.flatten(2).mT, (rows.flatten(2) @ target.flatten(1)[..., None])[..., 0]


def solve(
    matrix: Float[Tensor, "N U U"], right: Float[Tensor, "N U"], factor: float, before: Float[Tensor, "N C 9"]
) -> Float[Tensor, "N C 9"]:
    """The filters where the energy with ``factor`` |w2|^2 is least; those of ``before`` where there is no such place.

    A matrix that no Cholesky factor is found of, because rounding outweighs the penalty, is one of these.
    """
    ridge = factor * torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    lower, failed = torch.linalg.cholesky_ex(matrix + ridge)
    found = torch.cholesky_solve(right[..., None], lower)[..., 0]  # (N, U)
    filters = found.unflatten(1, (9, -1)).mT  # (N, C, 9)
    is_right = (failed == 0) & filters.isfinite().flatten(1).all(1)
    return filters.where(is_right[:, None, None], before)
