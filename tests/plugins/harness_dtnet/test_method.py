"""Odd input end to end, with proposals as told: a right answer, never a NaN, and ids that stay whose they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from harness.api.video import Video
from harness_dtnet.config import SMALL
from harness_dtnet.discovery.categories import Categories
from harness_dtnet.discovery.discover import Discoverer, Discovery
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.method import DTNet
from harness_dtnet.target.view import TargetView

SIZE = (32, 48)
CONFIG = replace(
    SMALL,
    projection=6,
    first_iterations=(4, 4),
    later_iterations=4,
    copies=1,
    memory=6,
    least_new=0.0,
    verified_overlap=0.5,
)
RED, GREEN = (220, 30, 30), (30, 200, 40)


class Told(Discoverer):
    """Proposals of each frame as given: boxes (top, left, height, width); everything is foreground unless told."""

    def __init__(self, boxes, config, foreground=1.0):
        self.boxes, self.config, self.foreground, self.t = boxes, config, foreground, -1

    def discover(self, images, before):
        self.t = 0 if before is None else self.t + 1
        masks = torch.zeros(len(self.boxes[self.t]), *SIZE, dtype=torch.bool)
        for mask, (top, left, height, width) in zip(masks, self.boxes[self.t], strict=True):
            mask[top : top + height, left : left + width] = True
        return Discovery(torch.full(SIZE, self.foreground), masks, (0.9,) * len(masks))


class Colours(nn.Module):
    """Features of cells of 4 x 4 pixels: colours, and which are red or green."""

    def maps(self, images):
        x = nn.functional.avg_pool2d(images, 4)
        red, green, _ = x.unbind(1)
        return [torch.cat([x, (red - green).relu()[:, None], (green - red).relu()[:, None]], 1)]


def frame_of(*objects):
    image = torch.full((*SIZE, 3), 90, dtype=torch.uint8)
    for (top, left, height, width), colour in objects:
        image[top : top + height, left : left + width] = torch.tensor(colour, dtype=torch.uint8)
    return image


def method(boxes, config=CONFIG, foreground=1.0):
    normalise = Normalise((0.3,) * 3, (0.3,) * 3, "cpu", torch.float32, torch.contiguous_format)
    return DTNet(Told(boxes, config, foreground), TargetView(Colours(), normalise, None), config, 0, Categories())


def play(frames, boxes, config=CONFIG, foreground=1.0):
    video = Video(name="v", length=len(frames), height=SIZE[0], width=SIZE[1], read=frames.__getitem__)
    return torch.stack(list(method(boxes, config, foreground).segment_instances(video)))


def iou(mask, box):
    truth = torch.zeros(SIZE, dtype=torch.bool)
    truth[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("solver", ["cg", "normal"])
def test_a_target_that_no_proposal_confirms_is_followed_by_its_own_model(solver):
    places = [(8, 8 + 2 * t, 12, 12) for t in range(10)]
    frames = [frame_of((place, RED)) for place in places]
    ids = play(frames, [[places[0]], *[[]] * 9], replace(CONFIG, solver=solver))
    assert all(iou(ids[t] == 1, places[t]) > 0.6 for t in range(10))
    assert ids.max() == 1


def test_no_proposal_ever_is_background_to_the_end():
    assert play([frame_of()] * 5, [[]] * 5).max() == 0


def test_a_first_object_may_come_late():
    place = (8, 20, 12, 12)
    frames = [frame_of()] * 3 + [frame_of((place, GREEN))] * 3
    ids = play(frames, [[]] * 3 + [[place]] * 3)
    assert ids[:3].max() == 0
    assert all(iou(mask == 1, place) == 1 for mask in ids[3:])


@pytest.mark.parametrize(
    "box",
    [(9, 9, 1, 1), (0, 0, *SIZE), (0, 0, 1, 48), (31, 0, 1, 48), (0, 47, 32, 1), (0, 0, 5, 5)],
    ids=["one-pixel", "whole-frame", "top", "bottom", "right", "corner"],
)
@pytest.mark.parametrize("solver", ["cg", "normal"])
def test_one_pixel_the_whole_frame_and_borders_are_answers_without_nan(box, solver):
    frames = [frame_of((box, RED))] * 10
    config = replace(CONFIG, solver=solver)
    found = method([[box]] * 10, config)
    video = Video(name="v", length=10, height=SIZE[0], width=SIZE[1], read=frames.__getitem__)
    state = found.begin(video.size)
    with torch.inference_mode():
        results = [found.step(state, video[t], t)[1] for t in range(10)]
    assert iou(results[0].masks[0], box) == 1
    assert len(state.tracks) >= 1
    for part in (state.models.w1, state.models.w2, state.firsts, results[-1].labels):
        assert part.isfinite().all()


@pytest.mark.slow
def test_a_target_lost_for_100_frames_keeps_its_id_and_nobody_else_gets_it():
    red, green = (8, 4, 12, 12), (8, 30, 12, 12)
    gone = [frame_of((green, GREEN))] * 100
    frames = [frame_of((red, RED)), *gone, *[frame_of((red, RED), (green, GREEN))] * 3]
    boxes = [[red], *[[green]] * 100, *[[red, green]] * 3]
    ids = play(frames, boxes)
    assert ids[0].unique().tolist() == [0, 1]
    assert 1 not in ids[50].unique().tolist()
    assert iou(ids[50] == 2, green) == 1
    assert iou(ids[102] == 1, red) > 0.9
    assert iou(ids[102] == 2, green) > 0.9


@pytest.mark.parametrize(("other", "are_told_apart"), [((220, 30, 80), True), (RED, False)], ids=["alike", "identical"])
def test_twins_keep_apart_by_the_least_difference_and_identical_ones_mix_within_two_ids(other, are_told_apart):
    left, right = [(8, 3 + t, 12, 12) for t in range(6)], [(8, 32 - t, 12, 12) for t in range(6)]
    frames = [frame_of((a, RED), (b, other)) for a, b in zip(left, right, strict=True)]
    ids = play(frames, [[a, b] for a, b in zip(left, right, strict=True)])
    assert ids.max() == 2
    for t in range(6):
        apart = min(iou(ids[t] == 1, left[t]), iou(ids[t] == 2, right[t]))
        assert (apart > 0.9) == (are_told_apart or t == 0)


def test_of_more_than_twenty_objects_the_first_twenty_are_kept():
    grid = [(1 + 8 * (k // 6), 1 + 8 * (k % 6), 6, 6) for k in range(24)]
    colours = [(60 + 31 * k % 190, 60 + 77 * k % 190, 60 + 13 * k % 190) for k in range(24)]
    frames = [frame_of(*zip(grid, colours, strict=True))] * 3
    ids = play(frames, [grid] * 3)
    assert ids[0].unique().tolist() == list(range(21))
    assert ids.max() == 20


def test_a_proposal_that_overlaps_a_little_is_neither_verified_nor_new():
    place, beside = (8, 8, 12, 12), (8, 14, 12, 12)  # IoU 6 / 18
    ids = play([frame_of((place, RED))] * 3, [[place], [beside], [beside]])
    assert ids.max() == 1
    assert iou(ids[2] == 1, place) > 0.6


def test_without_foreground_nothing_is_yielded_and_the_target_comes_back():
    place = (8, 8, 12, 12)
    frames = [frame_of((place, RED))] * 3
    assert (play(frames, [[place], [], []], foreground=0.1)[1:] == 0).all()
    free = play(frames, [[place], [], []], replace(CONFIG, within_foreground=False), foreground=0.1)
    assert iou(free[2] == 1, place) > 0.6


def test_without_updates_models_stay_as_they_began():
    place = (8, 8, 12, 12)
    found = method([[place]] * 9, replace(CONFIG, update_every=0))
    state = found.begin(SIZE)
    with torch.inference_mode():
        found.step(state, frame_of((place, RED)), 0)
        before = state.models.w2.clone()
        for t in range(1, 9):
            found.step(state, frame_of((place, RED)), t)
    assert torch.equal(state.models.w2, before)
    assert len(state.models.shares[0].by_slot) == 2


@pytest.mark.parametrize(("adds", "samples"), [("all", 4), ("verified", 2)])
def test_samples_are_added_as_told_and_updated_every_eight_frames(adds, samples):
    place = (8, 8, 12, 12)
    config = replace(CONFIG, memory_adds=adds, memory=20)
    found = method([[place], [], []], config)
    state = found.begin(SIZE)
    with torch.inference_mode():
        for t in range(3):
            found.step(state, frame_of((place, RED)), t)
    assert len(state.models.shares[0].by_slot) == samples
    assert state.pending == ({0} if adds == "all" else set())


def test_tracks_have_a_mask_or_none_for_every_frame_and_a_score():
    place = (8, 8, 12, 12)
    frames = [frame_of()] + [frame_of((place, RED))] * 3
    video = Video(name="v", length=4, height=SIZE[0], width=SIZE[1], read=frames.__getitem__)
    (track,) = method([[], [place], [place], [place]]).segment_tracks(video)
    assert track.masks[0] is None
    assert track.masks[1].area == 144
    assert (track.category, track.score) == (1, pytest.approx(1.0))


def test_two_videos_after_each_other_do_not_know_of_each_other():
    place = (8, 8, 12, 12)
    frames = [frame_of((place, RED))] * 3
    built = method([[place]] * 3)
    video = Video(name="v", length=3, height=SIZE[0], width=SIZE[1], read=frames.__getitem__)
    first, second = (np.stack([mask.numpy() for mask in built.segment_instances(video)]) for _ in range(2))
    assert np.array_equal(first, second)
