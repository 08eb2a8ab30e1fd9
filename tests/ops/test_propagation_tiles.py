"""How the Triton propagation cuts its work up: channels in parts, keys among programs, the first tile that fits."""

import contextlib

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed (extra gpu-dev)")

from harness.ops import propagation_cuda as fused
from harness.ops.propagation_cuda import HELD, LOOPED, parts_of, splits_that_fill, tiles_for


@pytest.mark.parametrize(
    ("channels", "chunk", "parts"),
    [
        (256, 0, (0, 256, 0)),
        (80, 0, (0, 64, 16)),
        (96, 0, (0, 64, 32)),
        (20, 0, (0, 16, 16)),
        (5, 0, (0, 16, 0)),
        (100, 0, (0, 64, 64)),  # 36 of the 64 are there
        (256, 32, (32, 16, 0)),
        (80, 32, (16, 16, 0)),  # five times 16, not three times 32
        (24, 32, (16, 16, 0)),
    ],
)
def test_channels_in_parts(channels, chunk, parts):
    found = parts_of(channels, chunk)
    assert (found["CHUNK"], found["HEAD"], found["TAIL"]) == parts
    assert found["CHANNELS"] == channels
    assert chunk or found["HEAD"] + found["TAIL"] >= channels


@pytest.mark.parametrize(
    ("tiles", "slots", "splits"),
    [
        (51, 132, 5),  # 255 programs in two rounds of 132: 96.6 %
        (101, 264, 5),  # 505 of 528
        (132, 132, 1),
        (1, 132, 16),  # never more than 16
        (7, 1, 1),
    ],
)
def test_splits_leave_a_twentieth_idle_at_most_where_they_can(tiles, slots, splits):
    assert splits_that_fill(tiles, slots) == splits


def test_halves_are_held_as_far_as_they_fit():
    assert tiles_for(torch.bfloat16, 256, 9) == HELD
    assert tiles_for(torch.bfloat16, 1024, 9) == LOOPED
    assert tiles_for(torch.float32, 80, 9) == LOOPED
    assert tiles_for(torch.float32, 80, 8) == LOOPED[1:]


def test_the_next_tile_is_tried_where_one_does_not_fit(monkeypatch):
    tried = []

    def propagate(*given):
        tried.append(given[-2])
        if len(tried) < 3:
            raise fused.triton.OutOfResources(300_000, 232_448, "shared memory")
        return torch.zeros(1, 2)

    monkeypatch.setattr(fused, "_propagate", propagate)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(fused, "tiles_for", lambda *_: HELD)
    given = torch.zeros(2, 16), torch.zeros(1, 2, 16), torch.zeros(1, 1, 2), (0,), (8.0,)
    fused.propagate_fused(*given, size=(1, 2))
    assert tried == list(HELD[:3])
    monkeypatch.setattr(fused, "tiles_for", lambda *_: HELD[:1])
    tried.clear()
    with pytest.raises(RuntimeError, match="no tile for 16 channels"):
        fused.propagate_fused(*given, size=(1, 2))


@pytest.mark.parametrize("size", [(3, 5), (60, 107), (724, 724)])
def test_products_of_places_are_squared_distances(size):
    queries, keys = fused.places_on_grid(size, torch.device("cpu"))
    some = torch.randint(len(keys), (50,), generator=torch.Generator().manual_seed(0))
    y, x = some // size[1], some % size[1]
    exact = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    assert torch.equal((queries[some].float() @ keys[some].float().t()).long(), exact)
    with pytest.raises(ValueError, match="at most 724 a side"):
        fused.places_on_grid((725, 2), torch.device("cpu"))
