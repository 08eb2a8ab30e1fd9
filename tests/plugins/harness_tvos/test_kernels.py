"""Propagation: the plain form against numbers made by hand, the fast forms against the plain one."""

import functools
import importlib.util
import math
import subprocess
import sys

import pytest
import torch

from harness_tvos.kernels import embed, propagate, propagate_plain, upsample
from harness_tvos.network import build_network, for_inference
from harness_tvos.speed.kernel_examples import convolutions, of_embed, of_upsample
from harness_tvos.speed.kernel_examples import of_propagate as examples


@functools.cache
def small():
    """The two small examples of the propagation."""
    return examples("cpu")[:2]


def as_double(example):
    return [part.double() if isinstance(part, torch.Tensor) else part for part in example.args]


def test_plain_form_by_hand():
    # Two pixels side by side, one channel, two references. Pixel 0: logits 1*(1, 0) and 1*(2, 0).
    query = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    keys = torch.tensor([[[1.0], [0.0]], [[2.0], [0.0]]], dtype=torch.float64)
    labels = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]], dtype=torch.float64)
    scores = propagate_plain(query, keys, labels, (0, 1), (1.0, 2.0), size=(1, 2))
    z = math.e + 1 + math.e**2 + 1
    one_apart_near, one_apart_far = math.exp(-1), math.exp(-1 / 4)
    assert scores[:, 0].tolist() == pytest.approx(
        [math.e / z, (one_apart_near + math.e**2 + one_apart_far) / z], abs=1e-15
    )
    assert scores[:, 1].tolist() == pytest.approx([one_apart_near / 4, (1 + one_apart_far + 1) / 4], abs=1e-15)


def test_prior_comes_after_the_softmax_and_is_not_renormalised():
    scores = propagate(*small()[0].args, **small()[0].kwargs).sum(0)
    assert scores.max() <= 1 + 1e-6
    assert scores.mean() < 0.95


def test_streaming_equals_plain_in_double():
    example = small()[0]
    assert example.kwargs["size"] == (16, 24)
    plain = propagate.reference(*as_double(example), **example.kwargs)
    assert (propagate(*as_double(example), **example.kwargs) - plain).abs().max() < 1e-10


@pytest.mark.parametrize("number", [0, 1])
def test_streaming_equals_plain_in_single(number):
    example = small()[number]
    plain = propagate.reference(*as_double(example), **example.kwargs)
    fast = propagate(*example.args, **example.kwargs)
    assert (fast - plain).abs().max() < propagate.tolerance
    assert (fast.argmax(0) == plain.argmax(0)).float().mean() >= 0.9999


@pytest.mark.slow
def test_masks_at_480p_are_those_of_the_plain_form():
    example = examples("cpu")[2]
    assert example.kwargs["size"] == (60, 107)
    ids = torch.tensor([0, 7], dtype=torch.uint8)
    fast, plain = (form(*example.args, **example.kwargs) for form in (propagate, propagate.reference))
    assert (fast.argmax(0) == plain.argmax(0)).float().mean() >= 0.9999
    found = upsample(fast.unflatten(1, (60, 107)), ids, (480, 854))
    expected = upsample.reference(plain.unflatten(1, (60, 107)), ids, (480, 854))
    assert 0.2 < (expected > 0).float().mean() < 0.8
    assert (found == expected).float().mean() >= 0.9999


def test_slots_and_sigmas_may_lie_on_the_device():
    query, keys, labels, slots, widths = small()[0].args
    given = torch.tensor(slots), torch.tensor(widths, dtype=torch.float64)
    for form in (propagate, propagate_plain):
        expected = form(query, keys, labels, slots, widths, **small()[0].kwargs)
        assert torch.equal(form(query, keys, labels, *given, **small()[0].kwargs), expected)


def test_slots_pick_references_out_of_the_ring():
    query, keys, labels, _, _ = small()[0].args
    chosen = [3, 0]
    picked = propagate(query, keys[chosen], labels[chosen], (0, 1), (21.0, 8.0), **small()[0].kwargs)
    assert torch.allclose(propagate(query, keys, labels, chosen, (21.0, 8.0), **small()[0].kwargs), picked, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 30.0, 1e4])
def test_temperature_scales_the_logits_and_large_ones_stay_finite(temperature):
    query, *rest = small()[0].args
    scaled = propagate(query * temperature, *rest, **small()[0].kwargs)
    assert scaled.isfinite().all()
    assert torch.allclose(propagate(query, *rest, **small()[0].kwargs, temperature=temperature), scaled, atol=1e-5)


def test_a_far_match_is_kept_in_the_normaliser_and_lost_in_the_sum():
    # One row of 100 pixels; the target's pixel 0 looks like the reference's pixel 99 alone.
    query, keys = torch.zeros(100, 2), torch.zeros(1, 100, 2)
    query[0, 0], keys[0, 99, 0] = 10, 10
    scores = propagate(query, keys, torch.ones(1, 1, 100), (0,), (8.0,), size=(1, 100))
    assert scores[0, 0] < 1e-20
    assert scores[0, 50] > 0.1


def test_work_and_traffic_of_the_largest_example():
    # 60 x 107 targets, 9 times as many references, 256 channels: 190 GFLOP and 2.2 more for two classes.
    query, keys, labels = torch.empty(6420, 256), torch.empty(9, 6420, 256), torch.empty(9, 2, 6420)
    assert propagate.flops(query, keys, labels, range(9), ()) == 2 * 6420 * 9 * 6420 * (256 + 2)
    assert propagate.bytes(query, keys, labels, range(9), ()) == 4 * 10 * 6420 * (256 + 2)


def test_the_folded_network_equals_the_plain_one_and_gives_a_row_a_pixel():
    example = of_embed("cpu")[0]
    fast, plain = embed(*example.args), embed.reference(*example.args)
    assert fast.shape == (8 * 12, 256)
    assert fast.is_contiguous()
    assert (fast - plain).abs().max() < embed.tolerance
    assert 0.1 < plain.std() < 10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_images_of_another_precision_are_worked_on_in_theirs(dtype):
    images, network = of_embed("cpu")[0].args
    found = embed(images.to(dtype), network)
    exact = embed.reference(images.double(), network)
    assert found.dtype == dtype
    assert exact.dtype == torch.float64
    error = {torch.bfloat16: 0.05, torch.float16: 0.01, torch.float64: 1e-6}[dtype]  # folded in fp32
    assert (found - exact).abs().max() < error * exact.abs().max()
    assert network.dtype == torch.float32


def test_a_network_made_for_use_alone_has_no_plain_form():
    network = for_inference(build_network("r18"))
    with pytest.raises(ValueError, match="keep_plain"):
        embed.reference(torch.zeros(1, 3, 8, 8), network)


def test_work_of_one_convolution_by_hand():
    found = convolutions(torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), (1, 3, 4, 6))
    assert [(each.multiply_adds, each.numbers) for each in found] == [(4 * 6 * 5 * 3 * 9, 72 + 135 + 120)]


def test_resnet_50_takes_the_specs_work_and_traffic_at_480p():
    network = for_inference(build_network("r50"))
    images = torch.empty(1, 3, 480, 854)
    assert embed.flops(images, network) / 1e9 == pytest.approx(166.9, abs=0.05)  # specs/tvos-selfsup.md 3.1
    assert embed.bytes(images, network) / 1e9 == pytest.approx(1.28, abs=0.06)  # 3.3; there without the weights


@pytest.mark.parametrize("example", of_upsample("cpu"), ids=lambda example: example.name)
def test_upsampling_gives_the_very_mask_of_the_official_form(example):
    assert torch.equal(upsample(*example.args), upsample.reference(*example.args))


def test_upsampling_by_hand():
    scores = torch.tensor([[[0.6, 0.2]], [[0.4, 0.7]]])  # at 1/4 and 3/4 of the way: .5 and .3, .475 and .625
    assert upsample(scores, torch.tensor([0, 9], dtype=torch.uint8), (1, 4)).tolist() == [[0, 0, 9, 9]]


def test_among_equal_scores_the_first_class_wins():
    found = upsample(torch.zeros(3, 2, 2), torch.tensor([0, 4, 5], dtype=torch.uint8), (3, 5))
    assert not found.any()


@pytest.mark.parametrize("form", [upsample, upsample.reference])
def test_a_score_that_is_no_number_gives_void(form):
    scores = torch.tensor([[[0.6, 0.2, 0.1]], [[0.4, 0.7, math.nan]]])
    assert form(scores, torch.tensor([0, 9], dtype=torch.uint8), (1, 3)).tolist() == [[0, 9, 255]]


def test_triton_kernels_in_the_interpreter_equal_the_plain_forms(tmp_path, triton_interpreter):
    script = tmp_path / "interpreted.py"
    script.write_text(
        "import torch\n"
        "from harness.ops.propagation_cuda import Tile, propagate_fused\n"
        "from harness_tvos.speed.kernel_examples import of_propagate as examples\n"
        "from harness_tvos.kernels import propagate_plain\n"
        "example = examples('cpu')[0]\n"
        "query, keys, labels, _, _ = example.args\n"
        "for dtype in (torch.float32, torch.float16):\n"
        "    for splits in (1, 3):\n"
        "        given = query.to(dtype), keys.to(dtype), labels, (3, 0, 2), (21.0, 8.0, 8.0)\n"
        "        fused = propagate_fused(*given, **example.kwargs, splits=splits)\n"
        "        print(float((fused - propagate_plain(*given, **example.kwargs)).abs().max()))\n"
        "        filled = torch.tensor([3, 0, 2, -1]), torch.tensor([21.0, 8.0, 8.0, 1.0], dtype=torch.float64)\n"
        "        again = propagate_fused(*given[:3], *filled, **example.kwargs, splits=splits)\n"
        "        print(float((fused - again).abs().max()))\n"
        "held, looped = (Tile(32, 64, 4, 1, chunk, 1) for chunk in (0, 128))\n"
        "for channels, tile in ((80, held), (80, looped), (32, held), (20, None)):\n"
        "    query, keys = torch.randn(384, channels), torch.randn(4, 384, channels)\n"
        "    given = query, keys, labels, (1, 2, 3), (21.0, 8.0, 8.0)\n"
        "    fused = propagate_fused(*given, **example.kwargs, tile=tile)\n"
        "    print(float((fused - propagate_plain(*given, **example.kwargs)).abs().max()))\n"
        "strided = keys.transpose(1, 2).contiguous().transpose(1, 2)\n"
        "for wrong in ((query, strided, labels, (0, 1)), (query, keys, labels, (0, 4))):\n"
        "    try:\n"
        "        propagate_fused(*wrong, (8.0, 8.0), **example.kwargs)\n"
        "    except (ValueError, IndexError):\n"
        "        print(0.0)\n"
        "from harness.ops.upsampling_cuda import upsample_fused\n"
        "from harness_tvos.speed.kernel_examples import of_upsample\n"
        "from harness_tvos.kernels import upsample_plain\n"
        "for example in of_upsample('cpu')[:1]:\n"
        "    print(float((upsample_fused(*example.args) != upsample_plain(*example.args)).sum()))\n"
        "scores, ids, size = example.args\n"
        "scores[1, 4, 5] = torch.nan\n"
        "found, expected = upsample_fused(scores, ids, size), upsample_plain(scores, ids, size)\n"
        "print(float((found != expected).sum() + (not (found == 255).any())))\n"
    )
    done = subprocess.run([sys.executable, script], env=triton_interpreter, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [float(line) < 2e-4 for line in done.stdout.split()] == [True] * 16


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_triton_kernel_equals_double_precision_on_a_gpu(dtype):
    # Of features as they are rounded: what is judged is the kernel. Weights of halves have 11 bits (fp16).
    error = 2e-5 if dtype == torch.float32 else 2e-4
    for example in examples("cuda"):
        query, keys, labels, *rest = example.args
        given = query.to(dtype), keys.to(dtype)
        exact = propagate.reference(*(each.double() for each in (*given, labels)), *rest, **example.kwargs)
        fast = propagate(*given, labels, *rest, **example.kwargs)
        assert (fast - exact).abs().max() < error
        best, second = exact.topk(2, dim=0).values
        is_other = fast.argmax(0) != exact.argmax(0)
        assert not (is_other & (best - second > 2 * error)).any()
        assert is_other.float().mean() < 1e-3


@pytest.mark.gpu
def test_masks_up_sampled_on_a_gpu_are_those_of_the_plain_form():
    for example in of_upsample("cuda"):
        assert (upsample(*example.args) == upsample.reference(*example.args)).float().mean() >= 0.9999


@pytest.mark.gpu
def test_streaming_form_equals_plain_on_a_gpu(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for example in examples("cuda"):
        plain = propagate.reference(*example.args, **example.kwargs)
        assert (propagate(*example.args, **example.kwargs) - plain).abs().max() < propagate.tolerance
