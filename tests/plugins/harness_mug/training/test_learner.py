"""A round's learner on toy videos: what it computes, that it learns, and what it leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import DataError
from harness_mug.config import ObjectConfig
from harness_mug.method import Learned, References
from harness_mug.network import TRAINING, load_network
from harness_mug.training import stages
from harness_mug.training.config import SMALL, TrainingConfig
from harness_mug.training.files import label_path, maps_path
from harness_mug.training.learner import MuGLearner
from harness_mug.training.stages import build_round, find_threshold, prepare_round
from harness_mug.training.trained import Parts, begin

TINY = replace(
    SMALL,
    initial="none",
    frozen_stages=0,
    norms="learn",
    keep_maps=False,
    size=(48, 64),
    patch=16,
    videos=2,
    segments=2,
    flip=0.0,
    lr=3e-3,
    head_scale=1.0,
    iterations=12,
)
TERMS = {"read-out", "frame", "short", "long", "video"}


def context_of(toy, config=TINY, videos=2, **changes):
    return toy.training_context(config, videos, **changes)


def truths_of(toy, config=TINY, videos=2):
    """The squares on the cells: what perfect maps would be."""
    found = []
    for seed in range(videos):
        masks = toy.squares(8, seed=seed)[1]
        rows, columns = (
            np.linspace(0, side, cells, endpoint=False) for side, cells in zip((64, 96), config.grid, strict=True)
        )
        found.append(masks[:, rows.astype(int) + 4][:, :, columns.astype(int) + 4])
    return found


def learner_of(toy, config=TINY, predicted=None, begin_from=None, videos=2, **changes):
    return MuGLearner(
        context_of(toy, config, videos, **changes),
        initial=truths_of(toy, config, videos),
        predicted=predicted,
        begin_from=begin_from,
        turn=1,
    )


def folder_in(path):
    """Where the first round's artefacts lie."""
    folder = path / "round-1"
    folder.mkdir()
    return folder


def learn(learner, steps):
    """The loop of ``harness train``; every loss's terms."""
    told = []
    for iteration in range(steps):
        torch.manual_seed(iteration)
        loss, terms = learner.loss(learner.batch(iteration), iteration)
        learner.optimizer().zero_grad()
        loss.backward()
        learner.optimizer().step()
        told.append({name: float(value) for name, value in terms.items()})
    return told


def test_every_granularity_is_computed_and_weighted_as_the_paper_says(toy):
    learner = learner_of(toy)
    loss, terms = learner.loss(learner.batch(0), 0)
    assert set(terms) == TERMS
    video = 0.5 / 12 * terms["video"]  # of 3 x 4 cells: the others are sums over them in print, this one is not
    expected = terms["read-out"] + terms["frame"] + 0.1 * terms["short"] + 0.02 * terms["long"] + video
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["frame", "short", "long", "video"])
def test_one_that_is_switched_off_is_not_computed(toy, name):
    learner = learner_of(toy, replace(TINY, **{name: False}))
    _, terms = learner.loss(learner.batch(0), 0)
    assert set(terms) == TERMS - {name}


def test_without_the_frame_s_loss_the_read_out_tells_the_trunk_nothing(toy):
    config = replace(TINY, frame=False, short=False, long=False, video=False)
    learner = learner_of(toy, config)
    loss, _ = learner.loss(learner.batch(0), 0)
    loss.backward()
    assert all(each.grad is None or not each.grad.any() for each in learner.network.trunk.parameters())
    assert any(each.grad.any() for each in learner.network.upsilon.parameters())


@pytest.mark.slow
def test_losses_fall_on_toy_videos(toy):
    told = learn(learner_of(toy, replace(TINY, size=(96, 128), iterations=20)), 14)
    for name in ("read-out", "frame"):
        assert np.median([each[name] for each in told[-3:]]) < 0.8 * told[0][name]
    assert told[-1]["video"] < told[0]["video"]


@pytest.mark.slow
def test_video_falls_through_phi_on_toy_videos(toy):
    """Four videos, alone. An r that hardly depends on the video tells nothing, log 4 + 3 log 4/3; then all are told."""
    alone = {each: each == "video" for each in ("frame", "short", "long", "video")}
    learner = learner_of(toy, replace(TINY, videos=4, video_weight=12.0, lr=1e-3, iterations=80, **alone), videos=4)
    with torch.no_grad():
        learner.network.match.weight *= 0.01
        learner.network.match.bias.fill_(1.0)
    told = [each["video"] for each in learn(learner, 40)]
    assert told[0] == pytest.approx(np.log(4) + 3 * np.log(4 / 3), rel=0.05)
    assert max(told[-5:]) < 0.2 * told[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("short", 0.3 * 1 / 80), ("long", -1.8)])
def test_short_and_long_fall_through_phi_on_toy_videos(toy, name, most):
    """One batch; neither the bias nor kappa learns. A response of nothing costs the one cell of 80 that is the start,
    and the least that the long term can be is -2."""
    alone = {each: each == name for each in ("frame", "short", "long", "video")}
    learner = learner_of(toy, replace(TINY, size=(128, 160), patch=48, lr=1e-3, **alone))
    learner.parts.requires_grad_(False)
    batch = learner.batch(0)
    learner.batch = lambda iteration: batch
    told = [each[name] for each in learn(learner, 40)]
    assert np.median(told[-5:]) < most < told[0]


def test_the_second_round_s_target_is_mostly_the_first_one_s_answer(toy):
    initial = truths_of(toy)
    learner = learner_of(toy, predicted=[1 - each for each in initial])
    views = learner.look(learner.batch(0))
    batch = learner.batch(0)
    assert torch.allclose(views.targets[:, :, 0], 0.05 * batch.initial.float() + 0.95 * batch.predicted.float())


def test_what_is_frozen_does_not_learn(toy):
    learner = learner_of(toy, replace(TINY, frozen_stages=3, norms="frozen"))
    trunk = learner.network.trunk
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    learn(learner, 1)
    changed = {name for name, value in trunk.state_dict().items() if not torch.equal(value, before[name])}
    third = trunk.ends[2]
    assert changed
    assert all(int(name.split(".")[1]) > third for name in changed)
    assert not any("running" in name for name in changed)


def test_norms_keep_what_frames_look_like_and_nothing_of_patches(toy):
    """Four patches are embedded to each look at frames: with them, test time met norms that had hardly seen a frame."""
    kept = []
    for short in (True, False):
        learner = learner_of(toy, replace(TINY, short=short))
        learner.loss(learner.batch(0), 0)
        kept.append({name: value for name, value in learner.network.trunk.state_dict().items() if "running" in name})
    assert kept[0].keys() == kept[1].keys()
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())
    assert any(value.any() for name, value in kept[0].items() if name.endswith("mean"))


def test_norms_keep_as_much_of_a_batch_as_they_are_told(toy):
    means = []
    for momentum in (None, 0.5):
        learner = learner_of(toy, replace(TINY, norm_momentum=momentum))
        learner.loss(learner.batch(0), 0)
        means.append(learner.network.trunk._bn0.running_mean)
    assert torch.allclose(means[1], 50 * means[0], rtol=1e-4)  # the trunk's own share is .01


def test_a_warm_up_grows_to_the_rate_without_one():
    warm, plain = replace(TINY, warm_up=4), TINY
    shares = [warm.learning_rate(each) / plain.learning_rate(each) for each in range(6)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_weights_are_those_of_a_method_and_of_the_next_round(toy, tmp_path):
    learner = learner_of(toy)
    path = tmp_path / "last.safetensors"
    save_file(dict(learner.weights()), path)
    assert load_network(path).architecture == "small"
    network, parts = begin(TINY, path, seed=5)
    assert torch.allclose(network.rho.weight, learner.network.rho.weight, atol=1e-3)
    assert torch.allclose(parts.kappa.linear.bias, learner.parts.kappa.linear.bias, atol=1e-3)
    assert {name for name in learner.weights() if name.startswith(TRAINING)} == {
        TRAINING + name for name in Parts().state_dict()
    }


def test_a_trunk_of_others_takes_its_place(toy, tmp_path):
    trunk = learner_of(toy).network.trunk
    path = tmp_path / "trunk.safetensors"
    save_file({name: (value * 0 + 2).contiguous() for name, value in trunk.state_dict().items()}, path)
    network, _ = begin(TINY, path, seed=0)
    assert (network.trunk._conv_stem.weight == 2).all()


def test_computing_maps_again_on_the_way_back_gives_the_same_gradient(toy):
    grads = []
    for checkpoint in (False, True):
        learner = learner_of(toy, replace(TINY, checkpoint=checkpoint, norms="frozen"))
        loss, _ = learner.loss(learner.batch(0), 0)
        loss.backward()
        grads.append(learner.network.trunk._conv_stem.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-4 * float(grads[0].abs().max()))


@pytest.mark.parametrize("stages", [1, 3])
def test_maps_that_are_kept_are_those_that_the_trunk_gives(toy, tmp_path, stages):
    """Mirrored ones too: with seeds 0 to 3 both are drawn."""
    config = replace(TINY, frozen_stages=stages, norms="frozen", keep_maps=True, flip=0.5)
    context = context_of(toy, config, stage="round-1", artefacts=folder_in(tmp_path))
    prepare_round(context, lambda done, total: None, turn=1)
    learner = build_round(context, turn=1)
    for iteration in range(4):
        batch = learner.batch(iteration)
        kept = learner.network.maps_from(batch.maps.flatten(0, 1).float(), stages)[0]
        images = learner.network.normalise(batch.frames.flatten(0, 1).permute(0, 3, 1, 2).float())
        asked = learner.network.maps(images)[0]
        assert (kept - asked).abs().max() < 5e-3 * asked.abs().max()


def test_kept_maps_of_another_video_are_refused(toy, tmp_path):
    config = replace(TINY, frozen_stages=5, norms="frozen", keep_maps=True)
    context = context_of(toy, config, stage="round-1", artefacts=folder_in(tmp_path))
    prepare_round(context, lambda done, total: None, turn=1)
    np.save(maps_path(context.artefacts, context.samples[0]), np.zeros((7, 2, 112, 3, 4), np.float16))
    with pytest.raises(DataError, match=r"\(8, 2, 112, any, any\)"):
        build_round(context, turn=1)


def test_a_batch_that_processes_cannot_share_is_refused(toy):
    with pytest.raises(ValueError, match="cannot be shared by 4"):
        learner_of(toy, world=4)
    with pytest.raises(ValueError, match="tells from nothing; set a multiple, or video=false"):
        learner_of(toy, world=2)
    learner_of(toy, replace(TINY, video=False), world=2)


@pytest.fixture
def rounds(toy, tmp_path):
    """Contexts of both rounds, in folders as ``harness train`` has them."""
    made = []
    for name in ("round-1", "round-2"):
        folder = tmp_path / "artefacts" / name
        folder.mkdir(parents=True)
        made.append(context_of(toy, replace(TINY, iterations=2), stage=name, artefacts=folder))
    return made


def test_rounds_follow_each_other_and_labels_are_made_once(rounds, tmp_path):
    first, second = rounds
    told = []
    prepare_round(first, lambda done, total: told.append((done, total)), turn=1)
    assert told[-1] == (16, 16)
    learner = build_round(first, turn=1)
    assert learner.source.predicted is None
    earlier = tmp_path / "stage-round-1.safetensors"
    save_file(dict(learner.weights()), earlier)
    second = replace(second, earlier=earlier)
    prepare_round(second, lambda done, total: None, turn=2)
    again = build_round(second, turn=2)
    assert again.source.predicted[0].shape == (8, *TINY.grid)
    assert set(np.unique(again.source.predicted[0])) <= {0, 1}
    assert torch.allclose(again.network.rho.weight, learner.network.rho.weight, atol=1e-3)


def test_labels_cover_as_much_of_the_frames_as_the_maps_did(toy, tmp_path):
    """Without truth: a ramp of four columns is cut after the first where maps covered a sixth."""
    context = context_of(toy, stage="round-1", artefacts=folder_in(tmp_path))
    for sample in context.samples:
        labels = np.zeros((8, *TINY.grid), np.uint8)
        labels[:, 0, :2] = 1
        np.save(label_path(context.artefacts, sample), labels)

    class Ramp(Learned):
        """A probability that falls from column to column, whatever the frame shows."""

        def __init__(self):
            self.config = ObjectConfig()

        def begin(self, video):
            return References(dict.fromkeys(range(len(video)), ()))

        def rate(self, frame, place, references):
            return torch.linspace(0.9, 0.1, TINY.size[1]).expand(TINY.size)

    threshold = find_threshold(context, Ramp())
    rated = torch.nn.functional.adaptive_avg_pool2d(Ramp().rate(None, 0, None)[None], TINY.grid)
    assert 0.1 < (rated >= threshold).float().mean() < 0.3  # a column of four is a quarter


def test_initial_maps_lie_on_what_stands_out(toy, rounds):
    config = replace(TINY, size=(128, 192))
    first = replace(rounds[0], config=config)
    prepare_round(first, lambda done, total: None, turn=1)
    for sample, truth in zip(first.samples, truths_of(toy, config), strict=True):
        found = np.load(label_path(first.artefacts, sample))
        assert (found & truth).sum() / (found | truth).sum() > 0.5


def test_the_threshold_is_found_among_more_cells_than_torch_ranks(toy, monkeypatch):
    """17 million, of which the initial maps cover a quarter."""
    side = 4100
    rated = torch.linspace(0, 1, side**2).view(side, side)

    class Many(Learned):
        def __init__(self):
            pass

        def begin(self, video):
            return References({0: ()})

        def rate(self, frame, place, references):
            return rated

    monkeypatch.setattr(TrainingConfig, "grid", property(lambda config: (side, side)))
    monkeypatch.setattr(stages, "open_initial", lambda context: [np.array([[[1, 0], [0, 0]]], np.uint8)])
    assert find_threshold(context_of(toy, videos=1), Many()) == pytest.approx(0.75, abs=1e-4)
