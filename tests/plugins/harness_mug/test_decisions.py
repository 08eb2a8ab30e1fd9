"""The kernels decide as double precision does, flat to sharp, on each device; what is told apart is asked for too."""

import pytest
import torch

from harness.machine import work_on
from harness_mug.kernels import (
    REFERENCES,
    aggregate,
    aggregate_plain,
    aggregate_twice,
    aggregate_twice_plain,
    correlate,
    correlate_plain,
    spread,
    spread_plain,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
FRAMES = [(8, 14), pytest.param((30, 53), marks=pytest.mark.slow)]  # cells; the last: 848 x 480 pixels at a 16th
LOGITS = {"flat": 0.01, "as they come": 1.0, "sharp": 6.0}
"""The spread of the products' logits, of a query with a key."""


def features(*shape, seed, spread=1.0):
    """Features with which logits, products of two, are about so far apart."""
    draw = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return draw * (spread / shape[-1] ** 0.5) ** 0.5


def assert_same_choice(found, exact, gap, share=0.95):
    """The largest of the last axis, wherever the two largest are further apart than ``gap`` of the largest of all;
    more than ``share`` are."""
    best, second = exact.topk(2, dim=-1).values.unbind(-1)
    told = best - second > gap * exact.abs().max()
    assert found.isfinite().all()
    assert torch.equal(found.cpu().argmax(-1)[told], exact.argmax(-1)[told])
    assert told.float().mean() > share


def read_out(gathered):
    """The larger of eight linear read-outs, as a head has it, in double precision."""
    lines = torch.randn(gathered.shape[-1], 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return gathered.cpu().double() @ lines


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spread_of_logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("grid", FRAMES)
@pytest.mark.parametrize(("form", "plain"), [(aggregate, aggregate_plain), (aggregate_twice, aggregate_twice_plain)])
def test_what_is_read_out_of_gathered_features(form, plain, grid, spread_of_logits, device):
    cells = grid[0] * grid[1]
    query = features(cells, 64, seed=0, spread=spread_of_logits)
    keys = features(REFERENCES * cells, 64, seed=1, spread=spread_of_logits)
    if form is aggregate:  # which divides products by the root of the channels
        query = query * 64**0.5
    values = torch.randn(REFERENCES * cells, 64, generator=torch.Generator().manual_seed(2))
    exact = plain(query.double(), keys.double(), values.double())
    with work_on(device):
        found = form(*(part.to(device) for part in (query, keys, values)))
    assert_same_choice(read_out(found), read_out(exact), 1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spread_of_logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("grid", FRAMES)
@pytest.mark.parametrize(("form", "plain"), [(aggregate, aggregate_plain), (aggregate_twice, aggregate_twice_plain)])
def test_what_is_read_out_of_features_gathered_in_bf16(form, plain, grid, spread_of_logits, device):
    """Logits are rounded by 2^-9 of themselves and so is the answer: what lies nearer than 2^-6 is not told.

    Values have a share in common, as features have: around nothing but noise a flat mean is of rounding alone.
    """
    cells = grid[0] * grid[1]
    query = features(cells, 64, seed=0, spread=spread_of_logits)
    keys = features(REFERENCES * cells, 64, seed=1, spread=spread_of_logits)
    if form is aggregate:
        query = query * 64**0.5
    draw = torch.Generator().manual_seed(2)
    values = torch.randn(64, generator=draw) + torch.randn(REFERENCES * cells, 64, generator=draw)
    given = [part.bfloat16() for part in (query, keys, values)]
    exact = plain(*(part.double() for part in given))
    with work_on(device):
        found = form(*(part.to(device) for part in given))
    assert_same_choice(read_out(found), read_out(exact), 2**-6, share=0.9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("side", "grid"), [(4, (16, 28)), pytest.param(16, (30, 53), marks=pytest.mark.slow)])
def test_peaks_of_responses_in_bf16(side, grid, scale, device):
    """Each patch is cut out of its frame; products of bf16 are summed in fp32, maps of offsets in bf16."""
    seen = torch.randn(8, 64, *grid, generator=torch.Generator().manual_seed(0))
    patches = (scale * seen[..., 3 : 3 + side, 5 : 5 + side]).bfloat16()
    seen = (scale * seen).bfloat16()
    exact = correlate_plain(patches.double(), seen.double()).flatten(1)
    with work_on(device):
        found = correlate(patches.to(device), seen.to(device)).flatten(1)
    assert_same_choice(found, exact, 2**-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("side", "grid"), [(3, (9, 11)), (4, (16, 28)), pytest.param(16, (30, 53), marks=pytest.mark.slow)]
)
def test_peaks_of_responses(side, grid, scale, device):
    """Where a patch is found again: the peak of each pair."""
    draw = torch.Generator().manual_seed(0)
    patches, seen = torch.randn(8, 64, side, side, generator=draw), torch.randn(8, 64, *grid, generator=draw)
    patches, seen = scale * patches, scale * seen
    exact = correlate_plain(patches.double(), seen.double()).flatten(1)
    with work_on(device):
        found = correlate(patches.to(device), seen.to(device)).flatten(1)
    assert_same_choice(found, exact, 1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("top", [1, 5, 0])
@pytest.mark.parametrize("spread_of_logits", [1.0, 6.0, 20.0])
@pytest.mark.parametrize("grid", FRAMES)
def test_objects_of_cells(grid, spread_of_logits, top, dtype, device):
    """Labels handed on: which of four objects each cell is, where the nearest few count and where all do.

    Features in bf16 are judged as they are rounded: affinities rounded too would put others among the few.
    """
    cells = grid[0] * grid[1]
    query = features(cells, 64, seed=0, spread=spread_of_logits).to(dtype)
    keys = features(3 * cells, 64, seed=1, spread=spread_of_logits).to(dtype)
    labels = torch.nn.functional.one_hot(torch.arange(3 * cells) % 4, 4).float()
    exact = spread_plain(query.double(), keys.double(), labels.double(), top)
    with work_on(device):
        found = spread(query.to(device), keys.to(device), labels.to(device), top)
    assert_same_choice(found, exact, 1e-5)
