"""Which frames are drawn: one a segment, three of a clip in their order, two that lie apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import DataError
from harness_mug.training.clips import (
    VideoSource,
    Window,
    draw_frames,
    draw_pair,
    draw_window,
    recolour,
    shrink,
)
from harness_mug.training.config import SMALL, TrainingConfig

PAPER = TrainingConfig()
TINY = replace(SMALL, size=(64, 96), patch=32, videos=2, segments=3, iterations=4, flip=0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(5))
def test_each_segment_has_a_frame_and_a_clip_is_in_order(seed):
    found = draw_frames(rng(seed), 80, PAPER)
    assert all(10 * part <= frame < 10 * (part + 1) for part, frame in enumerate(found.segments))
    assert found.clip == sorted(set(found.clip))
    assert found.clip[-1] - found.clip[0] < 6
    assert len(found.in_order(PAPER)) == PAPER.frames == 12


def test_a_shared_clip_gives_the_instance_too():
    found = draw_frames(rng(), 80, SMALL)
    assert found.instance == found.clip[0]
    assert len(found.in_order(SMALL)) == SMALL.frames == 7
    assert found.in_order(SMALL)[SMALL.segments] == found.instance


@pytest.mark.parametrize("length", [1, 2, 5, 7])
def test_a_short_video_repeats_frames(length):
    found = draw_frames(rng(), length, PAPER)
    assert len(found.segments) == 8
    assert len(found.clip) == 3
    assert all(0 <= frame < length for frame in found.in_order(PAPER))


def test_two_frames_of_the_long_term_lie_apart():
    for seed in range(20):
        first, second = draw_pair(rng(seed), [0, 3, 5, 9], 6)
        assert {first, second} in ({0, 3}, {1, 3})


def test_where_none_lie_apart_the_two_farthest_are_taken():
    assert set(draw_pair(rng(), [4, 1, 2], 6)) == {0, 1}


def source_of(toy, config=TINY, predicted=None, frames=12):
    samples = [toy.sample_of(toy.squares(frames, seed=seed)[0], f"v{seed}") for seed in range(3)]
    initial = [np.full((frames, *config.grid), seed % 2, np.uint8) for seed in range(3)]
    return VideoSource(samples, initial, predicted, config, 0, 1)


def test_a_batch_has_the_shapes_it_says(toy):
    batch = source_of(toy).videos(0, range(2))
    assert batch.frames.shape == (2, 6, 64, 96, 3)
    assert batch.initial.shape == (2, 6, 4, 6)
    assert batch.predicted.numel() == 0
    assert batch.start.shape == batch.pair.shape == (2, 2)
    side = 2
    most = torch.tensor([4, 6]) - side + side // 2
    assert ((side // 2 <= batch.start) & (batch.start <= most)).all()


def test_a_video_is_the_same_however_many_processes_share_a_batch(toy):
    source = source_of(toy)
    together, alone = source.videos(3, range(2)), source.videos(3, [1])
    assert all(torch.equal(each[1:], other) for each, other in zip(together, alone, strict=True))


def test_every_video_is_drawn_before_any_is_drawn_again(toy):
    source = source_of(toy)
    drawn = [source.video_at(iteration, place) for iteration in range(3) for place in range(2)]
    assert sorted(drawn[:3]) == sorted(drawn[3:]) == [0, 1, 2]


def test_labels_are_mirrored_with_their_frames(toy):
    frames = 8
    config = replace(TINY, flip=1.0)
    images, _ = toy.squares(frames)
    initial = np.zeros((frames, *config.grid), np.uint8)
    initial[:, :, 0] = 1
    mirrored = VideoSource([toy.sample_of(images)], [initial], [1 - initial], config, 0, 2).videos(0, [0])
    plain = VideoSource([toy.sample_of(images)], [initial], [1 - initial], TINY, 0, 2).videos(0, [0])
    for name in ("initial", "predicted"):
        assert torch.equal(getattr(mirrored, name), getattr(plain, name).flip(-1))
    assert torch.equal(mirrored.frames, plain.frames.flip(3))


def test_frames_of_the_right_size_are_left_alone():
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(shrink(frame, (2, 4)), frame)
    halves = np.full((2, 4, 3), 10, np.uint8)
    halves[:, 2:] = 30
    assert shrink(halves, (1, 2)).tolist() == [[[10] * 3, [30] * 3]]


def test_no_videos_are_refused():
    with pytest.raises(DataError, match="no videos"):
        VideoSource([], [], None, TINY, 0, 1)


def test_a_window_shows_frames_and_labels_alike():
    """Rows 1 to 2 and columns 2 to 4 of 4 x 6 cells of 8 pixels, at the size of the whole."""
    cells = rng().integers(2, size=(1, 4, 6), dtype=np.uint8)
    frame = np.repeat(np.kron(cells[0], np.ones((8, 8), np.uint8))[..., None] * 200, 3, 2)
    window = Window(1, 2, 2, 3)
    seen = window.of_pixels(frame, (4, 6), (32, 48))
    labels = window.of_labels(cells)
    assert labels.shape == cells.shape
    assert labels.dtype == np.uint8
    expected = np.kron(cells[0, 1:3, 2:5], np.ones((2, 2), np.uint8))
    assert np.array_equal(labels[0], expected)
    assert np.array_equal(seen[4::8, 4::8, 0] > 100, expected.astype(bool))


def test_windows_are_whole_cells_within_the_frame():
    for seed in range(50):
        window = draw_window(rng(seed), (8, 14), 0.55)
        assert 4 <= window.rows <= 8
        assert 8 <= window.columns <= 14
        assert 0 <= window.top <= 8 - window.rows
        assert 0 <= window.left <= 14 - window.columns
    assert draw_window(rng(), (8, 14), 1.0) == Window(0, 0, 8, 14)


def test_frames_of_a_video_are_recoloured_alike_and_within_reach():
    pixels = rng().integers(60, 180, (2, 8, 8, 3), dtype=np.uint8)
    pixels[1] = pixels[0]
    found = recolour(rng(3), pixels, 0.4)
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found, pixels)
    assert 0.5 * pixels.mean() < found.mean() < 1.6 * pixels.mean()
    assert np.array_equal(recolour(rng(3), pixels, 0.0), pixels)


def test_a_source_with_windows_and_colours_differs_in_frames_and_has_binary_labels(toy):
    config = replace(TINY, crop=0.5, colour=0.4, keep_maps=False)
    plain, changed = source_of(toy).videos(0, range(2)), source_of(toy, config).videos(0, range(2))
    assert plain.frames.shape == changed.frames.shape
    assert not torch.equal(plain.frames, changed.frames)
    assert set(changed.initial.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 0.0},
        {"crop": 1.1},
        {"colour": 1.0},
        {"warm_up": -1},
        {"norm_momentum": 0.0},
        {"crop": 0.5, "keep_maps": True, "frozen_stages": 5, "norms": "frozen"},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        replace(TINY, **{"keep_maps": False, **changes})
