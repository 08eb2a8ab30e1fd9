"""What each loss of a round is given: which frames, which pair, which references, by frames that tell their place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness_mug.network import Embedding
from harness_mug.training import learner as module
from harness_mug.training.clips import VideoBatch
from harness_mug.training.config import SMALL
from harness_mug.training.learner import MuGLearner, Views

CONFIG = replace(
    SMALL,
    initial="none",
    frozen_stages=0,
    keep_maps=False,
    size=(64, 96),
    patch=32,
    videos=2,
    segments=3,
    share_clip=False,
    response=0.25,
)
GRID = CONFIG.grid
NAMES = torch.arange(7.0) + 10 * torch.arange(1.0, 3.0)[:, None]
"""What every value of a frame is: 10 to 12 are the first video's segments, 13 its instance, 14 to 16 its clip."""
NOTHING = torch.tensor(0.0)


@pytest.fixture
def learner(toy):
    labels = [np.zeros((8, *GRID), np.uint8)] * 2
    made = MuGLearner(toy.training_context(CONFIG, 2), initial=labels, predicted=None, begin_from=None, turn=1)
    made.network.track = torch.nn.Identity()
    return made


def views():
    def fill(*shape):
        return NAMES.view(2, 7, *[1] * len(shape)).expand(2, 7, *shape).contiguous()

    x, match = fill(128, *GRID).flatten(0, 1), fill(64, *GRID).flatten(0, 1)
    return Views(fill(3, 64, 96), Embedding(x, match, ()), fill(1, *GRID))


def batch(**changes):
    return VideoBatch(*[NOTHING] * len(VideoBatch._fields))._replace(**changes)


def names(values):
    """The frames that a tensor holds, by its first entries; (B, ...) or (B, F, ...)."""
    return values[..., 0, 0, 0].int().tolist()


def test_the_short_term_is_given_the_clip_its_start_and_a_deviation_in_cells(learner, monkeypatch):
    told = {}

    def follow(images, features, start, embed, bias, *, side, stride):
        told.update(images=names(images), features=names(features), start=start, embed=embed, bias=bias)
        told.update(side=side, stride=stride)
        return torch.full((2, *GRID), 0.5), start + 1

    def short_loss(response, start, deviation):
        told.update(response=response, centre=start, deviation=deviation)
        return NOTHING

    monkeypatch.setattr(module, "follow", follow)
    monkeypatch.setattr(module, "short_loss", short_loss)
    start = torch.tensor([[1, 2], [2, 3]])
    learner.short(views(), batch(start=start))
    assert told["images"] == told["features"] == [[14, 15, 16], [24, 25, 26]]
    assert (told["embed"], told["bias"]) == (learner.embed_patches, learner.parts.bias)
    assert (told["side"], told["stride"]) == (2, 16)
    assert told["start"].tolist() == told["centre"].tolist() == start.tolist()  # not where the way back ended
    assert told["response"].shape == (2, *GRID)
    assert told["deviation"] == 0.25 * 2  # of a patch of two cells


def test_the_long_term_is_given_the_two_segments_of_each_pair(learner, monkeypatch):
    told = {}

    def long_loss(one, other, kappa):
        told.update(one=names(one), other=names(other), kappa=kappa)
        return NOTHING, None

    monkeypatch.setattr(module, "long_loss", long_loss)
    learner.long(views(), batch(pair=torch.tensor([[0, 2], [2, 1]])))
    assert told == {"one": [10, 22], "other": [12, 21], "kappa": learner.parts.kappa}


def gather(learner, monkeypatch):
    """Have r be its frame alone, and return where (frame, references) of each are noted."""
    told = []

    def represent(own, references):
        (features,) = own
        told.append((int(features[0, 0, 0]), [int(each[0][0, 0, 0]) for each in references]))
        return features

    monkeypatch.setattr(learner.network, "represent", represent)
    return told


def test_each_segment_s_frame_is_compared_with_the_others_alone(learner, monkeypatch):
    told = gather(learner, monkeypatch)
    found = learner.represent(views(), detach=False)
    first = [(10, [11, 12]), (11, [10, 12]), (12, [10, 11])]
    assert told == [*first, *((own + 10, [each + 10 for each in others]) for own, others in first)]
    assert names(found) == [[10, 11, 12], [20, 21, 22]]


def test_the_video_s_query_and_its_instance_are_compared_with_the_query_s_references(learner, monkeypatch):
    told = gather(learner, monkeypatch)
    compared = {}

    def scores(queries, instances, temperature):
        compared.update(queries=queries[:, 0].tolist(), instances=instances[:, 0].tolist(), temperature=temperature)
        return torch.eye(2)

    def video_loss(score, which):
        compared.update(which=which.tolist())
        return NOTHING

    monkeypatch.setattr(module, "scores", scores)
    monkeypatch.setattr(module, "video_loss", video_loss)
    learner.video(views(), batch(query=torch.tensor([1, 0]), which=torch.tensor([5, 2])))
    assert told == [(11, [10, 12]), (13, [10, 12]), (20, [21, 22]), (23, [21, 22])]
    temperature = CONFIG.temperature
    assert compared == {"queries": [11, 20], "instances": [13, 23], "temperature": temperature, "which": [5, 2]}


def test_the_read_out_is_given_each_segment_s_frame_and_its_target(learner, monkeypatch):
    told = {}

    def read_out(representations, frames):
        told.update(r=names(representations), frames=names(frames.match))
        return torch.zeros(6, 1, *GRID)

    def frame_loss(logits, target):
        told.update(targets=names(target))
        return NOTHING

    monkeypatch.setattr(learner.network, "read_out", read_out)
    monkeypatch.setattr(module, "frame_loss", frame_loss)
    seen = views()
    learner.read_out(seen, seen.embedding.match.unflatten(0, (2, 7))[:, :3])
    assert told["r"] == told["frames"] == told["targets"] == [10, 11, 12, 20, 21, 22]


def test_all_frames_carry_the_frame_s_loss(learner, monkeypatch):
    """The first call is the read-out's, of the segments alone; the second is that of rho on all seven."""
    told = []

    def frame_loss(logits, target):
        told.append(len(target))
        assert logits.shape == target.shape
        return torch.zeros((), requires_grad=True)

    monkeypatch.setattr(module, "frame_loss", frame_loss)
    learner.loss(learner.batch(0), 0)
    assert told == [2 * 3, 2 * 7]
