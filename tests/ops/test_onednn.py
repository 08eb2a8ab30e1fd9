"""Convolutions and products by oneDNN: what PyTorch's plain operations give, whatever the kind of layer."""

import pytest
import torch
from torch import nn

from harness.ops import onednn
from harness.ops.onednn import FusedConvolution, can_use, multiply

needs_onednn = pytest.mark.skipif(not can_use(torch.float32), reason="this PyTorch has no oneDNN operations")
needs_bf16 = pytest.mark.skipif(not can_use(torch.bfloat16), reason="oneDNN has no bf16 on this processor")


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


LAYERS = [
    nn.Conv2d(16, 24, 1),
    nn.Conv2d(16, 24, 1, bias=False),
    nn.Conv2d(16, 24, 1, stride=2),
    nn.Conv2d(16, 24, 3, padding=1),
    nn.Conv2d(16, 24, 3, stride=2, padding=(1, 0), dilation=(1, 2)),
    nn.Conv2d(16, 32, 3, padding=1, groups=4),
    nn.Conv2d(16, 24, 3, padding=1, padding_mode="reflect"),  # what oneDNN's operation does not know, as PyTorch does
    nn.Conv2d(16, 24, 3, padding="same"),
]


@needs_onednn
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("has_shortcut", [False, True])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_fused_convolution_adds_and_clips_as_three_operations_do(layer, has_shortcut, clip):
    layer = layer.requires_grad_(False)
    x = noise(2, 16, 13, 18).contiguous(memory_format=torch.channels_last)
    expected = layer.double()(x.double())
    shortcut = noise(*expected.shape).contiguous(memory_format=torch.channels_last) if has_shortcut else None
    before = x.clone(), None if shortcut is None else shortcut.clone()
    expected = expected if shortcut is None else expected + shortcut
    found = FusedConvolution.of(layer.float())(x, shortcut, clip=clip)
    assert torch.allclose(found, (expected.relu() if clip else expected).float(), atol=1e-5)
    bounded = FusedConvolution.of(layer.float())
    bounded.most = 0.5
    narrow = bounded(x, shortcut, clip=clip)
    assert torch.allclose(narrow, (expected.clamp(0, 0.5) if clip else expected).float(), atol=1e-5)
    assert torch.equal(x, before[0])
    assert shortcut is None or torch.equal(shortcut, before[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_without_onednn_the_plain_operations_work(monkeypatch, dtype):
    monkeypatch.setattr(onednn, "can_use", lambda dtype: False)
    layer, x, shortcut = nn.Conv2d(4, 5, 3).to(dtype), noise(1, 4, 6, 7).to(dtype), noise(1, 5, 4, 5).to(dtype)
    assert torch.equal(FusedConvolution.of(layer)(x, shortcut, clip=True), (layer(x) + shortcut).relu())
    left, right = noise(3, 8).to(dtype), noise(5, 8).to(dtype)
    assert torch.equal(multiply(left, right), left @ right.t())


def test_gradients_go_through_the_plain_operations():
    layer = FusedConvolution.of(nn.Conv2d(4, 5, 1))
    layer(noise(1, 4, 6, 7), clip=True).sum().backward()
    assert layer.weight.grad is not None
    left, right = noise(3, 8).requires_grad_(), noise(5, 8)
    multiply(left, right).sum().backward()
    assert torch.allclose(left.grad, right.sum(0).expand(3, -1))


@needs_onednn
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 7), (512, 963)])
def test_products_are_those_of_the_matrices(rows, columns):
    left, right = noise(rows, 64), noise(columns, 64) + 1
    assert torch.allclose(multiply(left, right).double(), left.double() @ right.double().t(), atol=1e-4)
    held = noise(3, columns, 64)
    assert torch.allclose(multiply(left, held[1]), left @ held[1].t(), atol=1e-4)


@needs_bf16
def test_products_of_halves_are_summed_in_fp32():
    left, right = noise(20, 256).bfloat16(), noise(30, 256).bfloat16()
    exact = left.double() @ right.double().t()
    found = multiply(left, right)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-4).all()  # one rounding, of 8 bits
