"""Long-term granularity: cells of two distant frames match where one geometric transformation says so (eq. 6 to 8)."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

POOLED = 16
"""Rows and columns to which both sides of an affinity are pooled for kappa: printed at 64 x 64 its first convolution
alone would have 25.7 million weights. ours."""
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def affinity(one: Float[Tensor, "B C M"], other: Float[Tensor, "B C N"]) -> Float[Tensor, "B M N"]:
    """A of eq. 6: how alike cell m of the first and cell o of the second are; each column (o) sums to 1.

    Products are divided by sqrt(C), without which features of 128 channels leave one cell alone. ours.
    """
    return (one.transpose(1, 2) @ other / one.shape[1] ** 0.5).softmax(1)


class Kappa(nn.Module):
    """An affinity to six parameters of an affine tau: two convolutions and a linear layer, the identity at first.

    The layout is that of Rocco et al. for maps of this size, as the paper refers to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(POOLED**2, 128, 7),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 64, 5),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        self.linear = nn.Linear(64 * (POOLED - 10) ** 2, 6)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(IDENTITY))

    def forward(self, matches: Float[Tensor, "B N N"], size: tuple[int, int]) -> Float[Tensor, "B 2 3"]:
        """tau in shares of the frame (-1..1, x before y): from a cell of the second frame to one of the first."""
        pooled = pool(matches * matches.shape[1], size)  # of mean 1
        return cast(Tensor, self.linear(self.layers(pooled))).unflatten(1, (2, 3))


def pool(matches: Float[Tensor, "B N N"], size: tuple[int, int]) -> Float[Tensor, "B P 16 16"]:
    """Both sides of an affinity pooled: channels are cells of the first frame, rows and columns those of the second."""
    cells = matches.shape[1]
    by_first = functional.adaptive_avg_pool2d(matches.transpose(1, 2).reshape(-1, 1, *size), POOLED)  # (B*N, 1, 16, 16)
    channels = by_first.view(len(matches), cells, POOLED**2).transpose(1, 2)  # (B, P, N)
    return functional.adaptive_avg_pool2d(channels.unflatten(2, size), POOLED)


def places(tau: Float[Tensor, "B 2 3"], size: tuple[int, int]) -> Float[Tensor, "B N 2"]:
    """tau(o) of each cell o of the second frame, as (x, y) in -1..1 of the first; the frame's edges are -1 and 1."""
    return functional.affine_grid(tau, [len(tau), 1, *size], align_corners=False).flatten(1, 2)


def gather_matches(
    matches: Float[Tensor, "B N N"], tau: Float[Tensor, "B 2 3"], size: tuple[int, int]
) -> Float[Tensor, "B N"]:
    """Of each cell o of the second frame: the sum over m of A(m, o) iota(m, o), with a soft iota (ours).

    iota falls bilinearly from 1 at tau(o) to 0 a cell away, where the paper's is 1 within a cell: so kappa has a
    gradient, that of the soft inlier count. What tau takes out of the frame matches nothing.
    """
    maps = matches.transpose(1, 2).reshape(-1, 1, *size)  # A(., o) as a map, for each o
    at = places(tau, size).reshape(-1, 1, 1, 2)
    return functional.grid_sample(maps, at, align_corners=False).view(matches.shape[0], -1)


def inliers(tau: Float[Tensor, "B 2 3"], size: tuple[int, int]) -> Bool[Tensor, "B N N"]:
    """iota of eq. 8 as printed: whether cell m of the first frame lies within one cell of tau(o)."""
    sides = tau.new_tensor([size[1], size[0]])
    ends = (places(tau, size) + 1) / 2 * sides - 0.5  # (B, N, 2), in cells
    rows, columns = torch.meshgrid(*(torch.arange(side, device=tau.device) for side in size), indexing="ij")
    cells = torch.stack([columns, rows], -1).flatten(0, 1).to(tau.dtype)  # (N, 2)
    return torch.cdist(cells[None].expand(len(tau), -1, -1), ends) <= 1


def long_loss(
    one: Float[Tensor, "B C h w"], other: Float[Tensor, "B C h w"], kappa: Kappa
) -> tuple[Float[Tensor, ""], Float[Tensor, "B 2 3"]]:
    """Eq. 8, both ways, divided by the number of cells; and tau from the second frame to the first.

    Its second term is printed with the first one's iota. The least it can be is -2.
    """
    size = (one.shape[2], one.shape[3])
    there, back = affinity(one.flatten(2), other.flatten(2)), affinity(other.flatten(2), one.flatten(2))
    tau, reverse = kappa(torch.cat([there, back]), size).chunk(2)
    return -(gather_matches(there, tau, size) + gather_matches(back, reverse, size)).mean(), tau
