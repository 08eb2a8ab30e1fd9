"""Bilinear interpolation from cells to pixels as a linear map: its adjoint, and which cells weighted pixels couple."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

OFFSETS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""The neighbours of a cell in the order of stencils and of 3x3 filters; 4 is the cell itself."""


class Bilinear:
    """U: maps (..., h, w) to (..., H, W), pixel centres at .5, as ``functional.interpolate`` does it.

    The map is a matrix of rows times a matrix of columns, so nothing is made larger than a side.
    """

    def __init__(self, grid: tuple[int, int], size: tuple[int, int], like: Tensor) -> None:
        self.grid, self.size = grid, size
        self.rows = sampling(grid[0], size[0], like)  # (H, h)
        self.columns = sampling(grid[1], size[1], like)  # (W, w)
        self.row_pairs = couplings(self.rows)  # (3*h, H)
        self.column_pairs = couplings(self.columns)  # (3*w, W)

    def up(self, cells: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B H W"]:
        """U applied to cells."""
        return self.rows @ cells @ self.columns.t()

    def down(self, pixels: Float[Tensor, "*B H W"]) -> Float[Tensor, "*B h w"]:
        """The adjoint of U applied to pixels: each gives its cells the shares it takes from them."""
        return self.rows.t() @ pixels @ self.columns

    def stencil(self, weights: Float[Tensor, "*B H W"]) -> Float[Tensor, "*B 9 h w"]:
        """The matrix U^T diag(weights) U: entry d of cell i couples it with cell i + OFFSETS[d].

        A pixel lies between two rows and two columns of cells, so there are no other entries, and they are products of
        what rows and what columns share: exact, by two matrix products.
        """
        h, w = self.grid
        both = self.row_pairs @ weights @ self.column_pairs.t()  # (..., 3*h, 3*w)
        apart = both.unflatten(-1, (3, w)).unflatten(-3, (3, h))  # (..., 3, h, 3, w)
        return apart.transpose(-3, -2).flatten(-4, -3)  # (..., 9, h, w)


def sampling(cells: int, pixels: int, like: Tensor) -> Float[Tensor, "pixels cells"]:
    """How much of each cell a pixel along one side is made of."""
    one_each = torch.eye(cells, dtype=like.dtype, device=like.device)
    return functional.interpolate(one_each[None], pixels, mode="linear", align_corners=False)[0].t().contiguous()


def couplings(shares: Float[Tensor, "P c"]) -> Float[Tensor, "three_c P"]:
    """For each neighbour -1, 0, 1 of each cell, the product of both shares at every pixel; 0 beyond the ends."""
    padded = functional.pad(shares, (1, 1))  # (P, c + 2)
    cells = shares.shape[1]
    return torch.cat([(shares * padded[:, place : place + cells]).t() for place in range(3)])


def shifts(maps: Float[Tensor, "N *B h w"]) -> Float[Tensor, "N 9 *B h w"]:
    """The value of each neighbour of each cell, 0 beyond the border."""
    h, w = maps.shape[-2:]
    padded = functional.pad(maps, (1, 1, 1, 1))
    return torch.stack([padded[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in OFFSETS], 1)


def gather(parts: Float[Tensor, "N 9 *B h w"]) -> Float[Tensor, "N *B h w"]:
    """A 3x3 filter whose products are made already: sum over d of part d at cell i + OFFSETS[d]."""
    h, w = parts.shape[-2:]
    padded = functional.pad(parts, (1, 1, 1, 1))
    found = [padded[:, d, ..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for d, (dy, dx) in enumerate(OFFSETS)]
    return torch.stack(found).sum(0)


def spread(maps: Float[Tensor, "N *B h w"]) -> Float[Tensor, "N 9 *B h w"]:
    """The adjoint of ``gather``: part d at cell j is the value at j - OFFSETS[d]."""
    return shifts(maps).flip(1)


def couple(stencil: Float[Tensor, "N 9 *B h w"], maps: Float[Tensor, "N *B h w"]) -> Float[Tensor, "N *B h w"]:
    """A stencil applied to maps."""
    return (stencil * shifts(maps)).sum(1)
