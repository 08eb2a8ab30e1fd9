"""Streaming propagation, whatever the tiles and the storage, and the bounds it keeps to."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.ops import propagation
from harness.ops.propagation import Limits, offsets, propagate_streaming


def random_frames(references: int, size: tuple[int, int], channels: int = 5, classes: int = 3):
    generator = torch.Generator().manual_seed(0)
    pixels = size[0] * size[1]
    query = torch.randn(pixels, channels, generator=generator, dtype=torch.float64)
    keys = torch.randn(references, pixels, channels, generator=generator, dtype=torch.float64)
    labels = torch.rand(references, classes, pixels, generator=generator, dtype=torch.float64).softmax(1)
    return query, keys, labels


def test_offsets_are_the_exponents_of_a_gaussian():
    found = offsets((8.0, 21.0), 3, like=torch.zeros(1, dtype=torch.float64))
    expected = [[d**2 / s**2 for d in range(3)] for s in (8, 21)]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("keys", [1, 100, 57_780, 10_000_000])
def test_limits_keep_every_product_normal_and_every_sum_finite(dtype, keys):
    limits = Limits.of(dtype, keys)
    least = limits.floor + 2 * math.log(limits.negligible) + limits.lift * math.log(2)
    assert least >= math.log(torch.finfo(dtype).tiny) - 1e-9
    assert limits.floor + math.log(limits.negligible) > math.log(torch.finfo(dtype).tiny) - limits.lift * math.log(2)
    assert math.log2(keys) + limits.lift < math.log2(torch.finfo(dtype).max)
    assert keys * math.exp(limits.floor) <= limits.negligible * (1 + 1e-9)


class Subnormal(TorchDispatchMode):
    """Counts the subnormal numbers that operations write in place, a tile at a time."""

    def __init__(self, tile: int) -> None:
        super().__init__()
        self.tile = tile
        self.found = self.tiles = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.name().partition(".")[0].endswith("_") and out.numel() == self.tile:
            self.tiles += 1
            self.found += int(((out != 0) & (out.abs() < torch.finfo(out.dtype).tiny)).sum())
        return out


@pytest.mark.parametrize("sharpness", [0.1, 10.0, 100.0])
def test_no_number_on_the_way_is_subnormal(sharpness):
    query, keys, labels = (tensor.float() for tensor in random_frames(2, (1, 130)))
    with Subnormal(130 * 130) as watch:
        scores = propagate_streaming(query * sharpness, keys, labels, (0, 1), (8.0, 3.0), size=(1, 130))
    assert scores.isfinite().all()
    assert watch.tiles == 2 * 6
    assert watch.found == 0


def test_the_far_match_of_a_pixel_decides_and_the_rest_are_not_done_twice(monkeypatch):
    # One row of 200 pixels, each like one pixel of the reference alone: pixel 0 like pixel 190, e^-564 far at sigma 8.
    query = 30 * torch.eye(200)
    keys = query.clone()[None]
    keys[0, [0, 190]] = query[[190, 0]]
    labels = torch.zeros(1, 3, 200)
    labels[0, 0], labels[0, 0, 190], labels[0, 2, 190] = 1, 0, 1
    done = []
    again = propagation._Work.again
    monkeypatch.setattr(
        propagation._Work,
        "again",
        lambda self, cells, first: (done.append(cells.tolist()), again(self, cells, first))[1],
    )
    scores = propagate_streaming(query, keys, labels, (0,), (8.0,), size=(1, 200))
    assert scores[:, 0].argmax() == 2
    assert 0 < scores[2, 0] < 1e-35
    assert scores[0, 1] == 1
    assert done == [[0, 190]]


@pytest.mark.parametrize("slots", [(), (0, 3), (-1,), (0, -1)])
def test_slots_that_the_ring_does_not_have_are_refused(slots):
    query, keys, labels = random_frames(3, (2, 2))
    with pytest.raises(IndexError, match=r"each in 0\.\.2"):
        propagate_streaming(query, keys, labels, slots, (8.0,) * len(slots), size=(2, 2))


def test_a_tensor_of_slots_may_be_filled_up():
    query, keys, labels = random_frames(3, (2, 2))
    expected = propagate_streaming(query, keys, labels, (2, 0), (8.0, 3.0), size=(2, 2))
    slots, sigmas = torch.tensor([2, 0, -1, -1]), torch.tensor([8.0, 3.0, 1.0, 1.0])
    assert torch.equal(propagate_streaming(query, keys, labels, slots, sigmas, size=(2, 2)), expected)


def test_a_pixel_that_is_no_number_stays_one_that_is_none():
    query, keys, labels = random_frames(2, (2, 2))
    query[1, 0] = math.nan
    scores = propagate_streaming(query, keys, labels, (0, 1), (8.0, 3.0), size=(2, 2))
    assert scores.isnan().any(0).tolist() == [False, True, False, False]


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


@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 1e-6), (torch.bfloat16, 1e-2)])
def test_features_may_be_stored_in_halves(dtype, error):
    query, keys, labels = random_frames(2, (3, 4))
    halves = query.to(dtype), keys.to(dtype)
    exact = propagate_streaming(halves[0].double(), halves[1].double(), labels, (0, 1), (2.0, 3.0), size=(3, 4))
    found = propagate_streaming(*halves, labels.float(), (0, 1), (2.0, 3.0), size=(3, 4))
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=error)
