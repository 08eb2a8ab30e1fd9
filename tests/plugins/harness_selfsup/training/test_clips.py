"""Clips are functions of seed and iteration, of the right frames, cropped alike, and never need a truth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from harness import DataError, Sample
from harness_selfsup.training.clips import ClipSource, _resize, crop_box, frame_numbers, jitter
from harness_selfsup.training.config import MEMORY, PAIRWISE, PRESETS, TrainingConfig

TINY = replace(PAIRWISE, batch=4, size=16, jitter=0.0)


def make_numbered(length: int, height: int = 24, width: int = 40, name: str = "numbered") -> Sample:
    """Frame t is all of value 10 t; there is no truth to read."""

    def read(t: int) -> np.ndarray:
        return np.full((height, width, 3), 10 * t, np.uint8)

    return Sample(name, length, height, width, tuple(map(str, range(length))), read, digest=lambda: "")


def rolling(length: int, height: int = 24, width: int = 40) -> Sample:
    """A texture that moves by two pixels a frame."""
    texture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)

    def read(t: int) -> np.ndarray:
        return np.roll(texture, 2 * t, 1)

    return Sample("rolling", length, height, width, tuple(map(str, range(length))), read, digest=lambda: "")


def test_a_batch_is_a_function_of_seed_and_iteration_alone() -> None:
    config = replace(TINY, jitter=0.5, flip=0.5)
    once, again = (ClipSource([rolling(12)], config, seed=3) for _ in range(2))
    again.clips(7, range(2))  # what was asked for before does not matter
    assert np.array_equal(once.clips(5, range(4)), again.clips(5, range(4)))
    assert not np.array_equal(once.clips(5, range(4)), once.clips(6, range(4)))
    assert not np.array_equal(once.clips(5, range(4)), ClipSource([rolling(12)], config, seed=4).clips(5, range(4)))


def test_ranks_share_one_batch() -> None:
    source = ClipSource([rolling(12)], TINY, seed=0)
    whole = source.clips(0, range(4))
    shares = [source.clips(0, range(rank, 4, 2)) for rank in range(2)]
    assert np.array_equal(whole, np.stack([shares[0], shares[1]], 1).reshape(whole.shape))


def test_intervals_come_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    gaps = [np.diff(frame_numbers(rng, 60, PAIRWISE))[0] for _ in range(2000)]
    shares = [gaps.count(gap) / len(gaps) for gap in (2, 5, 8)]
    assert shares == pytest.approx([0.4, 0.4, 0.2], abs=0.04)  # four standard deviations


def test_a_memory_is_five_frames_before_the_target() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames = frame_numbers(rng, 60, MEMORY)
        assert len(frames) == 6
        assert len(set(np.diff(frames))) == 1
        assert frames[0] >= 0
        assert frames[-1] < 60


@pytest.mark.parametrize(("length", "expected"), [(2, {0, 1}), (4, {0, 1, 2, 3})])
def test_a_short_video_repeats_references_but_never_shows_the_target(length: int, expected: set[int]) -> None:
    frames = frame_numbers(np.random.default_rng(0), length, MEMORY)
    assert len(frames) == 6
    assert set(frames) == expected
    assert frames[-1] == length - 1
    assert length - 1 not in frames[:-1]


def test_a_clip_has_the_frames_of_its_numbers_and_one_crop() -> None:
    values = np.random.default_rng(1).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    still = Sample("still", 9, 24, 40, tuple("abcdefghi"), lambda t: values, digest=lambda: "")
    clips = ClipSource([still], replace(TINY, references=3, flip=0.5), seed=0).clips(0, range(4))
    assert clips.shape == (4, 4, 16, 16, 3)
    assert all(np.array_equal(clip[0], frame) for clip in clips for frame in clip)
    numbers = ClipSource([make_numbered(20)], TINY, seed=0).clips(0, range(4))[..., 0, 0, 0] // 10
    assert set((numbers[:, 1] - numbers[:, 0]).tolist()) <= {2, 5, 8}


def test_crops_keep_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        top, left, rows, columns = crop_box(rng, 96, 100, PAIRWISE)
        assert top + rows <= 96
        assert left + columns <= 100
        assert 0.48 < rows * columns / 9600 <= 1
        assert 0.73 < columns / rows < 1.37


def test_other_crops() -> None:
    rng = np.random.default_rng(0)
    assert crop_box(rng, 24, 40, replace(TINY, crop="whole")) == (0, 0, 24, 40)
    sides = [crop_box(rng, 24, 40, replace(TINY, crop="zoomed", zoom=(0.5, 2.0)))[2:] for _ in range(50)]
    assert all(rows == columns for rows, columns in sides)
    assert min(sides) == (8, 8) or min(sides) == (9, 9)
    assert max(sides) == (24, 24)  # 32 would be asked for at zoom .5


def test_an_image_becomes_a_moving_clip() -> None:
    image = replace(rolling(1), name="image")
    clips = ClipSource([image], replace(TINY, references=2, homography=0.3), seed=0).clips(0, range(2))
    assert not np.array_equal(clips[0, 0], clips[0, 1])
    assert not np.array_equal(clips[0, 1], clips[0, 2])


def test_stills_take_always_the_same_frame_of_a_video() -> None:
    source = ClipSource([make_numbered(20)], replace(TINY, stills=True), seed=0)
    values = {int(value) for iteration in range(6) for value in np.unique(source.clips(iteration, range(4)))}
    assert len(values) == 1


def test_videos_limits_what_is_learnt_from() -> None:
    samples = [make_numbered(20, name=str(k)) for k in range(10)]
    chosen = ClipSource(samples, replace(TINY, videos=3), seed=0).samples
    assert len(chosen) == 3
    assert chosen == ClipSource(samples, replace(TINY, videos=3), seed=0).samples
    with pytest.raises(DataError, match="found 10 videos, fewer than the 11"):
        ClipSource(samples, replace(TINY, videos=11), seed=0)
    with pytest.raises(DataError, match="no videos"):
        ClipSource([], TINY, seed=0)


def test_lightness_is_never_dropped() -> None:
    source = ClipSource([make_numbered(20)], replace(TINY, drop=1.0), seed=0)
    drawn = [source.draw_channel(iteration) for iteration in range(200)]
    assert set(drawn) == {1, 2}
    assert 70 < drawn.count(1) < 130
    half = ClipSource([make_numbered(20)], TINY, seed=0)
    assert {half.draw_channel(iteration) for iteration in range(200)} == {None, 1, 2}


def test_jitter_of_strength_zero_changes_nothing_and_hue_keeps_grey() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    assert np.abs(jitter(rng, image, (0.0, 0.0, 0.0, 0.0)).astype(int) - image).max() <= 1
    grey = np.full((4, 4, 3), 99, np.uint8)
    assert np.abs(jitter(rng, grey, (0.0, 0.0, 0.9, 0.5)).astype(int) - 99).max() <= 1
    red = np.zeros((4, 4, 3), np.uint8) + np.array([200, 60, 60], np.uint8)
    turned = [jitter(rng, red, (0.0, 0.0, 0.0, 0.5)).astype(int) for _ in range(8)]
    assert max(np.abs(image - red).max() for image in turned) > 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 30}, "multiple of 4"),
        ({"intervals": (1, 2)}, "as many of both"),
        ({"references": 0}, "expected 1 or more"),
        ({"symmetric": True, "momentum_encoder": True}, "symmetric=True"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PAIRWISE, **change)


def test_the_learning_rate_warms_up_and_halves() -> None:
    config = TrainingConfig(iterations=100, lr=1.0, warm_up=4)
    rates = [config.learning_rate(iteration) for iteration in (0, 3, 39, 40, 60, 80, 99)]
    assert rates == [1 / 4, 1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 8]
    assert MEMORY.learning_rate(0) == MEMORY.learning_rate(9999) == 1e-4


def test_presets_are_the_papers() -> None:
    assert (PAIRWISE.iterations, PAIRWISE.batch, PAIRWISE.size, PAIRWISE.radius) == (120_000, 48, 384, 12)
    assert (MEMORY.iterations, MEMORY.references, MEMORY.momentum) == (10_000, 5, 0.999)
    assert set(PRESETS) >= {"pairwise", "memory", "small-pairwise", "small-memory"}


def test_frames_are_shrunk_over_all_pixels_or_from_four_as_in_mast() -> None:
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::4] = 240
    area, linear = (_resize(lines, (0, 0, 64, 64), replace(TINY, size=16, shrink=how)) for how in ("area", "linear"))
    assert (area == 60).all()
    assert set(np.unique(linear)) == {0}  # the columns between the lines
    assert np.array_equal(linear, cv2.resize(lines, (16, 16)))
