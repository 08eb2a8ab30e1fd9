"""Blocks whose convolutions add and clip: which operation gets what; the operations themselves need a GPU."""

import pytest
import torch
from torch.nn import functional

import harness_tvos.network
from harness_tvos.network import build_network, for_inference
from harness_tvos.speed.fused_blocks import ClippedConvolution, CudnnBlock, fuse_activations


@pytest.mark.parametrize(("architecture", "blocks", "clipped"), [("r18", 8, 9), ("r50", 16, 33)])
def test_a_network_of_fused_blocks_gives_the_same_features(monkeypatch, architecture, blocks, clipped):
    def clip(x, weight, bias, stride, padding, dilation, groups):
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups).relu()

    def add_and_clip(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        return (functional.conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * z).relu()

    monkeypatch.setattr(torch, "cudnn_convolution_relu", clip)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add_and_clip)
    network = build_network(architecture, seed=1).train()
    images = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(images)  # batch norms that change something
    plain, fused = (for_inference(network, fused=False) for _ in range(2))
    fuse_activations(fused.network)
    with torch.inference_mode():
        expected, found = plain(images), fused(images)
    assert torch.allclose(found, expected, atol=1e-5)
    assert sum(isinstance(module, CudnnBlock) for module in fused.modules()) == blocks
    assert sum(isinstance(module, ClippedConvolution) for module in fused.modules()) == clipped
    assert not any(isinstance(module, torch.nn.ReLU) for module in fused.modules())


def test_a_network_channels_first_gives_the_same_features(monkeypatch):
    network = build_network("r18", seed=1)
    images = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    expected = for_inference(network, fused=False)(images)
    monkeypatch.setattr(harness_tvos.network, "fastest_layout", lambda *_, tf32: torch.contiguous_format)
    found = for_inference(network, fused=False)
    assert found.layout is torch.contiguous_format
    assert (found(images) - expected).abs().max() < 1e-4 * expected.abs().max()
