"""The kernels, on what they decide, and without all affinities in memory."""

import math

import pytest
import torch

from harness.machine import PeakMemory
from harness_mug.kernels import (
    REFERENCES,
    TILE,
    aggregate,
    aggregate_plain,
    aggregate_twice,
    aggregate_twice_plain,
    correlate,
    correlate_plain,
    spread,
    spread_plain,
)


def features(cells, channels, scale, seed=0):
    return scale * torch.randn(cells, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_what_is_read_out_of_gathered_features_is_decided_alike(scale):
    """Sign of a random projection, as a read-out would have it."""
    query, keys = features(300, 64, scale), features(2400, 64, scale, 1)
    line = features(64, 1, 1.0, 2)
    fast, plain = aggregate(query, keys, keys) @ line, aggregate_plain(query, keys, keys) @ line
    certain = plain.abs() > 1e-5 * plain.abs().max()
    assert torch.equal((fast > 0)[certain], (plain > 0)[certain])
    assert certain.float().mean() > 0.99


@pytest.mark.parametrize("form", [aggregate, aggregate_plain])
def test_what_is_gathered_is_weighted_over_the_references_cells(form):
    """Products 0 and 0 of one cell, 0 and log 3 of the other: halves, and 1/4 and 3/4, of values 0 and 8."""
    query = torch.tensor([[0.0] * 4, [2 * math.log(3), 0, 0, 0]])  # halved by the root of four channels
    keys = torch.tensor([[0.0, 1, 0, 0], [1.0, 0, 0, 0]])
    values = torch.tensor([[0.0] * 4, [8.0, 0, 0, 4]])
    assert form(query, keys, values)[:, 0].tolist() == pytest.approx([4, 6])
    assert form(query, keys, values)[:, 3].tolist() == pytest.approx([2, 3])


def test_a_gradient_flows_through_what_is_gathered():
    query, keys = features(40, 8, 1.0).requires_grad_(), features(120, 8, 1.0, 1).requires_grad_()
    weights = features(40, 8, 1.0, 2)
    (aggregate(query, keys, keys) * weights).sum().backward()
    mine = query.grad.clone(), keys.grad.clone()
    query.grad = keys.grad = None
    (aggregate_plain(query, keys, keys) * weights).sum().backward()
    assert torch.allclose(mine[0], query.grad, atol=1e-4)
    assert torch.allclose(mine[1], keys.grad, atol=1e-4)


@pytest.mark.slow
def test_480_lines_take_less_than_100_mib():
    """Needs a minute: 6,420 cells and eight times as many."""
    query = features(6420, 64, 1.0)
    keys = query.repeat(REFERENCES, 1)
    memory = PeakMemory("cpu")
    aggregate(query, keys, keys)
    assert (memory.read() or 0) < 100


def test_the_released_form_in_tiles_is_the_whole_one():
    query, keys, values = features(70, 32, 0.7), features(560, 32, 0.7, 1), features(560, 16, 1.0, 2)
    assert torch.allclose(aggregate_twice(query, keys, values), aggregate_twice_plain(query, keys, values), atol=1e-5)
    assert torch.allclose(
        aggregate_twice(query.clone().requires_grad_(), keys, values), aggregate_twice_plain(query, keys, values)
    )


def test_a_patch_of_one_cell_is_a_product_with_every_cell():
    """(2 * 3 + 1 * 4) / sqrt(2)."""
    patch = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
    seen = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    assert torch.allclose(correlate(patch, seen), torch.full((1, 2, 3), 10 / 2**0.5))


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_peaks_of_responses_are_decided_alike(side):
    patch = torch.randn(3, 5, side, side, generator=torch.Generator().manual_seed(side))
    seen = torch.randn(3, 5, 9, 11, generator=torch.Generator().manual_seed(9))
    fast, plain = correlate(patch, seen), correlate_plain(patch, seen)
    assert torch.allclose(fast, plain, atol=1e-5)
    assert torch.equal(fast.flatten(1).argmax(1), plain.flatten(1).argmax(1))


@pytest.mark.parametrize(("scale", "top"), [(0.3, 5), (3.0, 5), (0.3, 0), (3.0, 0), (3.0, 10**6)])
def test_objects_of_cells_are_decided_alike(scale, top):
    query, keys = features(300, 32, scale), features(400, 32, scale, 1)
    labels = torch.nn.functional.one_hot(torch.arange(400) % 4, 4).float()
    fast, plain = spread(query, keys, labels, top), spread_plain(query, keys, labels, top)
    assert torch.allclose(fast, plain, atol=1e-5)
    assert torch.equal(fast.argmax(1), plain.argmax(1))


def test_what_the_largest_do_not_hold_is_lost():
    """Four equal keys, of which one counts: a quarter."""
    found = spread(torch.ones(1, 2), torch.ones(4, 2), torch.ones(4, 1), 1)
    assert float(found) == pytest.approx(1 / 4)


def test_more_cells_than_a_tile_are_done_in_several():
    cells = TILE // 1000 + 5
    query, keys = features(cells, 4, 1.0), features(1000, 4, 1.0, 1)
    labels = torch.nn.functional.one_hot(torch.arange(1000) % 2, 2).float()
    assert torch.allclose(spread(query, keys, labels, 5).sum(1), spread_plain(query, keys, labels, 5).sum(1), atol=1e-5)
