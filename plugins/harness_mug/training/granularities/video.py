"""Video granularity: what is gathered of a whole video tells it from the others (eq. 12 to 14)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

LEAST = 1e-6
"""1 - P is held above it. ours."""


def scores(
    queries: Float[Tensor, "N D"], instances: Float[Tensor, "N D"], temperature: float | None
) -> Float[Tensor, "N N"]:
    """GAP(r_n^T r_i) of eq. 12 from the means of both r over their cells.

    The mean of the products of all pairs of cells is the product of the means: no HW x HW. With a ``temperature`` means
    are brought to length 1 and divided by it, as the work that the paper follows does; without, as printed.
    """
    if temperature is None:
        return queries @ instances.t()
    return functional.normalize(queries, dim=1) @ functional.normalize(instances, dim=1).t() / temperature


def video_loss(score: Float[Tensor, "N N"], which: Int[Tensor, " N"]) -> Float[Tensor, ""]:
    """Eq. 14 divided by N: instance n is the query's own (eq. 12), no other one is (eq. 13, whose print is eq. 12's).

    ``which`` tells the videos: a second instance of the query's own is neither its own nor another. A single video has
    nothing to be told from: 0.
    """
    is_again = (which[:, None] == which) & ~torch.eye(len(which), dtype=torch.bool, device=which.device)
    score = score.masked_fill(is_again, -torch.inf)
    probabilities = score.softmax(1)  # P(i | query n)
    own = -score.log_softmax(1).diagonal()
    apart = -(1 - probabilities).clamp(min=LEAST).log()
    others = apart.sum(1) - apart.diagonal()
    return torch.mean(own + others)
