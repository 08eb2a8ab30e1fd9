"""The averaged copy: how it follows, and the targets it makes."""

from dataclasses import replace

import pytest
import torch

from harness.ops.crf import IMAS
from harness_imas.network import build_segmenter, load_segmenter
from harness_imas.training.online import Averaged


def test_the_copy_keeps_its_share_of_each_value_and_never_learns(toy):
    learner = toy.learner_of(replace(toy.CONFIG, online_iterations=1), online=True, object_channel=1)
    name = "masks.0.weight"
    before = learner.averaged.network.state_dict()[name].clone()
    with torch.no_grad():
        learner.segmenter.state_dict()[name].add_(1.0)
    learner.averaged.follow(learner.segmenter, 0.75)
    torch.testing.assert_close(learner.averaged.network.state_dict()[name], before + 0.25)
    assert not any(parameter.requires_grad for parameter in learner.averaged.parameters())
    assert all(
        parameter is not other
        for group in learner.optimizer().param_groups
        for parameter in group["params"]
        for other in learner.averaged.parameters()
    )


def test_targets_are_the_copys_masks_drawn_to_the_colours():
    class Painted(torch.nn.Module):
        """The object's share is .9 where the frame is bright, but for a hole, and a little beside it."""

        def forward(self, images):
            share = torch.full((1, 16, 16), 0.1)
            share[:, 4:12, 4:12] = 0.9
            share[:, 7:9, 7:9] = 0.4
            return torch.stack([1 - share, share], 1).log()

    copy = Averaged(build_segmenter("lite0", 2, merging=True, seed=0))
    copy.network = Painted()
    frames = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    frames[:, 16:48, 16:48] = 200
    made = copy.make_targets(frames, torch.zeros(1, 3, 64, 64), 1, IMAS, divide=0.7)
    truth = torch.zeros(16, 16)
    truth[4:12, 4:12] = 1
    assert made.shape == (1, 16, 16)
    assert ((made[0] > 0.5).float() == truth).float().mean() > 0.97
    assert made[0, 7:9, 7:9].min() > 0.5  # the hole has the object's colour


def test_the_loss_is_that_of_the_motion_and_ten_times_that_of_the_targets(toy):
    learner = toy.learner_of(replace(toy.CONFIG, online_iterations=5, short_side=64), online=True, object_channel=1)
    losses = toy.steps(learner, 2)
    for each in losses:
        assert each["loss"] == pytest.approx(each["motion"] + 10 * each["appearance"], rel=1e-5)
    assert learner.iterations == 5


def test_the_weights_hold_the_copy_beside_the_network(toy, tmp_path):
    from safetensors.torch import save_file

    learner = toy.learner_of(replace(toy.CONFIG, momentum=0.5, online_iterations=1), online=True, object_channel=1)
    toy.steps(learner, 1)
    learner.after_step(0)
    path = tmp_path / "stage-online.safetensors"
    save_file(dict(learner.weights()), path)
    plain, copied = load_segmenter(path), load_segmenter(path, averaged=True)
    place = "masks.0.weight"
    torch.testing.assert_close(plain.state_dict()[place], learner.segmenter.state_dict()[place].half().float())
    torch.testing.assert_close(copied.state_dict()[place], learner.averaged.network.state_dict()[place].half().float())
    assert not torch.equal(plain.state_dict()[place], copied.state_dict()[place])
