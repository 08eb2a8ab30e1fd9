"""The paper's read-out: x' gathered from the references, r = [x', x], and a small layer upsilon on r (eq. 9 to 11)."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, cat, nn

from harness import stage
from harness_mug.kernels import aggregate, aggregate_plain

HIDDEN = 128
"""Channels between the two convolutions of upsilon. ours; paper: "a layer"."""


class PaperReadout(nn.Module):
    """A frame is remembered by its features (C, h, w); the same are keys and values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.plain = False  # see ObjectConfig
        self.upsilon = nn.Sequential(
            nn.Conv2d(2 * channels, HIDDEN, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(HIDDEN, 1, 1)
        )

    def represent(
        self, features: Float[Tensor, "C h w"], references: Float[Tensor, "K C i j"]
    ) -> Float[Tensor, "2*C h w"]:
        """r of one frame: what the references have of what it shows, and its own features."""
        with stage("attend"):
            query = features.flatten(1).t()  # (h*w, C)
            memory = references.flatten(2).transpose(1, 2).flatten(0, 1)  # (K*i*j, C)
            gathered = (aggregate_plain if self.plain else aggregate)(query, memory, memory)
            return cat([gathered.t().unflatten(1, features.shape[1:]), features])

    def forward(self, representation: Float[Tensor, "B D h w"]) -> Float[Tensor, "B 1 h w"]:
        """The logits of the object."""
        return cast(Tensor, self.upsilon(representation))
