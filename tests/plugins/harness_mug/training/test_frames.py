"""The stage of single frames before the rounds: which frames, what they are compared with, and that it learns."""

import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import DataError
from harness_mug.training.config import PRESETS, SMALL
from harness_mug.training.files import label_path
from harness_mug.training.frames import FrameLearner, FrameSource, paste
from harness_mug.training.memory import memory_mib
from harness_mug.training.stages import build_frames, build_round, plan_stages, prepare_frames, prepare_round

TINY = replace(
    SMALL,
    initial="none",
    frozen_stages=5,
    size=(48, 96),
    patch=16,
    videos=2,
    segments=2,
    lr=3e-3,
    head_scale=1.0,
    norm_momentum=0.2,
    iterations=2,
    frames_iterations=30,
    frames_batch=6,
    frames_crop=1.0,
    frames_colour=0.0,
)
STAGE = TINY.of_frames()
VIDEOS = 3


def samples_of(toy):
    return context_of(toy).samples


def truths_of(toy, config=TINY):
    """The squares at the size that is looked at: what perfect maps would be."""
    rows, columns = (
        ((np.arange(pixels) + 0.5) * side / pixels).astype(int)
        for side, pixels in zip((64, 96), config.size, strict=True)
    )
    return [toy.squares(8, seed=seed)[1][:, rows][:, :, columns] for seed in range(VIDEOS)]


def context_of(toy, config=TINY, **changes):
    return toy.training_context(config, VIDEOS, **changes)


def learner_of(toy, config=TINY, **changes):
    return FrameLearner(context_of(toy, config, **changes), initial=truths_of(toy, config), begin_from=None)


def source_of(toy, **changes):
    config = replace(STAGE, **changes)
    return FrameSource(samples_of(toy), truths_of(toy, config), config, 0)


def step(learner, iteration):
    """One turn of the loop of ``harness train``."""
    torch.manual_seed(iteration)
    loss, _ = learner.loss(learner.batch(iteration), iteration)
    for group in learner.optimizer().param_groups:
        group["lr"] = learner.learning_rate(iteration) * group.get("lr_scale", 1.0)
    learner.optimizer().zero_grad()
    loss.backward()
    learner.optimizer().step()
    return float(loss.detach())


def test_it_comes_before_the_rounds_and_is_left_out_without_iterations():
    assert [stage.name for stage in plan_stages(TINY)] == ["frames", "round-1", "round-2"]
    assert [stage.is_method for stage in plan_stages(TINY)] == [False, True, True]
    assert [stage.name for stage in plan_stages(replace(TINY, frames_iterations=0))] == ["round-1", "round-2"]
    with_it = {name for name, config in PRESETS.items() if config.frames_iterations}
    assert with_it == {"small-scratch", "small-trunk"}


def test_a_batch_has_a_frame_of_each_video_before_any_has_two(toy):
    source = source_of(toy, flip=0.0)
    batch = source.frames(0, range(6))
    assert batch.frames.shape == (6, 48, 96, 3)
    assert batch.initial.shape == (6, 1, *TINY.grid)
    grounds = [tuple(frame[-1, -1].tolist()) for frame in batch.frames]  # each video's ground is a noise of its own
    assert len(set(grounds[:3])) == 3
    assert sorted(grounds[:3]) == sorted(grounds[3:])


@pytest.mark.parametrize(("crop", "colour"), [(1.0, 0.0), (0.5, 0.4)])
def test_what_is_seen_of_a_frame_lies_under_its_map(toy, crop, colour):
    """Whatever the window, the light and the mirror: the square is bright, the ground is not."""
    source = source_of(toy, size=(96, 192), crop=crop, colour=colour, flip=0.5)
    batch = source.frames(0, range(24))
    inside, outside = [], []
    for frame, shares in zip(batch.frames, batch.initial[:, 0], strict=True):
        light = frame.float().mean(-1).unflatten(1, (-1, 16)).unflatten(0, (-1, 16)).mean((1, 3))
        if (shares > 0.9).any() and (shares < 0.1).any():
            inside.append(light[shares > 0.9].mean())
            outside.append(light[shares < 0.1].mean())
    assert len(inside) > 12
    assert all(bright > 1.5 * dark for bright, dark in zip(inside, outside, strict=True))
    assert 0 <= batch.initial.min() <= batch.initial.max() <= 1


def test_each_frame_has_a_window_and_a_light_of_its_own(toy):
    source = source_of(toy, colour=0.4, flip=0.0)
    same = FrameSource([samples_of(toy)[0]], truths_of(toy)[:1], source.config, 0).frames(0, range(6))
    corners = {tuple(frame[-1, -1].tolist()) for frame in same.frames}
    assert len(corners) > 3
    plain = FrameSource([samples_of(toy)[0]], truths_of(toy)[:1], replace(source.config, colour=0.0), 0)
    assert len({tuple(frame[-1, -1].tolist()) for frame in plain.frames(0, range(6)).frames}) == 1


def test_what_moves_elsewhere_is_laid_over_a_frame_and_its_map(toy):
    plain, pasted = (source_of(toy, frames_paste=often).frames(0, range(24)) for often in (0.0, 1.0))
    assert (pasted.initial - plain.initial).min() >= 0
    grown = (pasted.initial - plain.initial).amax((1, 2, 3)) > 0.3
    assert grown.sum() > 8
    changed = (pasted.frames != plain.frames).any(-1)
    for place in range(24):
        cells = pasted.initial[place, 0] > 0
        reached = torch.nn.functional.max_pool2d(cells[None].float(), 3, 1, 1)[0] > 0  # an edge is blended over a pixel
        assert not (changed[place] & ~reached.repeat_interleave(16, 0).repeat_interleave(16, 1)).any()


def test_what_is_pasted_keeps_its_pixels_and_a_fleck_or_a_whole_frame_is_not_pasted():
    rng = np.random.default_rng(0)
    ground, other = np.full((40, 60, 3), 10, np.uint8), np.full((40, 60, 3), 200, np.uint8)
    nothing, object_mask = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    object_mask[10:30, 20:40] = 1
    pixels, mask = paste(rng, ground, nothing, other, object_mask)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
    outside = cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0
    assert 0.5 * 400 * 0.36 < mask.sum() < 400 * 1.3**2 * 1.1
    assert (pixels[inside] == 200).all()
    assert (pixels[outside] == 10).all()
    fleck, whole = np.zeros((40, 60), np.uint8), np.ones((40, 60), np.uint8)
    fleck[0, :5] = 1
    for odd in (fleck, whole, nothing):
        pixels, mask = paste(rng, ground, nothing, other, odd)
        assert pixels is ground
        assert mask is nothing


def test_ranks_take_their_share_of_one_batch(toy):
    whole = learner_of(toy).batch(3)
    shares = [learner_of(toy, rank=rank, world=2).batch(3) for rank in range(2)]
    for rank, share in enumerate(shares):
        assert torch.equal(whole.frames[rank::2], share.frames)
        assert torch.equal(whole.initial[rank::2], share.initial)
    with pytest.raises(ValueError, match="frames_batch=6 cannot be shared by 4"):
        learner_of(toy, world=4)


def test_no_videos_are_refused():
    with pytest.raises(DataError, match="no videos"):
        FrameSource([], [], STAGE, 0)


def test_the_loss_is_the_frame_s_alone(toy):
    learner = learner_of(toy)
    batch = learner.batch(0)
    loss, terms = learner.loss(batch, 0)
    logits = learner.network.judge(learner.network.embed(learner.images_of(batch.frames)))
    expected = -(batch.initial * logits.sigmoid().log() + (1 - batch.initial) * (1 - logits.sigmoid()).log()).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert terms.keys() == {"frame"}


def test_the_whole_trunk_learns_whatever_the_rounds_freeze(toy):
    learner = learner_of(toy)
    trunk = learner.network.trunk
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    step(learner, 0)
    same = {name for name, value in trunk.state_dict().items() if torch.equal(value, before[name])}
    assert not {name for name in same if not name.endswith("num_batches_tracked")}


def test_of_a_trunk_that_knows_something_the_later_stages_alone_learn(toy):
    learner = learner_of(toy, replace(TINY, frames_frozen_stages=3, frames_norms="frozen"))
    trunk = learner.network.trunk
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    step(learner, 0)
    changed = {name for name, value in trunk.state_dict().items() if not torch.equal(value, before[name])}
    learning = {name for name, value in trunk.named_parameters() if value.requires_grad}
    assert changed == learning
    blocks = {int(name.split(".")[1]) for name in learning if name.startswith("_blocks")}
    assert blocks == set(range(trunk.ends[2] + 1, len(trunk._blocks)))


def test_the_loss_falls_on_a_toy_video_and_single_frames_are_told_right(toy):
    """One batch norm's worth of frames a step; then rho tells square from ground in frames as they are."""
    learner = learner_of(toy)
    told = [step(learner, iteration) for iteration in range(learner.iterations)]
    assert learner.iterations == 30
    assert np.mean(told[-2:]) < 0.6 * told[0]
    learner.network.eval()
    with torch.inference_mode():
        frames = torch.from_numpy(np.stack([sample.read_frame(3) for sample in samples_of(toy)]))
        frames = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).float(), TINY.size).permute(0, 2, 3, 1)
        found = learner.network.judge(learner.network.embed(learner.images_of(frames)))[:, 0]
    truth = torch.from_numpy(np.stack([each[3, 8::16, 8::16] for each in truths_of(toy)])).bool()
    assert found[truth].mean() > found[~truth].mean() + 1


def test_a_resumed_stage_ends_as_an_unbroken_one(toy):
    whole, first, second = (learner_of(toy) for _ in range(3))
    for learner in (whole, first):
        step(learner, 0)
    step(whole, 1)
    for name, network in second.networks().items():
        network.load_state_dict(first.networks()[name].state_dict())
    second.optimizer().load_state_dict(copy.deepcopy(first.optimizer().state_dict()))
    step(second, 1)
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def test_the_first_round_goes_on_from_it_by_the_same_maps(toy, tmp_path):
    folders = [tmp_path / name for name in ("frames", "round-1")]
    for folder in folders:
        folder.mkdir()
    context = context_of(toy, stage="frames", artefacts=folders[0])
    prepare_frames(context, lambda done, total: None)
    learner = build_frames(context)
    step(learner, 0)
    ended = tmp_path / "stage-frames.safetensors"
    save_file(dict(learner.weights()), ended)
    context = replace(context, stage="round-1", artefacts=folders[1], earlier=ended)
    prepare_round(context, lambda done, total: None, turn=1)
    assert not label_path(folders[1], context.samples[0]).exists()
    again = build_round(context, turn=1)
    assert again.source.initial[0].shape == (8, *TINY.grid)
    assert np.array_equal(again.source.initial[0], learner.source.initial[0][:, 8::16, 8::16])
    for name, value in learner.network.state_dict().items():
        assert torch.allclose(value, again.network.state_dict()[name], atol=1e-3, rtol=1e-3), name
    batch = again.batch(0)  # the trunk is frozen from here on: its maps are kept, and are those that it ended with
    images = again.network.normalise(batch.frames.flatten(0, 1).permute(0, 3, 1, 2).float())
    asked = again.network.maps(images)[0]
    assert (batch.maps.flatten(0, 1).float() - asked).abs().max() < 5e-3 * asked.abs().max()


def test_memory_is_that_of_the_larger_stage():
    config = replace(PRESETS["small-scratch"], frames_iterations=1)
    most = replace(config, frames_batch=500)
    assert memory_mib(most) > memory_mib(config) >= memory_mib(replace(config, frames_iterations=0))


@pytest.mark.parametrize(
    "changes",
    [
        {"frames_iterations": -1},
        {"frames_batch": 0},
        {"frames_paste": 1.5},
        {"frames_frozen_stages": 6},
        {"frames_crop": 0.0},
        {"frames_colour": 1.0},
        {"frame": False},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        replace(TINY, **changes)
