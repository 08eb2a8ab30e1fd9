"""One-shot: labels follow the cells they belong to, in the paper's form and the released code's."""

import math
from dataclasses import replace

import pytest
import torch

from harness import Prompts
from harness_mug.config import PRESETS, Config
from harness_mug.one_shot.method import MuG, Seen, State, build

PAPER = replace(PRESETS["paper"], stretch=None, short_side=16, untrained_architecture="small")
UVC = Config(short_side=16)


class Colours:
    """A phi whose features are colours: cells of a colour are alike, and of no other."""

    stride = 1

    def describe(self, frames, features):
        assert features == "x"
        return 4 * frames / 255 * 3**0.5


def blocks(places, size=(16, 24), side=6):
    """Frames (T, H, W, 3) with a red and a green block at those places, and their ids."""
    images = torch.zeros(len(places), *size, 3, dtype=torch.uint8)
    images[..., 2] = 255
    truths = torch.zeros(len(places), *size, dtype=torch.uint8)
    for t, objects in enumerate(places):
        for name, (row, column) in objects.items():
            images[t, row : row + side, column : column + side] = torch.tensor(
                [255 * (name == 1), 255 * (name == 7), 0], dtype=torch.uint8
            )
            truths[t, row : row + side, column : column + side] = name
    return images, truths


PLACES = [{1: (1, 1), 7: (9, 2)}, {1: (2, 5), 7: (9, 6)}, {1: (3, 9), 7: (9, 16)}]


@pytest.mark.parametrize("config", [PAPER, UVC])
def test_objects_are_followed_by_what_they_look_like(toy, config):
    images, truths = blocks(PLACES)
    found = list(MuG(Colours(), config).propagate(toy.video_of(images.numpy()), Prompts({0: truths[0]})))
    for mask, truth in zip(found, truths, strict=True):
        assert torch.equal(mask, truth)


@pytest.mark.parametrize("config", [PAPER, UVC])
def test_an_object_that_comes_later_is_taken_in_as_prompted(toy, config):
    places = [{}, {1: (1, 1)}, {1: (2, 5), 7: (9, 6)}, {1: (3, 9), 7: (9, 16)}]
    images, truths = blocks(places)
    later = truths[2].masked_fill(truths[2] == 1, 0)
    found = list(MuG(Colours(), config).propagate(toy.video_of(images.numpy()), Prompts({1: truths[1], 2: later})))
    assert not found[0].any()
    assert all(torch.equal(mask, truth) for mask, truth in zip(found[1:], truths[1:], strict=True))


def test_void_in_a_prompt_is_background(toy):
    images, truths = blocks(PLACES[:2])
    prompt = truths[0].clone()
    prompt[-1] = 255
    found = list(MuG(Colours(), UVC).propagate(toy.video_of(images.numpy()), Prompts({0: prompt})))
    assert set(found[0].unique().tolist()) == {0, 1, 7}


def test_a_prompt_without_object_gives_background(toy):
    images, truths = blocks(PLACES[:2])
    found = list(MuG(Colours(), UVC).propagate(toy.video_of(images.numpy()), Prompts({0: truths[0] * 0})))
    assert not any(mask.any() for mask in found)


def test_an_object_that_is_nowhere_any_more_leaves_nothing_in_the_paper_s_form(toy):
    images, truths = blocks([PLACES[0], {7: (9, 6)}])
    found = list(MuG(Colours(), PAPER).propagate(toy.video_of(images.numpy()), Prompts({0: truths[0]})))
    assert set(found[1].unique().tolist()) == {0, 7}


def test_a_prompt_of_everything_stays_everything(toy):
    images, truths = blocks(PLACES[:2])
    found = list(MuG(Colours(), PAPER).propagate(toy.video_of(images.numpy()), Prompts({0: truths[0] * 0 + 3})))
    assert found[1].unique().tolist() == [3]


def test_the_paper_hands_on_objects_and_the_released_code_shares():
    shares = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    assert MuG(Colours(), PAPER).as_told(shares).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert MuG(Colours(), UVC).as_told(shares) is shares
    assert Seen(shares, shares).widen(5).labels.shape == (2, 5)


def state_of(prompted, last):
    """Two cells of background and object 1 in the prompted frame, and in the last one, whose labels are given."""
    features = torch.tensor([[0.0, 0.0], [2**0.5 * math.log(3), 0.0]])
    return State([0, 1], [Seen(features, torch.tensor(prompted))], Seen(features, torch.tensor(last)))


QUERY = torch.tensor([[1.0, 0.0]])
"""Its products with the two cells, divided by the root of two channels, are 0 and log 3: affinities 1/4 and 3/4."""


def test_scores_are_the_mean_of_the_prompted_and_the_last_frame():
    """3/4 of object 1 from the prompted frame, 1/4 from the last one, whose cells have changed places."""
    state = state_of([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    both = MuG(Colours(), replace(UVC, top=0)).scores(state, QUERY)
    assert both[0].tolist() == pytest.approx([1 / 2, 1 / 2])
    alone = MuG(Colours(), PAPER).scores(state, QUERY)
    assert alone[0].tolist() == pytest.approx([3 / 4, 1 / 4])


def test_of_more_affinities_than_the_top_the_largest_count_and_are_not_shared_out():
    state = state_of([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    assert MuG(Colours(), replace(UVC, top=1)).scores(state, QUERY)[0].tolist() == pytest.approx([0, 3 / 4])
    assert MuG(Colours(), replace(UVC, top=2)).scores(state, QUERY)[0].tolist() == pytest.approx([1 / 4, 3 / 4])


def test_scores_of_an_object_reach_from_0_to_1_in_a_frame_where_they_are_stretched():
    """Background .9 .6 .5, object 7 .1 .4 .3: plainly all is background; stretched 1 1/4 0 and 0 1 2/3."""
    labels = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.5, 0.3]])
    plain, stretched = (MuG(Colours(), config).mask_of(labels, [0, 7], (1, 3), (1, 3)) for config in (PAPER, UVC))
    assert plain.tolist() == [[0, 0, 0]]
    assert stretched.tolist() == [[0, 7, 7]]
    flat = MuG(Colours(), UVC).mask_of(torch.tensor([[0.2, 0.8]] * 3), [0, 7], (1, 3), (1, 3))
    assert flat.tolist() == [[7, 7, 7]]  # what is the same everywhere stays as it is


def test_memory_holds_the_prompted_and_the_last_frame_alone(toy):
    images, truths = blocks(PLACES * 4)
    method = MuG(Colours(), UVC)
    kept = []
    step = method.step
    method.step = lambda state, *rest: (step(state, *rest), kept.append(len(state.prompted)))[0]
    list(method.propagate(toy.video_of(images.numpy()), Prompts({0: truths[0]})))
    assert kept == [1] * 12


def test_an_untrained_network_answers_too(toy):
    images, truths = toy.squares(3)
    method = build(toy.context(PRESETS["smoke"], task="one-shot"))
    found = list(method.propagate(toy.video_of(images), Prompts({0: torch.from_numpy(truths[0])})))
    assert torch.equal(found[0], torch.from_numpy(truths[0]))
    assert len(found) == 3
