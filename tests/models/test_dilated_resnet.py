"""Dilations in the place of strides give the same cells and more of them; files load whatever the strides."""

import copy

import pytest
import torch
from torch import nn

from harness import DataError
from harness.models.dilated_resnet import ResNet, fold_resnet, load_torchvision
from harness.models.resnet import Bottleneck, layer

IMAGES = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def settle(network):
    """In evaluation mode and double precision, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.double().eval()


def test_contracted_dilations_give_the_strided_cells_and_those_between():
    """A BasicBlock has no such twin: its second convolution is not dilated."""
    strided = settle(ResNet("r50", (1, 2, 2)))
    dilated = settle(ResNet("r50", (1, 2, 1), (1, 1, 2), contract=True))
    load_torchvision(dilated, strided.state_dict())
    with torch.inference_mode():
        coarse, whole = strided(IMAGES)[-1], dilated(IMAGES)[-1]
    assert whole.shape[-1] == 2 * coarse.shape[-1]
    assert torch.allclose(whole[..., ::2, ::2], coarse, rtol=1e-9, atol=1e-12)


def test_strides_dilations_and_channels_are_those_asked_for():
    """The backbone of RCF and IMAS: strides 1, 2, 1, 1 and dilations 1, 1, 2, 4, contracted."""
    network = ResNet("r50", (1, 2, 1, 1), (1, 1, 2, 4), contract=True).eval()
    maps = network(torch.zeros(1, 3, 64, 96))
    assert [each.shape[1:] for each in maps] == [(256, 16, 24), (512, 8, 12), (1024, 8, 12), (2048, 8, 12)]
    assert [block.conv2.dilation[0] for block in network.layer3] == [1, 2, 2, 2, 2, 2]
    assert [block.conv2.dilation[0] for block in network.layer4] == [2, 4, 4]
    assert [block.conv2.dilation[0] for block in layer(Bottleneck, 64, 2, 64, 1, 4)] == [4, 4]


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_files_load_under_the_prefixes_known_and_the_rest_of_them_is_left_out(prefix):
    whole = ResNet("r18")
    state = {f"{prefix}{name}": value for name, value in whole.state_dict().items() if "batches" not in name}
    part = ResNet("r18", (1, 1), (1, 2))
    load_torchvision(part, {**state, "fc.weight": torch.zeros(3)})
    assert torch.equal(part.layer2[1].conv2.weight, whole.layer2[1].conv2.weight)


def test_what_is_missing_or_misfits_is_named():
    state = ResNet("r18", (1,)).state_dict()
    with pytest.raises(DataError, match=r"lack 25 tensors of this ResNet, first layer2\.0\.conv1\.weight"):
        load_torchvision(ResNet("r18", (1, 2)), {**state})
    with pytest.raises(DataError, match=r"do not fit at bn1\.bias: found \(3,\), expected \(64,\)"):
        load_torchvision(ResNet("r18", (1,)), {**state, "bn1.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match="no ResNet 'r18' of strides"):
        ResNet("r18", (1, 2, 2, 2, 2))


def test_folded_it_gives_the_same():
    network = settle(ResNet("r50", (1, 2, 1), (1, 1, 2)))
    folded = copy.deepcopy(network)
    fold_resnet(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        assert torch.allclose(folded(IMAGES)[-1], network(IMAGES)[-1], rtol=1e-9, atol=1e-12)
