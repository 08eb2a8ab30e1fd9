"""The network: shapes of every architecture, folding, and files of weights that are not ours or not whole."""

import pytest
import torch
from safetensors.torch import save_file

from harness import DataError
from harness_imas.network import MOTION, PLANS, Features, build_backbone, build_segmenter, load_segmenter, segmenter_of


@pytest.mark.parametrize("architecture", list(PLANS))
@pytest.mark.parametrize("merging", [True, False])
def test_masks_are_of_the_stride_of_their_maps(architecture, merging):
    network = build_segmenter(architecture, 3, merging=merging, seed=0).eval()

    logits = network(torch.zeros(1, 3, 64, 80))

    stride = 4 if merging else 16 if architecture == "lite0" else 8
    assert logits.shape == (1, 3, 64 // stride, 80 // stride)


@pytest.mark.parametrize("architecture", list(PLANS))
@pytest.mark.parametrize("merging", [True, False])
def test_a_file_says_by_itself_what_network_it_is_of(architecture, merging, tmp_path):
    network = build_segmenter(architecture, 3, merging=merging, seed=0).eval()
    path = tmp_path / "weights.safetensors"
    save_file({**network.state_dict(), MOTION + "pooled.weight": torch.zeros(2)}, path)

    found = load_segmenter(path).eval()

    assert (found.architecture, found.channels, found.merging) == (architecture, 3, merging)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(image), network(image))


def test_folded_norms_change_nothing():
    network = build_segmenter("lite0", 4, merging=True, seed=0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    network.eval().double()
    image = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)).double()
    before = network(image)

    network.fold()

    torch.testing.assert_close(network(image), before)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_the_seed_decides_an_untrained_network():
    first, same, other = (build_segmenter("lite0", 4, merging=True, seed=seed) for seed in (0, 0, 1))
    heads = [network.state_dict()["masks.0.weight"] for network in (first, same, other)]

    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_one_mask_competes_with_nothing():
    with pytest.raises(ValueError, match="2 or more"):
        build_segmenter("lite0", 1, merging=True, seed=0)


def test_a_backbones_file_is_no_network():
    with pytest.raises(DataError, match=r"of no IMAS network.*found 2 tensors"):
        segmenter_of({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, "resnet.pth")


def test_a_head_of_another_width_is_named():
    state = dict(build_segmenter("lite0", 4, merging=True, seed=0).state_dict())
    state["masks.0.weight"] = torch.zeros(48, 136, 3, 3)

    with pytest.raises(DataError, match=r"a head of .*48, 136"):
        segmenter_of(state, "odd.safetensors")


@pytest.mark.parametrize(
    ("change", "message"), [("drop", "lack 1 tensors"), ("add", "1 unknown"), ("shape", "do not fit")]
)
def test_missing_surplus_and_misfitting_tensors_are_named(change, message):
    state = dict(build_segmenter("lite0", 4, merging=True, seed=0).state_dict())
    name = "backbone.trunk._bn0.weight"
    if change == "drop":
        del state[name]
    elif change == "add":
        state["extra"] = torch.zeros(1)
    else:
        state[name] = torch.zeros(7)

    with pytest.raises(DataError, match=message):
        segmenter_of(state, "odd.safetensors")


def test_features_are_those_of_the_file():
    backbone = build_backbone("imas")
    features = Features("imas", backbone.trunk.state_dict(), "resnet.pth")

    found = features(torch.full((1, 3, 64, 64), 127.0))

    assert found.shape == (1, 2048, 8, 8)
    assert not any(parameter.requires_grad for parameter in features.parameters())
