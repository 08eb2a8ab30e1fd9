"""D-Net's shapes, that the guidance begins as told, and that files decide what is built."""

import pytest
import safetensors.torch
import torch

from harness import DataError
from harness.api.errors import UsageError
from harness_dtnet.network import build_networks, load_networks


def images(count=1, size=(33, 47)):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def small():
    return build_networks("small", categories=6).eval()


def test_answers_lie_on_a_quarter_of_the_sides_rounded_up(small):
    with torch.inference_mode():
        found = small.discovery(images())
    assert found.foreground.shape == (1, 7, 9, 12)
    assert found.heatmap.shape == (1, 1, 9, 12)
    assert found.offsets.shape == (1, 2, 9, 12)


@torch.inference_mode()
def test_a_mask_says_nothing_before_training_and_the_frame_before_does(small):
    without = small.discovery(images())
    black, white = (small.discovery(images(), images(), torch.full((1, 1, 33, 47), value)) for value in (0.0, 1.0))
    assert torch.equal(black.heatmap, white.heatmap)
    assert not torch.allclose(black.heatmap, without.heatmap)


@torch.inference_mode()
def test_printed_and_our_squeeze_see_different_maps():
    ours, printed = (build_networks("small", guidance=name).eval().discovery for name in ("task", "printed"))
    printed.load_state_dict(ours.state_dict())
    mask = torch.ones(1, 1, 33, 47)
    assert not torch.equal(ours(images(), images(), mask).heatmap, printed(images(), images(), mask).heatmap)


@torch.inference_mode()
def test_folding_changes_nothing_but_rounding(small):
    import copy

    folded = copy.deepcopy(small)
    for module in folded.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    mask = torch.rand(1, 1, 33, 47)
    expected = folded.discovery(images(), images(), mask), folded.target(images())
    folded.discovery.fold()
    folded.target.fold()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    found = folded.discovery(images(), images(), mask), folded.target(images())
    assert torch.allclose(found[1], expected[1], rtol=1e-3, atol=1e-3 * float(expected[1].abs().max()))
    for one, other in zip(found[0], expected[0], strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


@pytest.mark.slow
@torch.inference_mode()
def test_the_papers_networks_have_its_widths():
    networks = build_networks("paper").eval()
    salient, instance = networks.discovery.task_features(networks.discovery.encoder(images()))
    assert salient.shape == instance.shape == (1, 256, 3, 3)
    assert networks.target(images()).shape == (1, 1024, 3, 3)
    assert networks.discovery(images(), images(), torch.ones(1, 1, 33, 47)).foreground.shape == (1, 1, 9, 12)


def test_a_file_decides_categories_and_what_lacks_guidance_says_so(tmp_path, small):
    path = tmp_path / "small.safetensors"
    safetensors.torch.save_file({name: value.clone() for name, value in small.state_dict().items()}, path)
    assert load_networks(path, "task").discovery.categories == 6
    assert load_networks(path, "off").discovery.guidance == "off"
    bare = {name: value.clone() for name, value in build_networks("small", guidance="off").state_dict().items()}
    safetensors.torch.save_file(bare, path)
    assert load_networks(path, "off").discovery.categories == 0
    with pytest.raises(DataError, match=r"lack .* tensors") as told:
        load_networks(path, "task")
    assert "guidance=off" in told.value.hint


def test_foreign_weights_and_imagenet_for_the_paper_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"backbone.0.weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="are of no D-Net"):
        load_networks(path, "task")
    with pytest.raises(UsageError, match="only 'small'"):
        build_networks("paper", imagenet=True)
