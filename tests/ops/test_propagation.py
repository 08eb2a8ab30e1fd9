"""Streaming propagation and its spatial tables, whatever the tiles and the storage."""

import math

import pytest
import torch

from harness.ops import propagation
from harness.ops.propagation import propagate_streaming, spatial_tables


def random_frames(references: int, size: tuple[int, int], channels: int = 5, classes: int = 3):
    generator = torch.Generator().manual_seed(0)
    pixels = size[0] * size[1]
    query = torch.randn(pixels, channels, generator=generator, dtype=torch.float64)
    keys = torch.randn(references, pixels, channels, generator=generator, dtype=torch.float64)
    labels = torch.rand(references, classes, pixels, generator=generator, dtype=torch.float64).softmax(1)
    return query, keys, labels


def test_tables_are_gaussians_of_the_distance():
    table = spatial_tables((8.0, 21.0), 3, like=torch.zeros(1, dtype=torch.float64))
    expected = [[math.exp(-(d**2) / s**2) for d in range(3)] for s in (8, 21)]
    assert torch.allclose(table, torch.tensor(expected, dtype=torch.float64), rtol=1e-14)


def test_tables_hold_no_subnormal_number():
    table = spatial_tables((8.0,), 200, like=torch.zeros(1))
    assert table[0, 60] == 0
    assert table[table > 0].min() >= 1e-15


@pytest.mark.parametrize("tile", [(1, 1), (3, 8), (7, 13), (1000, 1000)])
def test_tiles_do_not_matter(monkeypatch, tile):
    query, keys, labels = random_frames(3, (5, 4))
    arguments = (query, keys, labels, (0, 1, 2), (2.0, 3.0, 1.0))
    expected = propagate_streaming(*arguments, size=(5, 4))
    monkeypatch.setitem(propagation.TILES, "cpu", tile)
    assert torch.allclose(propagate_streaming(*arguments, size=(5, 4)), expected, atol=1e-14)


def test_nothing_given_is_changed():
    given = random_frames(2, (3, 4))
    kept = [tensor.clone() for tensor in given]
    propagate_streaming(*given, (1, 0), (2.0, 3.0), size=(3, 4), temperature=2.0)
    assert all(torch.equal(now, before) for now, before in zip(given, kept, strict=True))


def test_features_may_be_stored_in_halves():
    query, keys, labels = random_frames(2, (3, 4))
    halves = query.bfloat16(), keys.bfloat16()
    exact = propagate_streaming(halves[0].double(), halves[1].double(), labels, (0, 1), (2.0, 3.0), size=(3, 4))
    found = propagate_streaming(*halves, labels.float(), (0, 1), (2.0, 3.0), size=(3, 4))
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=1e-6)
