"""The training form of local attention: against written-out windows, and its gradients against finite differences."""

import pytest
import torch

from harness.ops.local_attention import window_scores, window_sum
from harness.ops.local_attention_plain import windows

# Items, channels, rows, columns, radius, dilation: borders everywhere, one row or column, more than one tile of 8 x 8.
CASES = [(2, 1, 3, 4, 1, 1), (1, 3, 1, 4, 2, 1), (1, 1, 5, 1, 2, 1), (1, 1, 2, 3, 3, 1), (1, 1, 3, 2, 1, 2)]
LARGER = [(2, 3, 17, 10, 2, 1), (1, 5, 9, 24, 3, 1), (1, 4, 13, 11, 1, 4), (1, 2, 20, 20, 12, 1)]


def frames(items, channels, rows, columns, dtype=torch.float64):
    generator = torch.Generator().manual_seed(rows * columns)
    return torch.randn(items, channels, rows, columns, dtype=dtype, generator=generator)


def make_given(items, channels, rows, columns, radius):
    """Queries, keys and weights that ask for gradients."""
    both = frames(2 * items, channels, rows, columns).chunk(2)
    weights = frames(items, (2 * radius + 1) ** 2, rows, columns)
    return [part.clone().requires_grad_() for part in (*both, weights)]


@pytest.mark.parametrize(("items", "channels", "rows", "columns", "radius", "dilation"), CASES + LARGER)
def test_equals_written_out_windows(items, channels, rows, columns, radius, dilation):
    q, k, weights = make_given(items, channels, rows, columns, radius)
    window = torch.stack([windows(item, None, radius, dilation=dilation) for item in k])
    scores = window_scores(q, k, radius, dilation)
    sums = window_sum(weights, k, radius, dilation)
    assert (scores - torch.einsum("bchw,bcnhw->bnhw", q, window)).abs().max() < 1e-12
    assert (sums - torch.einsum("bnhw,bcnhw->bchw", weights, window)).abs().max() < 1e-12


@pytest.mark.parametrize(("items", "channels", "rows", "columns", "radius", "dilation"), CASES)
def test_gradients_are_those_of_finite_differences(items, channels, rows, columns, radius, dilation):
    q, k, weights = make_given(items, channels, rows, columns, radius)
    assert torch.autograd.gradcheck(lambda q, k: window_scores(q, k, radius, dilation), (q, k))
    assert torch.autograd.gradcheck(lambda weights, k: window_sum(weights, k, radius, dilation), (weights, k))


@pytest.mark.parametrize(("items", "channels", "rows", "columns", "radius", "dilation"), LARGER)
def test_gradients_are_those_of_written_out_windows(items, channels, rows, columns, radius, dilation):
    q, k, weights = make_given(items, channels, rows, columns, radius)
    window = torch.stack([windows(item, None, radius, dilation=dilation) for item in k])
    plain_scores = torch.einsum("bchw,bcnhw->bnhw", q, window)
    plain_sums = torch.einsum("bnhw,bcnhw->bchw", weights, window)
    pairs = (
        (plain_scores, window_scores(q, k, radius, dilation)),
        (plain_sums, window_sum(weights, k, radius, dilation)),
    )
    for plain, fast in pairs:
        upstream = frames(*plain.shape)
        inputs = (q, k) if plain is plain_scores else (weights, k)
        expected = torch.autograd.grad(plain, inputs, upstream, retain_graph=True)
        found = torch.autograd.grad(fast, inputs, upstream)
        assert all((one - other).abs().max() < 1e-11 for one, other in zip(expected, found, strict=True))


def test_only_the_gradients_asked_for_are_made():
    q, k, weights = make_given(1, 2, 3, 4, 1)
    window_scores(q, k.detach(), 1).sum().backward()
    window_sum(weights.detach(), k, 1).sum().backward()
    assert q.grad is not None
    assert weights.grad is None
    assert k.grad is not None


def test_reconstruction_by_hand():
    # One row of three pixels, radius 1, all features 1: each pixel weighs its 9 positions equally, 6 of them outside
    # the frame above and below (logit 0 like those at its sides).
    ones = torch.ones(1, 1, 1, 3, dtype=torch.float64)
    scores = window_scores(ones, ones, 1)
    assert scores[0, :, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0]
    colours = torch.tensor([[[[3.0, 6.0, 9.0]]]], dtype=torch.float64)
    rebuilt = window_sum(torch.full((1, 9, 1, 3), 1 / 9, dtype=torch.float64), colours, 1)
    assert rebuilt[0, 0, 0].tolist() == pytest.approx([(3 + 6) / 9, (3 + 6 + 9) / 9, (6 + 9) / 9], abs=1e-15)


def test_arithmetic_stays_in_the_dtype_of_the_arguments_under_autocast():
    q, k = frames(2, 4, 6, 6, torch.float32).chunk(2)
    expected = window_scores(q, k, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = window_scores(q, k, 2)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_strides_of_the_arguments_do_not_matter():
    q, k, weights = (part.detach() for part in make_given(2, 3, 5, 9, 1))
    turned = [part.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for part in (q, k, weights)]
    assert torch.allclose(window_scores(turned[0], turned[1], 1), window_scores(q, k, 1), atol=1e-14)
    assert torch.allclose(window_sum(turned[2], turned[1], 1), window_sum(weights, k, 1), atol=1e-14)


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives():
    q, k, weights = make_given(2, 8, 17, 30, 3)
    here = [window_scores(q, k, 3), window_sum(weights, k, 3)]
    there = [window_scores(q.cuda(), k.cuda(), 3), window_sum(weights.cuda(), k.cuda(), 3)]
    for one, other in zip(here, there, strict=True):
        assert (one - other.cpu()).abs().max() < 1e-11
        upstream = frames(*one.shape)
        expected = torch.autograd.grad(one, k, upstream)[0]
        assert (torch.autograd.grad(other, k, upstream.cuda())[0] - expected).abs().max() < 1e-10
