"""The losses and gradients are right, a tiny clip is learnt, and a resumed run equals an unbroken one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from harness import DataError
from harness_tvos.network import build_network, load_checkpoint, network_for
from harness_tvos.recipe.choose_scale import main as choose_scale
from harness_tvos.recipe.clips import PASTED, Augmentation, ClipSource
from harness_tvos.recipe.held_out import propagate, region_similarity
from harness_tvos.recipe.train_default import in_halves, main
from harness_tvos.training import (
    ClipBatch,
    Training,
    TrainingConfig,
    correspondence_loss,
    majority_labels,
    normalised,
    propagate_labels,
    propagation_loss,
    rescale_features,
    soften_logits,
)

TINY = TrainingConfig(iterations=4, clips=1, crop=32, late_crop=48, late_from=0.5, warm_up=1)


def random_features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def write_video(root: Path, video: str, frames: int, seed: int) -> None:
    """A textured disc that moves one way over a texture that moves the other, 64 x 96."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (64, 160, 3)).astype(np.uint8), (0, 0), 2)
    skin = cv2.GaussianBlur(rng.integers(0, 255, (64, 96, 3)).astype(np.uint8), (0, 0), 2) // 2 + 120
    rows, columns = np.mgrid[:64, :96]
    for part in ("JPEGImages", "Annotations"):
        (root / part / "240p" / video).mkdir(parents=True)
    for t in range(frames):
        mask = (rows - 32) ** 2 + (columns - 30 - 2 * t) ** 2 < 15**2
        image = np.where(mask[..., None], np.roll(skin, 2 * t, 1), ground[:, 2 * t : 2 * t + 96]).astype(np.uint8)
        cv2.imwrite(str(root / f"JPEGImages/240p/{video}/{t:05d}.jpg"), image)
        cv2.imwrite(str(root / f"Annotations/240p/{video}/{t:05d}.png"), mask.astype(np.uint8) * 255)


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: Path) -> Path:
    for seed, video in enumerate(("disc", "wheel", "motorbike", "rollerblade", "surf")):
        write_video(tmp_path / "data", video, 12, seed)
    return tmp_path / "data"


def test_the_loss_is_minus_the_log_of_the_propagated_share() -> None:
    # One target (2, 0); references (1, 0), (0, 1), (0, 0) of labels 1, 0, 1: shares e^2, 1, 1.
    target = torch.tensor([[[2.0], [0.0]]])
    references = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    labels = torch.tensor([[1, 0, 1]])
    share = (math.exp(2) + 1) / (math.exp(2) + 2)
    assert propagate_labels(target, references, labels, 2)[0, 0, 1].item() == pytest.approx(share)
    loss = propagation_loss(target, references, torch.tensor([[1]]), labels)
    assert loss.item() == pytest.approx(-math.log(share))


def test_cells_whose_label_no_reference_has_are_left_out() -> None:
    target, references = random_features(1, 4, 2), random_features(1, 4, 3, seed=1)
    labels = torch.tensor([[0, 1, 0]])
    both = propagation_loss(target, references, torch.tensor([[1, 7]]), labels)
    assert both.item() == pytest.approx(
        propagation_loss(target[..., :1], references, torch.tensor([[1]]), labels).item()
    )
    assert propagation_loss(target, references, torch.tensor([[7, 7]]), labels).item() == 0


def test_the_loss_has_the_gradient_of_finite_differences() -> None:
    target, references = random_features(2, 3, 4).requires_grad_(), random_features(2, 3, 5, seed=1).requires_grad_()
    own, labels = torch.tensor([[0, 1, 1, 9], [0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 0, 0], [1, 0, 1, 0, 1]])
    assert torch.autograd.gradcheck(lambda t, r: propagation_loss(t, r, own, labels), (target, references))


def test_a_saturated_wrong_match_still_has_a_gradient() -> None:
    target = torch.tensor([[[100.0], [0.0]]], requires_grad=True)
    references = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    loss = propagation_loss(target, references, torch.tensor([[1]]), torch.tensor([[0, 1]]))
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert target.grad is not None
    assert target.grad.flatten().tolist() == pytest.approx([1, -1])


def test_the_correspondence_loss_is_zero_for_a_sharp_right_match_and_high_for_a_wrong_one() -> None:
    features = 50 * torch.eye(9).reshape(1, 9, 3, 3)
    rows, columns = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    same = torch.stack([columns, rows], -1)[None]
    known = torch.ones(1, 3, 3, dtype=torch.bool)
    assert correspondence_loss(features, features, same, known, 0.5).item() == pytest.approx(0, abs=1e-6)
    # One cell off at width .5: the log label is -1 / (2 * .25) = -2; in the last column the nearest cell is the match.
    beside = same + torch.tensor([1.0, 0.0])
    off = correspondence_loss(features, features, beside, known & (columns < 2), 0.5).item()
    assert off == pytest.approx(2, abs=1e-6)
    assert correspondence_loss(features, features, beside, ~known, 0.5).item() == 0


def test_labels_are_the_commonest_id_of_each_block_also_at_a_ragged_edge() -> None:
    ids = torch.zeros(1, 8, 20, dtype=torch.uint8)
    ids[0, :5, :8] = 3
    ids[0, :, 8:12] = 1
    ids[0, :, 16:] = 2
    assert majority_labels(ids, 4).tolist() == [[[3, 0, 2]]]


def test_the_schedule_warms_up_falls_to_the_end_and_crops_grow() -> None:
    config = TrainingConfig(iterations=100, warm_up=10, lr=1.0, final_lr=0.1, crop=64, late_crop=96, late_from=0.5)
    assert config.lr_at(0) == pytest.approx(1 / 10)
    assert config.lr_at(10) == pytest.approx(1)
    assert config.lr_at(55) == pytest.approx((1 + 0.1) / 2)
    assert config.lr_at(100) == pytest.approx(0.1)
    assert [config.crop_at(i) for i in (0, 49, 50)] == [64, 64, 96]


def test_softened_features_have_small_dot_products() -> None:
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    drawn, softened = build_network("r18"), build_network("r18")
    soften_logits(softened, scale=0.24)
    assert drawn(images).square().sum(1).mean() > 300
    assert 5 < softened(images).square().sum(1).mean() < 40


@pytest.mark.parametrize("architecture", ["r18", "r50"])
def test_rescaled_features_are_the_features_times_the_scale(architecture: str) -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build_network(architecture)
    network(images)  # batch norms get statistics of their own
    network.eval()
    with torch.no_grad():
        before = network(images)
        rescale_features(network, 1.5)
        assert torch.allclose(network(images), 1.5 * before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


def test_two_frames_of_a_clip_are_learnt(tree: Path) -> None:
    source = ClipSource(tree, ["disc", "wheel"], Augmentation(on_object=1.0))
    config = TrainingConfig(iterations=12, clips=1, crop=48, frames=2, warm_up=1, late_from=2.0)
    network = build_network("r18")
    soften_logits(network, scale=0.24)
    training = Training(network, config)
    batch = source.batch(config, 3)
    reports = [training.step(batch) for _ in range(config.iterations)]
    assert reports[-1].right > reports[0].right + 0.05
    assert reports[-1].propagation < reports[0].propagation / 2
    assert reports[-1].correspondence < reports[0].correspondence


def test_batches_are_a_function_of_seed_and_iteration(tree: Path) -> None:
    source = ClipSource(tree, ["disc", "wheel"])
    one, again, later = source.batch(TINY, 1), source.batch(TINY, 1), source.batch(TINY, 2)
    assert torch.equal(one.frames, again.frames)
    assert torch.equal(one.matches, again.matches)
    assert one.frames.shape == (1, 3, 32, 32, 3)
    assert later.frames.shape == (1, 3, 48, 48, 3)
    assert one.matches.shape == (1, 2, 4, 4, 2)


def test_matches_follow_the_pixels(tree: Path) -> None:
    source = ClipSource(tree, ["disc", "wheel"], Augmentation(paste=0.0, clip_colour=0.0, frame_colour=0.0))
    config = TrainingConfig(clips=8, crop=48, late_from=2.0)
    batch = source.batch(config, 0)
    matched, unmoved = [], []
    for clip in range(8):
        for row, column in batch.is_matched[clip, 0].nonzero().tolist():
            x, y = (batch.matches[clip, 0, row, column] * 8 + 3.5).round().long().clamp(0, 47).tolist()
            here = batch.frames[clip, 0, row * 8 + 3, column * 8 + 3].float()
            matched.append((here - batch.frames[clip, 1, y, x].float()).abs().mean().item())
            unmoved.append((here - batch.frames[clip, 1, row * 8 + 3, column * 8 + 3].float()).abs().mean().item())
    assert len(matched) > 50
    assert np.mean(matched) < np.mean(unmoved) / 2


def test_pasted_objects_have_their_own_id_and_no_matches(tree: Path) -> None:
    source = ClipSource(tree, ["disc", "wheel"], Augmentation(paste=1.0))
    batch = source.batch(TrainingConfig(clips=8, crop=64, late_from=2.0), 0)
    assert set(batch.ids.unique().tolist()) == {0, 1, PASTED}
    centres = batch.ids[:, 0, 3::8, 3::8]
    assert not (batch.is_matched[:, 0] & (centres == PASTED)).any()


def run_steps(training: Training, source: ClipSource, steps: int) -> Training:
    for _ in range(steps):
        training.step(source.batch(training.config, training.iteration))
    return training


def test_a_resumed_run_equals_an_unbroken_one(tree: Path, tmp_path: Path) -> None:
    source = ClipSource(tree, ["disc", "wheel"])
    unbroken = run_steps(Training(build_network("r18"), TINY), source, 4)
    run_steps(Training(build_network("r18"), TINY), source, 2).save(tmp_path / "checkpoint.pt")
    resumed = Training(build_network("r18", seed=9), TINY)
    resumed.resume(tmp_path / "checkpoint.pt")
    assert resumed.iteration == 2
    run_steps(resumed, source, 2)
    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_resuming_with_another_config_is_refused(tmp_path: Path) -> None:
    Training(build_network("r18"), TINY).save(tmp_path / "checkpoint.pt")
    other = Training(build_network("r18"), TrainingConfig(**{**vars(TINY), "lr": 0.5}))
    with pytest.raises(DataError, match=r"lr = 0.002, now 0.5"):
        other.resume(tmp_path / "checkpoint.pt")


def test_the_recipe_goes_on_where_it_was_and_exports_loadable_halves(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--data", str(tree), "--out", str(out), "--check-every", "100"]
    options += [f"--set={name}={value}" for name, value in (("clips", 1), ("crop", 32), ("late_crop", 32))]
    for iterations in ("1", "2"):
        result = CliRunner().invoke(main, [*options, "--iterations", iterations], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    lines = (out / "log.jsonl").read_text().splitlines()
    assert sum('"untrained"' in line for line in lines) == 1
    assert '"iteration": 2, "held_out"' in lines[-1]
    assert (out / "weights.safetensors").stat().st_size < 14e6
    assert network_for(load_checkpoint(out / "weights.safetensors")).architecture == "r18"


def test_the_chosen_temperature_is_folded_into_the_weights(tree: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_file(in_halves(build_network("r18")), before, {"seed": "0"})
    options = ["--data", str(tree), "--temperature", "4", "--frames", "3", str(before), str(after)]
    result = CliRunner().invoke(choose_scale, options, catch_exceptions=False)
    assert json.loads(result.output)["temperature"] == 4
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, two = (network_for(load_checkpoint(path)).eval()(images) for path in (before, after))
    assert torch.allclose(two, 2 * one, rtol=1e-2, atol=1e-3 * one.max().item())
    with safe_open(after, "pt") as file:
        assert file.metadata() == {"seed": "0", "folded_temperature": "4.0"}


def test_a_still_video_keeps_its_first_mask() -> None:
    rng = np.random.default_rng(0)
    frame = torch.from_numpy(cv2.resize(rng.integers(0, 255, (8, 12, 3)).astype(np.uint8), (96, 64)))
    first = np.zeros((64, 96), bool)
    first[16:48, 24:72] = True
    network = build_network("r18")
    for _ in range(20):
        network(normalised(frame[None]))  # batch norms learn the statistics of the frame
    masks = propagate(network, frame.repeat(4, 1, 1, 1), first)
    assert region_similarity(masks, np.repeat(first[None], 4, 0)) > 0.85


def test_region_similarity_leaves_out_the_ends_and_counts_two_empty_masks_as_one() -> None:
    masks, truth = np.zeros((4, 2, 2), bool), np.zeros((4, 2, 2), bool)
    masks[1, 0] = True
    truth[1, 0, 0] = True
    masks[0] = True
    assert region_similarity(masks, truth) == pytest.approx((1 / 2 + 1) / 2)


def test_a_video_without_as_many_masks_as_frames_is_refused(tree: Path) -> None:
    next((tree / "Annotations/240p/disc").glob("*.png")).unlink()
    with pytest.raises(DataError, match=r"'disc' has 12 frames under JPEGImages and 11 masks"):
        ClipSource(tree, ["disc"])


def test_batches_hold_plain_tensors(tree: Path) -> None:
    batch = ClipSource(tree, ["disc", "wheel"]).batch(TINY, 0)
    assert isinstance(batch, ClipBatch)
    assert (batch.frames.dtype, batch.ids.dtype, batch.is_matched.dtype) == (torch.uint8, torch.uint8, torch.bool)
