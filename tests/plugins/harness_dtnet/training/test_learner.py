"""D-Net learns on a toy world with a known answer, and its weights are what the method loads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, DataError, TrainingContext
from harness.api.video import Sample
from harness_dtnet.config import SMALL as AT_TEST_TIME
from harness_dtnet.discovery.categories import FACT
from harness_dtnet.network import GUIDANCE, build_networks, networks_of
from harness_dtnet.training.clips import FrameBatch
from harness_dtnet.training.config import PRESETS, TrainingConfig
from harness_dtnet.training.learner import DiscoveryLearner, begin

TOY = TrainingConfig(
    architecture="small", lines=64, scale=(1.0, 1.0), crop=64, flip=0.0, sigma=45.0, batch=4,
    optimizer="adamw", lr=3e-3, iterations=40, half_weights=False,
)  # fmt: skip


def toy(categories=False):
    """A red square that moves over grey."""
    truths, images = np.zeros((4, 64, 64), np.uint8), np.full((4, 64, 64, 3), 90, np.uint8)
    for t in range(4):
        truths[t, 20:44, 8 + 6 * t : 32 + 6 * t] = 1
        images[t][truths[t] > 0] = (220, 30, 30)
    track = {"id": 1, "category_id": 4, "iscrowd": 0, "areas": [], "segmentations": [None] * 4}
    return Sample(
        name="toy", length=4, height=64, width=64, frame_names=tuple("0123"), read_frame=lambda t: images[t],
        digest=lambda: "toy", read_truth=lambda t: truths[t],
        extra={"tracks": [track], "category_names": {2: "cat", 4: "square"}} if categories else {},
    )  # fmt: skip


def learner_of(config=TOY, *, weights=None, categories=False, **more):
    context = TrainingContext(
        samples=[toy(categories)], config=config, device="cpu", precision="fp32", weights=weights, seed=0, **more
    )
    return DiscoveryLearner(context)


def learn(learner, steps):
    losses = []
    for iteration in range(steps):
        for group in learner.optimizer().param_groups:
            group["lr"] = learner.learning_rate(iteration) * group["lr_scale"]
        torch.manual_seed(iteration)
        loss, logs = learner.loss(learner.batch(iteration), iteration)
        assert set(logs) == {"foreground", "centre", "offset"}
        learner.optimizer().zero_grad()
        loss.backward()
        learner.optimizer().step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
def test_a_red_square_is_found_with_its_centre_where_it_is():
    learner = learner_of()
    losses = learn(learner, 40)
    assert losses[-1] < losses[0] / 10
    batch = learner.source.frames(99, range(4))
    for module in learner.network.modules():  # norms have not seen enough for means of their own
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.inference_mode():
        answers = learner._answer(FrameBatch(*batch))
    cells = batch.ids[:, 1::4, 1::4] == 1
    assert ((answers.foreground[:, 0] > 0) == cells).float().mean() > 0.97
    for heat, ids in zip(answers.heatmap[:, 0], batch.ids, strict=True):
        y, x = (place.float().mean() for place in (ids == 1).nonzero().unbind(1))
        peak = 4 * torch.tensor(divmod(int(heat.argmax()), 16)) + 1.5
        assert max(abs(peak[0] - y), abs(peak[1] - x)) <= 6


def test_a_few_steps_go_down_and_move_all_of_the_network_that_takes_part():
    learner = learner_of()
    before = {name: value.clone() for name, value in learner.all.named_parameters()}
    losses = learn(learner, 4)
    assert losses[-1] < losses[0]
    still = [name for name, value in learner.all.named_parameters() if torch.equal(value, before[name])]
    assert all(name.startswith("target.") for name in still)
    assert [name for name in before if name.startswith("target.")] == still


def test_frames_without_guidance_are_answered_as_if_there_were_none():
    network = build_networks("small").discovery.eval()
    images, masks = torch.randn(2, 3, 32, 48), torch.ones(2, 1, 32, 48)
    with torch.inference_mode():
        mixed = network(images, images, masks, torch.tensor([True, False]))
        guided, plain = network(images, images, masks), network(images)
    for some, one, other in zip(mixed, guided, plain, strict=True):
        assert torch.equal(some[0], one[0])
        assert torch.equal(some[1], other[1])


def test_two_processes_share_a_batch_and_too_many_are_refused():
    shares = [learner_of(rank=rank, world=2).batch(5) for rank in (0, 1)]
    whole = learner_of().batch(5)
    assert torch.equal(whole.frames[0::2], shares[0].frames)
    assert torch.equal(whole.frames[1::2], shares[1].frames)
    with pytest.raises(ValueError, match="cannot be shared by 4"):
        learner_of(world=4)


def test_the_weights_are_what_the_method_loads_and_facts_go_with_them(tmp_path):
    config = replace(TOY, categories=True, guidance="printed", half_weights=True)
    learner = learner_of(config, categories=True)
    assert learner.facts() == {GUIDANCE: "printed", FACT: '[[2, "cat"], [4, "square"]]'}
    path = tmp_path / "w.safetensors"
    metadata = {f"fact.{name}": value for name, value in learner.facts().items()}
    save_file(dict(learner.weights()), path, metadata)
    context = BuildContext("vis", AT_TEST_TIME, "cpu", "fp32", path, 0)
    networks = networks_of(context)
    assert (networks.discovery.categories, networks.discovery.guidance) == (2, "printed")
    assert all(value.dtype == torch.float16 for value in learner.weights().values() if value.is_floating_point())
    assert begin(config, path, 0, 2).discovery.categories == 2
    with pytest.raises(DataError, match="tell 2 categories apart"):
        learner_of(replace(TOY, guidance="printed"), weights=path)


def test_a_file_that_holds_neither_network_nor_trunk_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"lack .* tensors"):
        learner_of(weights=path)


def test_a_frozen_trunk_keeps_its_statistics_and_learns_its_scale():
    learner = learner_of(replace(TOY, frozen_norms=True))
    trunk = learner.network.encoder.trunk
    before = trunk._bn0.running_mean.clone(), trunk._bn0.weight.clone()
    learn(learner, 1)
    assert torch.equal(trunk._bn0.running_mean, before[0])
    assert not torch.equal(trunk._bn0.weight, before[1])


def test_the_learning_rate_falls_to_nothing_as_printed():
    config = replace(TOY, lr=1.0, iterations=16, power=0.5)
    assert [config.learning_rate(k) for k in (0, 12, 15)] == [1, 0.5, 0.25]


def test_presets_are_the_papers_rows_and_what_makes_no_sense_is_refused():
    assert PRESETS["paper-no-guidance"] == replace(PRESETS["paper"], guidance="off")
    assert PRESETS["paper"].scale == (0.8, 1.5)
    for change in ({"crop": 40}, {"iterations": 0, "refiner_iterations": 0}, {"batch": 1}, {"hardest": 0.0}):
        with pytest.raises(ValueError, match=r"found|expected"):
            replace(TOY, **change)
