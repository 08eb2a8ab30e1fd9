"""Both stages learn on a toy world with a known answer: a bright square moves over a still ground."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import TrainingContext
from harness_imas.network import MOTION, OBJECT_CHANNEL, build_segmenter
from harness_imas.training.learner import SynergyLearner, begin


def test_steps_lower_the_loss_and_say_how_sure_masks_are(toy):
    losses = toy.steps(toy.learner_of(replace(toy.CONFIG, pathway="residual", lr=1e-3)), 8)

    assert losses[-1]["loss"] < losses[0]["loss"]
    assert 0.5 <= losses[0]["sure"] <= 1
    assert losses[0]["flow"] == pytest.approx(np.mean([each["flow"] for each in losses]), rel=0.3)


@pytest.mark.slow
def test_motion_alone_finds_the_moving_square(toy):
    learner = toy.learner_of()
    toy.steps(learner, 40)
    sample, _, truths = toy.world()
    learner.segmenter.train()  # as it learnt: two images say too little about the norms' running means
    image = torch.from_numpy(np.stack([sample.read_frame(t) for t in (0, 1)])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        found = learner.segmenter(learner.segmenter.normalise(image)).argmax(1).numpy()
    truth = truths[:2, 1::4, 1::4]
    overlaps = [((found == k) & (truth > 0)).sum() / ((found == k) | (truth > 0)).sum() for k in (0, 1)]

    assert max(overlaps) > 0.8


@pytest.mark.slow
def test_the_second_stage_moves_the_objects_mask_to_its_target(toy):
    config = replace(toy.CONFIG, appearance_iterations=12, appearance_lr=5e-3)
    _, _, truths = toy.world()
    targets = [255 * truths[:, ::4, ::4]]

    losses = toy.steps(toy.learner_of(config, targets=targets, object_channel=1), 12)

    assert losses[-1]["appearance"] < 0.6 * losses[0]["appearance"]
    first = losses[0]
    assert first["loss"] == pytest.approx(0.1 * first["motion"] + 2.0 * first["appearance"], rel=1e-5)


def test_weights_go_on_where_they_ended(toy, tmp_path):
    config = replace(toy.CONFIG, pathway="residual")
    learner = toy.learner_of(config)
    toy.steps(learner, 2)
    path = tmp_path / "stage-motion.safetensors"
    save_file(dict(learner.weights()), path)

    segmenter, motion = begin(config, path, 0)

    for name, value in learner.segmenter.state_dict().items():
        torch.testing.assert_close(segmenter.state_dict()[name].float(), value.half().float())
    for name, value in learner.motion.state_dict().items():
        torch.testing.assert_close(motion.state_dict()[name].float(), value.half().float())
    assert any(name.startswith(MOTION) for name in learner.weights())


def test_a_backbones_file_is_begun_from(toy, tmp_path):
    trunk = build_segmenter("lite0", 2, merging=True, seed=5).backbone.trunk
    path = tmp_path / "lite0.safetensors"
    save_file(dict(trunk.state_dict()), path)

    segmenter, _ = begin(toy.CONFIG, path, 0)

    assert torch.equal(segmenter.backbone.trunk._conv_stem.weight, trunk._conv_stem.weight)


def test_the_fact_beside_the_weights_is_a_channel(toy):
    facts = toy.learner_of().facts()

    assert facts["object_channel"] in {"0", "1"}


def test_a_batch_that_processes_cannot_share_is_refused(toy):
    sample, flow, _ = toy.world()
    context = TrainingContext(
        samples=[sample], config=toy.CONFIG, device="cpu", precision="fp32", weights=None, seed=0, world=3
    )
    with pytest.raises(ValueError, match="cannot be shared by 3"):
        SynergyLearner(context, flow, begin_from=None)


ODD_FLOWS = {
    "a still video": lambda shape: np.zeros(shape, np.float32),
    "a camera that moves and nothing else": lambda shape: np.full(shape, 6.0, np.float32),
    "a cut": lambda shape: np.random.default_rng(0).uniform(-90, 90, shape).astype(np.float32),
}


@pytest.mark.parametrize("flow", ODD_FLOWS.values(), ids=ODD_FLOWS)
@pytest.mark.parametrize("pathway", ["residual", "affine"])
def test_flow_that_tells_nothing_of_an_object_gives_finite_weights_and_a_channel(toy, flow, pathway):
    config = replace(toy.CONFIG, pathway=pathway)
    learner = toy.learner_of(config, flow=flow((3, 2, 2, 16, 16)))
    losses = toy.steps(learner, 2)
    assert all(np.isfinite(value) for each in losses for value in each.values())
    assert all(torch.isfinite(value).all() for value in learner.weights().values())
    assert learner.facts()[OBJECT_CHANNEL] in ("0", "1")
    assert losses[0]["flow"] <= config.clamp
