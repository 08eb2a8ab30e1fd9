"""The refiner learns from scores of fitted models, alone, and is there again when its weights are loaded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, DataError, TrainingContext
from harness.api.video import Sample
from harness_dtnet.config import SMALL as AT_TEST_TIME
from harness_dtnet.network import build_networks, networks_of
from harness_dtnet.target.refiner import Refiner
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.refinement import RefinerLearner, draw_later, mean_iou, pick_target
from harness_dtnet.training.stages import plan_stages
from harness_dtnet.training.targets import UNKNOWN, VOID

TOY = TrainingConfig(
    architecture="small", iterations=0, refiner_iterations=8, refiner_batch=2, refiner_frames=2, refiner_gap=3,
    refiner_lr=1e-2, refiner_projection=4, refiner_steps=(3, 3), refiner_copies=1, refiner_size=(64, 80),
    half_weights=False,
)  # fmt: skip


def toy(frames=4):
    """A red disc that moves over grey."""
    y, x = np.mgrid[:64, :80]
    truths = np.stack([((y - 32) ** 2 + (x - 24 - 8 * t) ** 2 < 300).astype(np.uint8) for t in range(frames)])
    images = np.where(truths[..., None] > 0, np.uint8((220, 30, 30)), np.uint8((90, 90, 90)))
    return Sample(
        name="toy", length=frames, height=64, width=80, frame_names=tuple(map(str, range(frames))),
        read_frame=lambda t: images[t], digest=lambda: "toy", read_truth=lambda t: truths[t],
    )  # fmt: skip


def learner_of(config=TOY, **more):
    context = TrainingContext(
        samples=[toy()],
        config=config,
        device="cpu",
        precision="fp32",
        weights=more.pop("weights", None),
        seed=0,
        **more,
    )
    return RefinerLearner(context)


def test_the_refiner_learns_and_nothing_else_moves():
    learner = learner_of()
    before = {name: value.clone() for name, value in learner.all.state_dict().items()}
    losses = []
    for iteration in range(6):
        loss, logs = learner.loss(learner.batch(iteration), iteration)
        learner.optimizer().zero_grad()
        loss.backward()
        learner.optimizer().step()
        losses.append(loss.item())
        assert 0 <= logs["iou_of_coarse"] <= 1
    assert min(losses[3:]) < losses[0]
    moved = {name for name, value in learner.all.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("refiner.") for name in moved)


def test_a_batch_is_shared_and_its_first_sample_is_the_frame_itself():
    whole = learner_of().batch(3)
    shares = [learner_of(replace(TOY, refiner_batch=4), rank=rank, world=2).batch(3) for rank in (0, 1)]
    assert torch.equal(shares[0].first[0], whole.first[0])
    assert torch.equal(shares[1].first[0], whole.first[1])
    assert whole.first.shape == (2, 2, 64, 80, 3)
    assert whole.later.shape == (2, 2, 64, 80, 3)
    is_red = whole.first[:, 0, ..., 0] > 200
    assert torch.equal(is_red, whole.first_masks[:, 0] > 0.5)


def test_later_frames_are_later_different_and_near():
    for seed in range(30):
        first, *later = draw_later(np.random.default_rng(seed), (0, 5, 10, 15, 20), 2, 3)
        assert first < later[0] < later[1] <= first + 15


def test_targets_are_large_enough_and_merged_ones_count():
    ids = np.zeros((32, 32), np.uint8)
    assert pick_target(np.random.default_rng(0), ids) is None
    ids[:2], ids[2, :20], ids[4:20] = UNKNOWN, 1, VOID
    assert pick_target(np.random.default_rng(0), ids) == UNKNOWN


def test_iou_of_masks_by_hand():
    found = torch.tensor([[[1, 1, 0]], [[0, 0, 0]]]) > 0
    truth = torch.tensor([[[0, 1, 1]], [[0, 0, 0]]]) > 0
    assert mean_iou(found, truth).item() == pytest.approx((1 / 3 + 1) / 2)


def test_one_map_for_all_targets_and_one_each_are_the_same():
    refiner = Refiner((3, 4, 5), 8).eval()
    maps = [torch.randn(1, c, *size) for c, size in ((3, (12, 16)), (4, (6, 8)), (5, (3, 4)))]
    scores = torch.randn(2, 3, 4)
    with torch.inference_mode():
        together = refiner(scores, maps)
        alone = torch.cat([refiner(each[None], maps) for each in scores])
        each = refiner(scores, [part.expand(2, -1, -1, -1) for part in maps])
        refiner.fold()
        folded = refiner(scores, maps)
    assert together.shape == (2, 12, 16)
    for other in (alone, each, folded):
        assert torch.allclose(together, other, atol=1e-4)


def test_stages_follow_the_config():
    names = [[stage.name for stage in plan_stages(replace(TOY, iterations=a, refiner_iterations=b))]
             for a, b in ((1, 1), (1, 0), (0, 1))]  # fmt: skip
    assert names == [["discovery", "refiner"], ["discovery"], ["refiner"]]


def test_weights_with_a_refiner_use_it_unless_told_and_weights_without_say_so(tmp_path):
    networks = build_networks("small")
    bare, full = tmp_path / "bare.safetensors", tmp_path / "full.safetensors"
    save_file(networks.state_dict(), bare)
    learner = learner_of(earlier=bare)
    save_file(dict(learner.weights()), full)

    def load(path, how):
        return networks_of(BuildContext("vis", replace(AT_TEST_TIME, refiner=how), "cpu", "fp32", path, 0)).refiner

    assert isinstance(load(full, "auto"), Refiner)
    assert load(full, "none") is None
    assert load(bare, "auto") is None
    with pytest.raises(DataError, match="have no refiner"):
        load(bare, "decoder")
    assert isinstance(load(None, "decoder"), Refiner)
    assert isinstance(learner_of(weights=full).refiner, Refiner)


def test_a_video_too_short_is_named():
    with pytest.raises(DataError, match="more than 5 annotated frames"):
        learner_of(replace(TOY, refiner_frames=5, refiner_gap=5))
