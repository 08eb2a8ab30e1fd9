"""Both stages learn on a toy world with a known answer: a bright square moves over a still ground."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import TrainingContext
from harness.api.video import Sample
from harness_imas.network import MOTION, build_segmenter
from harness_imas.training.config import TrainingConfig
from harness_imas.training.learner import SynergyLearner, begin

TOY = TrainingConfig(
    architecture="lite0",
    channels=2,
    short_side=64,
    scale=(1.0, 1.0),
    crop=64,
    flip=0.0,
    photometric=False,
    batch=2,
    lr=3e-3,
    iterations=40,
    pathway="none",
)


class Exact:
    """Flow as a cache gives it."""

    def __init__(self, flow):
        self.flow = torch.from_numpy(flow).half()

    def pair(self, video, t):
        return self.flow[t, 0], self.flow[t, 1]


def world(frames=4):
    """Frames 64 x 64 with a square that moves by (8, 0), its truth, and the exact flow on cells of 4 pixels."""
    images, truths = np.full((frames, 64, 64, 3), 60, np.uint8), np.zeros((frames, 64, 64), np.uint8)
    flow = np.zeros((frames - 1, 2, 2, 16, 16), np.float32)
    for t in range(frames):
        truths[t, 16:48, 8 + 8 * t : 32 + 8 * t] = 1
        images[t][truths[t] > 0] = (220, 40, 40)
    for t in range(frames - 1):
        flow[t, 0, 0] = 9 * truths[t, ::4, ::4]
        flow[t, 1, 0] = -9.0 * truths[t + 1, ::4, ::4]
    sample = Sample(
        name="toy",
        length=frames,
        height=64,
        width=64,
        frame_names=tuple(f"{t:05d}" for t in range(frames)),
        read_frame=lambda t: images[t],
        digest=lambda: "toy",
    )
    return sample, Exact(flow), truths


def learner_of(config=TOY, **more):
    sample, flow, _ = world()
    context = TrainingContext(samples=[sample], config=config, device="cpu", precision="fp32", weights=None, seed=0)
    return SynergyLearner(context, flow, begin_from=more.pop("begin_from", None), **more)


def steps(learner, count):
    losses = []
    for iteration in range(count):
        for group in learner.optimizer().param_groups:
            group["lr"] = learner.learning_rate(iteration)
        torch.manual_seed(iteration)
        loss, logs = learner.loss(learner.batch(iteration), iteration)
        learner.optimizer().zero_grad()
        loss.backward()
        learner.optimizer().step()
        losses.append({"loss": loss.item(), **{name: value.item() for name, value in logs.items()}})
    return losses


def test_steps_lower_the_loss_and_say_how_sure_masks_are():
    losses = steps(learner_of(replace(TOY, pathway="residual", lr=1e-3)), 8)

    assert losses[-1]["loss"] < losses[0]["loss"]
    assert 0.5 <= losses[0]["sure"] <= 1
    assert losses[0]["flow"] == pytest.approx(np.mean([each["flow"] for each in losses]), rel=0.3)


@pytest.mark.slow
def test_motion_alone_finds_the_moving_square():
    learner = learner_of()
    steps(learner, 40)
    sample, _, truths = world()
    learner.segmenter.train()  # as it learnt: two images say too little about the norms' running means
    image = torch.from_numpy(np.stack([sample.read_frame(t) for t in (0, 1)])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        found = learner.segmenter(learner.segmenter.normalise(image)).argmax(1).numpy()
    truth = truths[:2, 1::4, 1::4]
    overlaps = [((found == k) & (truth > 0)).sum() / ((found == k) | (truth > 0)).sum() for k in (0, 1)]

    assert max(overlaps) > 0.8


def test_the_second_stage_moves_the_objects_mask_to_its_target():
    config = replace(TOY, appearance_iterations=12, appearance_lr=5e-3)
    _, _, truths = world()
    targets = [255 * truths[:, ::4, ::4]]

    losses = steps(learner_of(config, targets=targets, object_channel=1), 12)

    assert losses[-1]["appearance"] < 0.6 * losses[0]["appearance"]
    first = losses[0]
    assert first["loss"] == pytest.approx(0.1 * first["motion"] + 2.0 * first["appearance"], rel=1e-5)


def test_weights_go_on_where_they_ended(tmp_path):
    config = replace(TOY, pathway="residual")
    learner = learner_of(config)
    steps(learner, 2)
    path = tmp_path / "stage-motion.safetensors"
    save_file(dict(learner.weights()), path)

    segmenter, motion = begin(config, path, 0)

    for name, value in learner.segmenter.state_dict().items():
        torch.testing.assert_close(segmenter.state_dict()[name].float(), value.half().float())
    for name, value in learner.motion.state_dict().items():
        torch.testing.assert_close(motion.state_dict()[name].float(), value.half().float())
    assert any(name.startswith(MOTION) for name in learner.weights())


def test_a_backbones_file_is_begun_from(tmp_path):
    trunk = build_segmenter("lite0", 2, merging=True, seed=5).backbone.trunk
    path = tmp_path / "lite0.safetensors"
    save_file(dict(trunk.state_dict()), path)

    segmenter, _ = begin(TOY, path, 0)

    assert torch.equal(segmenter.backbone.trunk._conv_stem.weight, trunk._conv_stem.weight)


def test_the_fact_beside_the_weights_is_a_channel():
    facts = learner_of().facts()

    assert facts["object_channel"] in {"0", "1"}


def test_a_batch_that_processes_cannot_share_is_refused():
    sample, flow, _ = world()
    context = TrainingContext(
        samples=[sample], config=TOY, device="cpu", precision="fp32", weights=None, seed=0, world=3
    )
    with pytest.raises(ValueError, match="cannot be shared by 3"):
        SynergyLearner(context, flow, begin_from=None)
