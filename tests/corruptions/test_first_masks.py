"""First masks made worse: by a share of each object's own size, and no object is ever lost."""

from itertools import pairwise

import numpy as np
import pytest

from harness.corruptions.first_masks import MASK_CORRUPTIONS, dilate, erode, shift
from harness.corruptions.names import Setting
from harness.corruptions.samples import draws_for
from harness.corruptions.table import CORRUPTIONS


def draws(seed=0):
    return draws_for(Setting(CORRUPTIONS["mask-shift"], 1, seed), "v", 0)


def square(side=10, at=5, size=24, id_=1):
    ids = np.zeros((size, size), np.uint8)
    ids[at : at + side, at : at + side] = id_
    return ids


def test_erosion_takes_so_much_all_around():
    made = erode(square(), 0.2, draws())  # of a side of 10: two pixels, which lie 1 and 2 from the background
    assert (made == square(side=6, at=7)).all()


def test_dilation_gives_so_much_all_around_and_rounds_the_corners():
    made = dilate(square(), 0.2, draws())
    assert made[5:15, 3].all()
    assert not made[5:15, 2].any()
    assert made[3, 3] == 0  # sqrt(8) > 2
    assert (made[square() == 1] == 1).all()


def test_dilation_takes_nothing_from_another_object_or_from_void():
    ids = square()
    ids[5:15, 15:20] = 2
    ids[15:17, 5:15] = 255
    made = dilate(ids, 0.3, draws())
    assert (made[ids > 0] == ids[ids > 0]).all()
    assert ((made > 0) & (ids == 0)).any()


def test_a_shift_moves_an_object_so_far_and_keeps_its_shape():
    made = shift(square(), 0.2, draws())
    assert made.sum() == 100
    rows, columns = np.nonzero(made)
    moved = np.hypot(rows.mean() - 9.5, columns.mean() - 9.5)
    assert moved == pytest.approx(2, abs=0.75)  # to whole pixels
    others = {shift(square(), 0.2, draws(seed)).tobytes() for seed in range(1, 6)}
    assert len(others | {made.tobytes()}) > 1


def test_the_smaller_object_hides_the_larger_and_neither_is_lost():
    ids = square(side=12, at=2)
    ids[8:10, 8:10] = 2
    for seed in range(20):
        assert set(np.unique(shift(ids, 0.2, draws(seed)))) == {0, 1, 2}


@pytest.mark.parametrize("corrupt", list(MASK_CORRUPTIONS.values()))
@pytest.mark.parametrize("share", [0.02, 0.2])
def test_nothing_is_lost_of_a_point_a_full_picture_and_an_object_at_the_edge(corrupt, share):
    point, full, edge = np.zeros((3, 8, 8), np.uint8)
    point[3, 4], full[:], edge[0, :] = 7, 1, 3
    for ids in (point, full, edge):
        before = ids.copy()
        made = corrupt(ids, share, draws())
        assert (ids == before).all()  # what was given is not changed
        assert (made.dtype, made.shape) == (ids.dtype, ids.shape)
        assert set(np.unique(made)) - {0} == set(np.unique(ids)) - {0}


@pytest.mark.parametrize("corrupt", list(MASK_CORRUPTIONS.values()))
def test_an_empty_mask_and_one_of_void_alone_stay_as_they_are(corrupt):
    for ids in (np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)):
        assert (corrupt(ids, 0.1, draws()) == ids).all()


def test_no_object_is_lost_when_several_of_one_pixel_come_to_lie_on_each_other():
    for seed in range(60):
        chance = np.random.default_rng(seed)
        ids = np.zeros((3, 3), np.uint8)
        ids.flat[chance.permutation(9)[:7]] = range(1, 8)
        made = shift(ids, 0.2, draws(seed))
        assert set(np.unique(made)) >= set(range(1, 8)), seed


@pytest.mark.parametrize("name", list(MASK_CORRUPTIONS))
def test_a_higher_severity_is_more_of_the_same(name):
    ids = square(side=30, at=15, size=60)
    ids[50:56, 4:10] = 2
    values = CORRUPTIONS[name].values
    made = [MASK_CORRUPTIONS[name](ids, value, draws()) for value in values]
    changed = [int((mask != ids).sum()) for mask in made]
    assert changed == sorted(changed)
    assert changed[0] < changed[-1]
    if name != "mask-shift":
        assert all((mask[before != ids] == before[before != ids]).all() for before, mask in pairwise(made))
