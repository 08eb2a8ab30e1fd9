"""Local attention for inference: the plain form against numbers made by hand, the fast forms against the plain one."""

import math

import pytest
import torch

from harness.ops import local_attention_tiled
from harness.ops.local_attention_compiled import attend_compiled, check_sizes, coarse_offsets_compiled
from harness.ops.local_attention_plain import attend_plain, coarse_offsets_plain
from harness.ops.local_attention_tiled import attend_tiled, coarse_offsets_tiled

FORMS = {"compiled": attend_compiled, "tiled": attend_tiled}
SEARCHES = {"compiled": coarse_offsets_compiled, "tiled": coarse_offsets_tiled}
EVERY_FORM = {"plain": attend_plain, **FORMS}
EVERY_SEARCH = {"plain": coarse_offsets_plain, **SEARCHES}


def frames(height, width, references=3, classes=2, channels=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(height, width, channels, generator=generator, dtype=torch.float64)
    keys = torch.randn(references, height, width, channels, generator=generator, dtype=torch.float64)
    values = torch.rand(references, classes, height, width, generator=generator, dtype=torch.float64).softmax(1)
    return query, keys, values


def some_offsets(height, width, seed, reach=3.0):
    generator = torch.Generator().manual_seed(seed)
    return reach * torch.randn(height, width, 2, generator=generator, dtype=torch.float64)


@pytest.fixture(params=FORMS)
def attend(request):
    return FORMS[request.param]


@pytest.mark.parametrize(
    ("height", "width", "radius"),
    [(5, 7, 2), (13, 23, 3), (1, 9, 2), (8, 1, 2), (1, 1, 1), (3, 4, 6), (25, 9, 1), (6, 5, 0)],
)
def test_fast_forms_equal_the_plain_one(attend, height, width, radius):
    query, keys, values = frames(height, width)
    for offsets in (None, (None, some_offsets(height, width, 1), some_offsets(height, width, 2))):
        plain = attend_plain(query, keys, values, (2, 0, 1), offsets=offsets, radius=radius)
        fast = attend(query, keys, values, (2, 0, 1), offsets=offsets, radius=radius)
        assert (fast - plain).abs().max() < 1e-10


@pytest.mark.parametrize(("references", "classes", "channels"), [(1, 1, 1), (1, 20, 3), (9, 2, 64)])
def test_any_number_of_references_classes_and_channels(attend, references, classes, channels):
    query, keys, values = frames(6, 11, references, classes, channels)
    values = (values == values.amax(1, keepdim=True)).double()  # hard, and classes with small boxes
    offsets = [some_offsets(6, 11, 1), *[None] * (references - 1)]
    plain = attend_plain(query, keys, values, range(references), offsets=offsets, radius=2)
    assert (attend(query, keys, values, range(references), offsets=offsets, radius=2) - plain).abs().max() < 1e-10


@pytest.mark.parametrize("offset", [(0.0, 0.0), (2.0, -1.0), (-0.5, 0.25), (40.0, 0.0), (-3.5, -1e6), (0.0, 1e12)])
def test_offsets_may_lead_anywhere(attend, offset):
    query, keys, values = frames(6, 7, references=1)
    offsets = [torch.tensor(offset, dtype=torch.float64).expand(6, 7, 2)]
    plain = attend_plain(query, keys, values, (0,), offsets=offsets, radius=2)
    assert (attend(query, keys, values, (0,), offsets=offsets, radius=2) - plain).abs().max() < 1e-9


@pytest.mark.parametrize("form", EVERY_FORM)
def test_whole_offsets_shift_the_window(form):
    query, keys, values = frames(9, 10, references=1)
    shifted = torch.zeros_like(keys), torch.zeros_like(values)
    shifted[0][:, 2:, :-3] = keys[:, :-2, 3:]
    shifted[1][:, :, 2:, :-3] = values[:, :, :-2, 3:]
    offset = torch.tensor((-2.0, 3.0), dtype=torch.float64).expand(9, 10, 2)
    found = EVERY_FORM[form](query, keys, values, (0,), offsets=[offset], radius=1)
    expected = EVERY_FORM[form](query, *shifted, (0,), radius=1)
    inside = slice(3, 8), slice(1, 6)  # the shifted frame has lost what lay outside
    assert torch.allclose(found[:, *inside], expected[:, *inside], atol=1e-12)


@pytest.mark.parametrize("form", EVERY_FORM)
def test_values_may_have_offsets_of_their_own(form):
    query, keys, values = frames(5, 8)
    offsets = (None, some_offsets(5, 8, 1), some_offsets(5, 8, 2))
    last = (None, offsets[2], offsets[2])  # as in the released code of MAST
    mixed = (some_offsets(5, 8, 3), None, offsets[2])
    own = attend_plain(query, keys, values, (0, 1, 2), offsets=offsets, radius=2)
    for value_offsets in (last, mixed):
        plain = attend_plain(query, keys, values, (0, 1, 2), offsets=offsets, value_offsets=value_offsets, radius=2)
        found = EVERY_FORM[form](query, keys, values, (0, 1, 2), offsets=offsets, value_offsets=value_offsets, radius=2)
        assert (found - plain).abs().max() < 1e-10
        assert (found - own).abs().max() > 1e-3
    same = EVERY_FORM[form](query, keys, values, (0, 1, 2), offsets=offsets, value_offsets=offsets, radius=2)
    assert (same - own).abs().max() < 1e-10


@pytest.mark.parametrize("form", EVERY_FORM)
def test_positions_outside_stay_in_the_softmax(form):
    # All logits 0: of 9 positions a corner has 4 inside the frame, an edge 6, the rest 9. Every value is 1.
    query, keys = torch.zeros(3, 4, 2), torch.zeros(2, 3, 4, 2)
    sums = EVERY_FORM[form](query, keys, torch.ones(2, 1, 3, 4), (0, 1), radius=1)
    expected = [[4 / 9, 6 / 9, 6 / 9, 4 / 9], [6 / 9, 1, 1, 6 / 9], [4 / 9, 6 / 9, 6 / 9, 4 / 9]]
    assert torch.allclose(sums[0], torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("form", EVERY_FORM)
def test_one_softmax_over_all_references_by_hand(form):
    # Two pixels side by side, radius 1. Of pixel 0's 9 positions in each reference 7 lie outside: weight 1 each.
    # Its logits are (ln 2, 0) in the first reference and (ln 5, ln 3) in the second.
    query = torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    logs = [[[[math.log(2)], [0.0]]], [[[math.log(5)], [math.log(3)]]]]
    values = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]], [[[1.0, 0.0]], [[0.0, 1.0]]]], dtype=torch.float64)
    found = EVERY_FORM[form](query, torch.tensor(logs, dtype=torch.float64), values, (0, 1), radius=1)
    total = 7 + 2 + 1 + 7 + 5 + 3
    assert found[:, 0, 0].tolist() == pytest.approx([(2 + 5) / total, (1 + 3) / total], abs=1e-14)
    assert found[:, 0, 1].tolist() == pytest.approx([2 / 18, 2 / 18], abs=1e-14)


@pytest.mark.parametrize("form", EVERY_FORM)
def test_bilinear_sampling_by_hand(form):
    # Radius 0: the only position has weight 1. Half a pixel right of the first lies the mean of both; of the second,
    # half of it and half of what is outside.
    query, keys, values = frames(1, 2, references=1, classes=1)
    offset = torch.tensor((0.0, 0.5), dtype=torch.float64).expand(1, 2, 2)
    found = EVERY_FORM[form](query, keys, values * 0 + torch.tensor([2.0, 6.0]), (0,), offsets=[offset], radius=0)
    assert found[0, 0].tolist() == pytest.approx([(2 + 6) / 2, 6 / 2], abs=1e-14)


def test_identical_features_give_the_mean_of_the_window(attend):
    query, keys = torch.ones(6, 7, 3), torch.ones(1, 6, 7, 3)
    values = torch.rand(1, 2, 6, 7)
    found = attend(query, keys, values, (0,), radius=1)
    assert torch.allclose(found[:, 2, 3], values[0, :, 1:4, 2:5].mean((1, 2)), atol=1e-6)


def test_temperature_scales_the_logits_and_large_ones_stay_finite(attend):
    query, keys, values = (part.float() for part in frames(6, 7))
    for temperature in (0.1, 30.0, 1e4):
        found = attend(query, keys, values, (0, 1), radius=2, temperature=temperature)
        assert found.isfinite().all()
        plain = attend_plain(query.double() * temperature, keys.double(), values.double(), (0, 1), radius=2)
        assert (found - plain).abs().max() < 1e-2 if temperature == 1e4 else (found - plain).abs().max() < 1e-4


def test_slots_pick_references_out_of_the_ring(attend):
    query, keys, values = frames(5, 6, references=4)
    picked = attend(query, keys[[3, 0]], values[[3, 0]], (0, 1), radius=1)
    assert torch.allclose(attend(query, keys, values, [3, 0], radius=1), picked, atol=1e-14)


def test_features_may_be_stored_in_halves(attend):
    query, keys, values = frames(5, 6)
    halves = query.bfloat16(), keys.bfloat16()
    exact = attend_plain(*(part.double() for part in halves), values, (1, 2), radius=2)
    found = attend(*halves, values.float(), (1, 2), radius=2)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=1e-5)


def test_nothing_given_is_changed(attend):
    given = (*frames(5, 6), some_offsets(5, 6, 1))
    kept = [part.clone() for part in given]
    attend(*given[:3], (0, 1, 2), offsets=(given[3], None, given[3]), radius=2, temperature=2.0)
    assert all(torch.equal(now, before) for now, before in zip(given, kept, strict=True))


def test_strides_do_not_matter(attend):
    query, keys, values = frames(5, 6)
    turned = [part.movedim(-1, 0).contiguous().movedim(0, -1) for part in (query, keys, values)]
    assert torch.allclose(attend(*turned, (0, 2), radius=1), attend(query, keys, values, (0, 2), radius=1), atol=1e-14)


def test_what_is_not_a_number_shows(attend):
    query, keys, values = (part.float() for part in frames(5, 6, references=1))
    query[2, 3, 0] = torch.nan
    offset = torch.zeros(5, 6, 2)
    offset[4, 5, 1] = torch.nan
    found = attend(query, keys, values, (0,), offsets=[offset], radius=1)
    assert found[:, 2, 3].isnan().all()
    assert found[:, 4, 5].isnan().all()
    assert int(found.isnan().sum()) == 4  # two pixels of two classes


def test_number_of_threads_does_not_matter():
    query, keys, values = frames(13, 7)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = attend_compiled(query, keys, values, (0, 1), radius=2)
        torch.set_num_threads(3)
        together = attend_compiled(query, keys, values, (0, 1), radius=2)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


@pytest.mark.parametrize("tile", [(1, 1), (3, 2), (50, 50)])
def test_tiles_do_not_matter(monkeypatch, tile):
    query, keys, values = frames(7, 9)
    offsets = (None, some_offsets(7, 9, 1))
    expected = attend_tiled(query, keys, values, (0, 1), offsets=offsets, radius=2)
    monkeypatch.setattr(local_attention_tiled, "TILE", tile)
    assert torch.allclose(attend_tiled(query, keys, values, (0, 1), offsets=offsets, radius=2), expected, atol=1e-13)


def test_compiled_loops_refuse_what_would_read_elsewhere_in_memory():
    query, keys, values = frames(4, 5)
    with pytest.raises(ValueError, match=r"slots \[0, 3\]; expected at least one, each in 0..2"):
        attend_compiled(query, keys, values, (0, 3))
    with pytest.raises(ValueError, match="expected at least one"):
        attend_compiled(query, keys, values, ())
    with pytest.raises(ValueError, match=r"keys of \(3, 5, 5\)"):
        check_sizes(query, keys[:, :3], values, (0,))
    with pytest.raises(ValueError, match=r"values of \(4, 4\)"):
        check_sizes(query, keys, values[..., :4], (0,))
    with pytest.raises(ValueError, match=r"offsets of \(4, 4, 2\); expected \(4, 5, 2\)"):
        check_sizes(query, keys, values, (0, 1), [None, None], [None, torch.zeros(4, 4, 2)])
    with pytest.raises(ValueError, match="offsets of 1 references; expected 2"):
        check_sizes(query, keys, values, (0, 1), [None])


@pytest.mark.parametrize("form", SEARCHES)
@pytest.mark.parametrize(
    ("height", "width", "radius", "dilation"),
    [(5, 7, 2, 1), (13, 24, 2, 2), (9, 10, 1, 3), (1, 9, 2, 2), (7, 1, 2, 4), (2, 3, 3, 4)],
)
def test_fast_searches_equal_the_plain_one(form, height, width, radius, dilation):
    query, keys, _ = frames(height, width)
    plain = coarse_offsets_plain(query, keys[0], dilation=dilation, radius=radius, temperature=0.5)
    fast = SEARCHES[form](query, keys[0], dilation=dilation, radius=radius, temperature=0.5)
    assert (fast - plain).abs().max() < 1e-10


@pytest.mark.parametrize("form", EVERY_SEARCH)
def test_search_finds_a_shift(form):
    query, _, _ = frames(16, 20, channels=32)
    key = query.roll((4, -6), (0, 1))
    found = EVERY_SEARCH[form](query, key, dilation=2, radius=4, temperature=10.0)
    inside = found[:-4, 6:]  # the others have moved out of the frame
    assert (inside - torch.tensor((4.0, -6.0))).abs().max() < 1e-6


@pytest.mark.parametrize("form", EVERY_SEARCH)
def test_search_counts_positions_outside_by_hand(form):
    # Two pixels side by side. In steps of 1, pixel 0 finds pixel 1 at dx = 1 with weight 3; the other 8 positions weigh
    # 1 each. In steps of 2 only the pixels themselves lie inside, and the 8 around them pull evenly.
    one = torch.tensor([[[1.0], [1.0]]], dtype=torch.float64)
    key = torch.tensor([[[0.0], [math.log(3)]]], dtype=torch.float64)
    search = EVERY_SEARCH[form]
    assert search(one, key, dilation=1, radius=1)[0, 0].tolist() == pytest.approx([0, (3 - 1) / 11], abs=1e-14)
    assert search(one, key, dilation=2, radius=1)[0].flatten().tolist() == pytest.approx([0, 0, 0, 0], abs=1e-14)


@pytest.mark.parametrize("form", SEARCHES)
def test_search_in_halves_is_made_in_single(form):
    query, keys, _ = frames(5, 6)
    halves = query.bfloat16(), keys[0].bfloat16()
    exact = coarse_offsets_plain(*(part.double() for part in halves), dilation=2, radius=2)
    found = SEARCHES[form](*halves, dilation=2, radius=2)
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 1e-4
