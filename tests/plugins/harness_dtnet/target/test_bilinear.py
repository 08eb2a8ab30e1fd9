"""Interpolation as a matrix: what it gives is that of torch, and its stencil is the matrix that it is made of."""

import pytest
import torch
from torch.nn import functional

from harness_dtnet.target.bilinear import Bilinear, couple, gather, shifts, spread

SIZES = [((4, 5), (9, 13)), ((3, 4), (48, 64)), ((1, 1), (8, 8)), ((1, 3), (5, 47)), ((6, 7), (6, 7))]


def of(grid, size):
    return Bilinear(grid, size, torch.zeros(1, dtype=torch.float64))


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("grid", "size"), SIZES)
def test_up_is_interpolation_and_down_is_its_adjoint(grid, size):
    bilinear, cells, pixels = of(grid, size), noise(2, *grid), noise(2, *size, seed=1)
    expected = functional.interpolate(cells[None], size=size, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(bilinear.up(cells), expected, atol=1e-12)
    assert torch.isclose((bilinear.up(cells) * pixels).sum(), (cells * bilinear.down(pixels)).sum(), atol=1e-10)


@pytest.mark.parametrize(("grid", "size"), SIZES)
def test_a_stencil_does_what_weighting_pixels_does(grid, size):
    bilinear, cells, weights = of(grid, size), noise(1, *grid), noise(1, *size, seed=1).square()
    expected = bilinear.down(weights * bilinear.up(cells))
    assert torch.allclose(couple(bilinear.stencil(weights), cells), expected, atol=1e-12)


def test_shifts_give_neighbours_and_nothing_beyond_the_border():
    cells = torch.arange(6.0).view(1, 2, 3)
    assert shifts(cells)[0, :, 0, 0].tolist() == [0, 0, 0, 0, 0, 1, 0, 3, 4]


def test_gather_is_a_filter_and_spread_its_adjoint():
    cells, kernel, other = noise(1, 5, 6), noise(9, seed=1), noise(1, 5, 6, seed=2)
    parts = kernel[None, :, None, None] * cells[:, None]
    expected = functional.conv2d(cells[None], kernel.view(1, 1, 3, 3), padding=1)[0]
    assert torch.allclose(gather(parts), expected, atol=1e-12)
    many = noise(1, 9, 5, 6, seed=3)
    assert torch.isclose((gather(many) * other).sum(), (many * spread(other)).sum(), atol=1e-10)
