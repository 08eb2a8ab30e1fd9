"""A learner begins where it is told, goes down, ends the same after a pause, and its weights load at test time."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from harness import DataError, Learner, TrainingContext
from harness_tvos import harness_methods
from harness_tvos.network import build_network, load_checkpoint, network_for
from harness_tvos.training.config import OFFICIAL, PRESETS, SMALL
from harness_tvos.training.learner import close_residuals, with_shared_norms

TINY = replace(SMALL, batch=2, references=2, crop=32, warm_up=0, iterations=4)


def step(learner, iteration, batch=None):
    """One iteration as the loop takes it."""
    for group in learner.optimizer().param_groups:
        group["lr"] = learner.learning_rate(iteration)
    loss, logged = learner.loss(batch or learner.batch(iteration), iteration)
    learner.optimizer().zero_grad()
    loss.backward()
    learner.optimizer().step()
    learner.after_step(iteration)
    return loss.item(), {name: value.item() for name, value in logged.items()}


def test_it_is_a_learner_and_the_card_declares_it(learner):
    training = harness_methods()[0].training
    assert training.presets is PRESETS
    assert training.config() == OFFICIAL
    built = learner(TINY)
    assert isinstance(built, Learner)
    assert built.iterations == 4


@pytest.mark.slow
def test_steps_on_one_batch_lower_the_loss(learner):
    built = learner(replace(TINY, iterations=12, lr=1e-3))
    batch = next(batch for batch in map(built.batch, range(20)) if batch.is_matched.sum() > 20)
    reports = [step(built, k, batch)[1] for k in range(12)]
    assert reports[-1]["propagation"] < reports[0]["propagation"] * 0.7
    assert reports[-1]["correspondence"] < reports[0]["correspondence"] * 0.9
    assert all(0 <= report["right"] <= 1 for report in reports)


def test_the_official_preset_learns_on_two_tiny_clips(learner, disc_video):
    videos = [disc_video("a"), disc_video("b", seed=1)]
    built = learner(replace(OFFICIAL, batch=2, crop=32), samples=videos)
    assert built.epoch == 24 // 2
    assert built.iterations == 240 * 12
    before = copy.deepcopy(built.network.state_dict())
    loss, logged = step(built, 0)
    assert 0 < loss < 40
    assert logged["propagation"] == pytest.approx(loss)
    after = built.network.state_dict()
    assert not torch.equal(before["adjust_dim.weight"], after["adjust_dim.weight"])
    assert not torch.equal(before["bn256.running_mean"], after["bn256.running_mean"])


def test_the_official_optimiser_decays_batch_norms_too(learner):
    (group,) = learner(replace(OFFICIAL, architecture="r18", crop=32)).optimizer().param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 3e-4)
    convolutions, norms = learner(TINY).optimizer().param_groups
    assert (convolutions["weight_decay"], norms["weight_decay"]) == (0.02, 0.0)
    assert all(parameter.ndim == 1 for parameter in norms["params"])


def test_the_norm_of_the_gradient_is_limited(learner):
    built = learner(replace(TINY, clip_norm=1e-3, optimizer="sgd"))
    for parameter in built.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    built.optimizer().step()
    total = sum(parameter.grad.square().sum() for parameter in built.network.parameters())
    assert total.sqrt().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_a_resumed_training_ends_like_an_unbroken_one(learner):
    config = replace(TINY, average=0.9)
    unbroken = learner(config)
    for k in range(4):
        step(unbroken, k)
        if k == 1:
            states = copy.deepcopy({name: network.state_dict() for name, network in unbroken.networks().items()})
            optimizer = copy.deepcopy(unbroken.optimizer().state_dict())
    resumed = learner(config, seed=0)
    for name, network in resumed.networks().items():
        network.load_state_dict(states[name])
    resumed.optimizer().load_state_dict(optimizer)
    for k in (2, 3):
        step(resumed, k)
    for name, value in unbroken.weights().items():
        assert torch.equal(value, resumed.weights()[name]), name


def test_the_average_follows_the_weights_slower_and_is_what_is_exported(learner):
    built = learner(replace(TINY, average=0.9))
    start = built.network.state_dict()["backbone.0.weight"].clone()
    for k in range(3):
        step(built, k)
    now = built.network.state_dict()["backbone.0.weight"]
    mean = built.weights()["backbone.0.weight"].float()
    assert 0 < (mean - start).norm() < (now - start).norm()


def test_weights_load_at_test_time_in_the_type_they_are_stored_in(learner, tmp_path):
    for config, dtype in ((TINY, torch.float16), (replace(TINY, half_weights=False), torch.float32)):
        weights = learner(config).weights()
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {dtype}
        save_file(weights, tmp_path / "weights.safetensors")
        assert network_for(load_checkpoint(tmp_path / "weights.safetensors")).architecture == "r18"


def test_it_begins_from_imagenet_or_from_its_own_checkpoint(learner, tmp_path):
    imagenet = {
        f"{root}.{name.split('.', 2)[2]}": torch.full_like(value, 0.5)
        for root, index in (("conv1", 0), ("bn1", 1), ("layer1", 4), ("layer2", 5), ("layer3", 6))
        for name, value in build_network("r18").state_dict().items()
        if name.startswith(f"backbone.{index}.")
    }
    torch.save({**imagenet, "fc.weight": torch.zeros(2, 2)}, tmp_path / "imagenet.pth")
    begun = learner(replace(TINY, closed_residuals=False), weights=tmp_path / "imagenet.pth").network.state_dict()
    assert (begun["backbone.6.1.conv2.weight"] == 0.5).all()
    assert not (begun["backbone.7.0.conv1.weight"] == 0.5).any()

    own = build_network("r18", seed=5).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in own.items()}}, tmp_path / "own.pth.tar")
    continued = learner(replace(OFFICIAL, crop=32), weights=tmp_path / "own.pth.tar").network
    assert torch.equal(continued.state_dict()["backbone.7.0.conv1.weight"], own["backbone.7.0.conv1.weight"])


def test_weights_of_another_network_are_refused(learner, tmp_path):
    torch.save({"layer9.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="the ImageNet weights lack"):
        learner(TINY, weights=tmp_path / "other.pth")


def test_closed_residuals_make_small_dot_products():
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    drawn, closed = build_network("r18"), build_network("r18")
    close_residuals(closed)
    assert drawn(images).square().sum(1).mean() > 300
    assert 5 < closed(images).square().sum(1).mean() < 40


@pytest.mark.parametrize(
    ("device", "world", "is_shared"), [("cuda:0", 2, True), ("cuda:0", 1, False), ("cpu", 2, False)]
)
def test_several_gpus_share_their_batch_norms(device, world, is_shared):
    context = TrainingContext(
        samples=(), config=TINY, device=device, precision="fp32", weights=None, seed=0, world=world
    )
    network = with_shared_norms(build_network("r18"), context)
    assert isinstance(network.backbone[1], torch.nn.SyncBatchNorm) == is_shared
    assert network.state_dict().keys() == build_network("r18").state_dict().keys()


def test_half_precision_keeps_the_loss_in_full(learner):
    built = learner(TINY)
    batch = built.batch(0)
    full, _ = built.loss(batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = built.loss(batch, 0)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.1)
