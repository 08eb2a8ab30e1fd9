"""Scores of any range brought to 0..1."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def to_unit(scores: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """Shifted and scaled so that the least is 0 and the most 1; all 0 where all are equal."""
    least, most = scores.min(), scores.max()
    return (scores - least) / (most - least) if most > least else scores * 0
