"""The loss by hand, who learns and who follows, what is written, and that learning works and can be resumed."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import Learner, Sample, TrainingContext
from harness_selfsup.frames.lab import to_lab
from harness_selfsup.network import build_encoder, load_checkpoint
from harness_selfsup.training.config import PAIRWISE, TrainingConfig
from harness_selfsup.training.learner import (
    ClipBatch,
    ReconstructionLearner,
    follow,
    on_pixels,
    photometric_loss,
    reconstruct,
    without_channel,
)
from harness_selfsup.training.network import TrainedEncoder, keep_features, scale_features

PAIRS = replace(
    PAIRWISE, drop=1.0, iterations=4, batch=2, size=16, radius=2, intervals=(1,), interval_probabilities=(1.0,)
)
CLIPS = replace(PAIRS, references=2, momentum_encoder=True, lr=1e-4, halve_at=())


def moving(length: int = 6, seed: int = 0) -> Sample:
    """A smooth colourful texture that moves by two pixels a frame; its truth must never be asked for."""
    noise = torch.rand((1, 3, 6, 9), generator=torch.Generator().manual_seed(seed))
    texture = torch.nn.functional.interpolate(noise, (24, 36), mode="bicubic")[0].clamp(0, 1)
    pixels = (texture * 255).byte().permute(1, 2, 0).numpy()

    def read(t: int) -> np.ndarray:
        return np.roll(pixels, 2 * t, 1)

    return Sample(f"moving-{seed}", length, 24, 36, tuple(map(str, range(length))), read, digest=lambda: "")


def learner(
    config: TrainingConfig,
    *,
    samples: Sequence[Sample] = (),
    weights: Path | None = None,
    rank: int = 0,
    world: int = 1,
) -> ReconstructionLearner:
    context = TrainingContext(samples or [moving()], config, "cpu", "fp32", weights, 0, rank, world)
    return ReconstructionLearner(context)


def step(learner: ReconstructionLearner, iteration: int, batch: ClipBatch | None = None) -> float:
    optimizer = learner.optimizer()
    for group in optimizer.param_groups:
        group["lr"] = learner.learning_rate(iteration)
    optimizer.zero_grad(set_to_none=True)
    loss, _ = learner.loss(batch or learner.batch(iteration), iteration)
    loss.backward()
    optimizer.step()
    learner.after_step(iteration)
    return loss.item()


def test_a_reconstruction_by_hand() -> None:
    """One cell, two references: logits ln 3 and 0, so weights 3/4 and 1/4."""
    query = torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1)
    memory = [torch.tensor([1.0, 5.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)]
    colours = [torch.full((1, 1, 1, 1), 8.0), torch.full((1, 1, 1, 1), 4.0)]
    rebuilt = reconstruct(query, memory, colours, 0, mask_outside=False)
    assert rebuilt.colours.item() == pytest.approx(3 / 4 * 8 + 1 / 4 * 4)
    assert rebuilt.peak.item() == pytest.approx(3 / 4)
    assert rebuilt.entropy.item() == pytest.approx((3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)) / math.log(2))


def test_what_one_frame_hides_the_memory_shows() -> None:
    """A texture moves by a cell a frame; in t - 1 a block of it lies behind something that it never was.

    Every place of the texture has a code of its own, so the right answer is known: with t - 1 alone what was hidden
    comes out in the colour of the obstacle, with t - 3 beside it every cell comes out in its own.
    """
    texture = torch.arange(1, 65).reshape(8, 8)  # the place of each cell, 0 is the obstacle
    near, far = texture.roll(-1, 1), texture.roll(-3, 1)
    near[2:5, 2:5] = 0
    colour_of = torch.cat([torch.tensor([500.0]), torch.arange(1.0, 65.0)])

    def show(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes = torch.nn.functional.one_hot(places, 65).permute(2, 0, 1)[None] * 10.0  # logits of 100 where they agree
        return codes, colour_of[places][None, None]

    (query, truth), (key, value), (old_key, old_value) = show(texture), show(near), show(far)
    inside = (..., slice(None), slice(3, 8))  # cells that the roll did not take round the edge
    hidden = torch.zeros(8, 8, dtype=torch.bool)
    hidden[2:5, 3:6] = True
    alone = reconstruct(query, [key], [value], 3, mask_outside=True).colours
    wrong = (alone - truth).abs()[0, 0] > 0.5
    assert wrong[:, 3:].equal(hidden[:, 3:])
    both = reconstruct(query, [old_key, key], [old_value, value], 3, mask_outside=True).colours
    assert torch.allclose(both[inside], truth[inside])


def test_what_lies_outside_takes_part_unless_masked() -> None:
    """One cell, a window of 9: eight of them outside, with logit 0 and colour 0."""
    query = memory = torch.full((1, 1, 1, 1), math.log(8.0) ** 0.5)  # logit ln 8
    colours = torch.full((1, 1, 1, 1), 6.0)
    assert reconstruct(query, [memory], [colours], 1, mask_outside=False).colours.item() == pytest.approx(3.0)
    masked = reconstruct(query, [memory], [colours], 1, mask_outside=True)
    assert masked.colours.item() == pytest.approx(6.0)
    assert masked.peak.item() == pytest.approx(1.0)


def test_the_loss_by_hand() -> None:
    """Errors of .02 and .2, times 20: .4 is squared, 4 is not (smooth-L1 with a corner at 1)."""
    prediction = torch.zeros(1, 1, 1, 1)
    truth = torch.tensor([0.02, 0.2]).repeat(8).reshape(1, 1, 4, 4)
    loss = photometric_loss(prediction, truth, 20.0, is_aligned=False)
    assert loss.item() == pytest.approx((0.4**2 / 2 + (4 - 1 / 2)) / 2)


def test_aligned_means_cell_i_on_pixel_4i() -> None:
    truth = torch.arange(12.0).repeat(12, 1)[None, None]  # a ramp along x
    cells = truth[..., ::4, ::4]
    there, expected = on_pixels(cells, truth, is_aligned=True)
    assert there.shape[-2:] == (9, 9)
    assert torch.allclose(there, expected)
    shifted, whole = on_pixels(cells, truth, is_aligned=False)
    assert torch.allclose((shifted - whole)[..., 2:-2], torch.tensor(-1.5))  # MAST's shift


def test_a_dropped_channel_is_gone_and_the_others_are_scaled() -> None:
    lab = torch.rand(2, 2, 3, 4, 4) + 0.1
    for dropped in (1, 2):
        seen = without_channel(lab, dropped, 1.5)
        kept = 3 - dropped
        assert not seen[:, :, dropped].any()
        assert torch.equal(seen[:, :, 0], lab[:, :, 0] * 1.5)
        assert torch.equal(seen[:, :, kept], lab[:, :, kept] * 1.5)
    assert torch.equal(without_channel(lab, None, 1.5), lab)


def test_the_hidden_channel_of_the_target_reaches_nothing_but_the_loss() -> None:
    """Change the hidden colours of all frames: the attention must not move."""
    trained = learner(replace(PAIRS, jitter=0.0))
    batch = trained.batch(0)
    dropped = trained.source.draw_channel(0)
    lab = to_lab(batch.clips.flatten(0, 1))
    other = lab.clone()
    other[:, dropped] += 0.3
    one, two = (trained.query.eval()(without_channel(images, dropped, 1.5)) for images in (lab, other))
    assert torch.equal(one, two)


def test_it_is_a_learner_of_frames_alone() -> None:
    for config in (PAIRS, CLIPS, replace(PAIRS, symmetric=True), replace(PAIRS, drop=0.0)):
        trained = learner(config)
        assert isinstance(trained, Learner)
        loss, logs = trained.loss(trained.batch(0), 0)
        assert math.isfinite(loss.item())
        assert set(logs) == {"error", "error_of_copying", "attention_peak", "attention_entropy"}
        assert not any(value.requires_grad for value in logs.values())


def test_no_gradient_reaches_phi_r() -> None:
    trained = learner(CLIPS)
    assert trained.memory is not None
    before = copy.deepcopy(trained.memory.state_dict())
    loss, _ = trained.loss(trained.batch(0), 0)
    loss.backward()
    assert all(parameter.grad is None for parameter in trained.memory.parameters())
    assert all(parameter.grad is not None for parameter in trained.query.parameters())
    assert all(torch.equal(before[name], value) for name, value in trained.memory.named_parameters())
    learning = {id(parameter) for group in trained.optimizer().param_groups for parameter in group["params"]}
    assert learning == {id(parameter) for parameter in trained.query.parameters()}


def test_the_gap_shrinks_by_the_momentum() -> None:
    """Zhu et al. 2020, eq. 8 with a constant theta_q: after n steps .999^n of the gap is left."""
    trained = learner(CLIPS)
    assert trained.memory is not None
    for parameter in trained.memory.parameters():
        parameter.data.add_(1.0)
    for n in range(5):
        trained.after_step(n)
    for own, other in zip(trained.memory.parameters(), trained.query.parameters(), strict=True):
        assert torch.allclose(own - other, torch.tensor(0.999**5), atol=1e-5)


def test_statistics_of_batch_norms_are_copied() -> None:
    one, two = (torch.nn.BatchNorm2d(2) for _ in range(2))
    one.running_mean.fill_(3.0)
    one.num_batches_tracked.fill_(7)
    follow(two, one, 0.999)
    assert torch.equal(two.running_mean, one.running_mean)
    assert two.num_batches_tracked == 7


def test_without_a_momentum_encoder_references_learn_too() -> None:
    trained = learner(replace(CLIPS, momentum_encoder=False))
    assert trained.memory is None
    assert set(trained.networks()) == {"query"}
    assert math.isfinite(step(trained, 0))


@pytest.mark.slow
def test_steps_lower_the_loss_of_a_fixed_batch() -> None:
    trained = learner(replace(PAIRS, iterations=100, warm_up=0, jitter=0.0))
    batch = trained.batch(0)
    losses = [step(trained, 0, batch) for _ in range(24)]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_a_resumed_training_ends_as_an_unbroken_one() -> None:
    whole, first, second = (learner(replace(CLIPS, batch=1)) for _ in range(3))
    for trained in (whole, first):
        step(trained, 0)
    step(whole, 1)
    for name, network in second.networks().items():
        network.load_state_dict(first.networks()[name].state_dict())
    second.optimizer().load_state_dict(copy.deepcopy(first.optimizer().state_dict()))
    step(second, 1)
    for name, network in whole.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, second.networks()[name].state_dict()[key]), f"{name} {key}"


def test_ranks_take_their_share_of_one_batch() -> None:
    whole = learner(PAIRS).batch(0).clips
    shares = [learner(PAIRS, rank=rank, world=2).batch(0).clips for rank in range(2)]
    assert torch.equal(whole, torch.cat(shares))
    with pytest.raises(ValueError, match="batch=2 cannot be shared by 3"):
        learner(PAIRS, world=3)


def test_weights_are_masts_in_half_precision(tmp_path: Path) -> None:
    trained = learner(CLIPS)
    weights = trained.weights()
    assert set(weights) == set(build_encoder().state_dict())
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    save_file(dict(weights), tmp_path / "one.safetensors")
    assert load_checkpoint(tmp_path / "one.safetensors").memory is None
    both = learner(replace(CLIPS, export_momentum=True)).weights()
    save_file(dict(both), tmp_path / "two.safetensors")
    assert load_checkpoint(tmp_path / "two.safetensors").memory is not None


def test_the_folded_encoder_answers_as_the_trained_one() -> None:
    trained = learner(PAIRS)
    for iteration in range(3):
        step(trained, iteration)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network = trained.query.eval()
    with torch.no_grad():
        assert torch.allclose(network(images), network.fold().eval()(images), atol=1e-4)


def test_training_goes_on_where_weights_end(tmp_path: Path) -> None:
    """The norm of a training that begins from weights changes none of their features."""
    encoder = build_encoder(5)
    save_file(encoder.state_dict(), tmp_path / "begun.safetensors")
    trained = learner(CLIPS, weights=tmp_path / "begun.safetensors")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert trained.memory is not None
    with torch.no_grad():
        expected = encoder.eval()(images)
        assert torch.allclose(trained.query.eval()(images), expected, atol=1e-5)
        assert torch.allclose(trained.memory.eval()(images), expected, atol=1e-5)


def test_an_untrained_encoder_begins_with_the_spread_asked_for() -> None:
    for is_normed in (True, False):
        trained = learner(replace(PAIRS, feature_spread=2.0, feature_norm=is_normed))
        found = trained._spread(trained.query, trained._first_images())
        assert found == pytest.approx(2.0, rel=1e-3)


def test_a_network_without_norm_is_the_bare_encoder() -> None:
    network = TrainedEncoder(build_encoder(0), is_normed=False)
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    keep_features(network, images)  # nothing to set
    with torch.no_grad():
        before = network.eval()(images)
        scale_features(network, 2.0)
        assert torch.allclose(network(images), 2 * before, atol=1e-5)


def test_batch_norms_see_each_place_of_the_clips_apart_as_in_mast() -> None:
    together, apart = (learner(replace(PAIRS, norms=norms, feature_norm=False)) for norms in ("joint", "apart"))
    assert all(
        torch.equal(one, other) for one, other in zip(*(x.query.parameters() for x in (together, apart)), strict=True)
    )
    lab = together._lab(together.batch(0).clips)
    alone = copy.deepcopy(apart.query)
    expected = torch.stack([alone(lab[:, k]) for k in range(2)], 1)
    features, _ = apart._features(lab)
    assert torch.allclose(torch.stack([features[0], features[1]], 1), expected, atol=1e-5)
    joint, _ = together._features(lab)
    assert not torch.allclose(joint[0], features[0], atol=1e-2)
    assert all(torch.equal(a, b) for a, b in zip(apart.query.buffers(), alone.buffers(), strict=True))
