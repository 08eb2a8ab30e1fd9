"""Plain clips: which frames they have, that all of them are changed alike, and how a batch is shared out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from harness import DataError
from harness_tvos.training.clips import read_pair, share_of
from harness_tvos.training.clips_plain import PlainClips, clip_frames, jitter, resize
from harness_tvos.training.config import OFFICIAL, PRESETS

TINY = replace(OFFICIAL, batch=2, crop=32, references=3, flip=0.0, flip_vertically=0.0)


def test_official_clips_are_ten_frames_in_a_row_from_any_frame():
    assert clip_frames(0, 50, OFFICIAL) == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert clip_frames(23, 50, OFFICIAL) == (23, 24, 25, 26, 27, 28, 29, 30, 31, 32)


@pytest.mark.parametrize("start", [40, 45, 49])
def test_clips_that_would_cross_the_end_begin_earlier(start):
    assert clip_frames(start, 50, OFFICIAL) == (40, 41, 42, 43, 44, 45, 46, 47, 48, 49)


@pytest.mark.parametrize(
    ("preset", "frames"),
    [
        ("table2-1", (5, 6)),
        ("table2-3", (5, 6, 7, 8)),
        ("official", (5, 6, 7, 8, 9, 10, 11, 12, 13, 14)),
        ("table2-uniform", (5, 9, 14, 19, 24, 29, 34, 39, 44, 45)),
        ("table2-sparse", (5, 13, 21, 29, 37, 45, 46, 47, 48, 49)),
    ],
)
def test_the_rows_of_table_2_have_their_references(preset, frames):
    assert clip_frames(5, 100, PRESETS[preset]) == frames


def test_far_references_come_nearer_in_a_short_video():
    assert clip_frames(7, 12, PRESETS["table2-uniform"]) == (0, 1, 2, 3, 5, 6, 7, 8, 10, 11)
    assert clip_frames(7, 10, PRESETS["table2-sparse"]) == tuple(range(10))


def test_an_epoch_begins_a_clip_at_every_frame_once(disc_video):
    source = PlainClips([disc_video("a", length=5), disc_video("b", length=7)], TINY, seed=0)
    assert source.epoch == 12 // 2
    drawn = [source.place_of(iteration, place) for iteration in range(6) for place in range(2)]
    assert sorted(drawn) == [(0, t) for t in range(5)] + [(1, t) for t in range(7)]


def test_the_order_of_an_epoch_is_that_of_all_as_released_or_its_own(disc_video):
    def epochs(config):
        source = PlainClips([disc_video("a", length=5), disc_video("b", length=7)], config, seed=0)
        return [[source.place_of(iteration, 0) for iteration in range(start, start + 6)] for start in (0, 6, 12)]

    first, second, third = epochs(TINY)
    assert first == second == third
    first, second, third = epochs(replace(TINY, reshuffle=True))
    assert first != second != third != first


def test_a_clip_shows_the_frames_and_labels_of_the_video(disc_video):
    video = disc_video(height=64)
    config = replace(TINY, crop=64, labels="majority")
    source = PlainClips([video], config, seed=3)
    clip = source.clip(0, 0, 64)
    _, start = source.place_of(0, 0)
    moments = clip_frames(start, video.length, config)
    lefts = [
        left for left in range(33) if np.array_equal(clip.frames[0], video.read_frame(moments[0])[:, left : left + 64])
    ]
    assert len(lefts) == 1
    for k, t in enumerate(moments):
        assert np.array_equal(clip.frames[k], video.read_frame(t)[:, lefts[0] : lefts[0] + 64])
        blocks = video.read_truth(t)[:, lefts[0] : lefts[0] + 64].reshape(8, 8, 8, 8).mean((1, 3))
        assert np.array_equal(clip.labels[k], blocks > 0.5)
    assert clip.matches.shape == (0, 8, 8, 2)


def test_flips_turn_frames_and_labels_together(disc_video):
    plain = PlainClips([disc_video()], TINY, seed=0).clip(0, 0, 32)
    turned = PlainClips([disc_video()], replace(TINY, flip=1.0, flip_vertically=1.0), seed=0).clip(0, 0, 32)
    assert np.array_equal(turned.frames, plain.frames[:, ::-1, ::-1])
    assert np.array_equal(turned.labels, plain.labels[:, ::-1, ::-1])


def test_frames_smaller_than_the_crop_are_enlarged_first(disc_video):
    clip = PlainClips([disc_video()], replace(TINY, labels="majority"), seed=0).clip(0, 0, 128)
    assert clip.frames.shape == (4, 128, 128, 3)
    assert set(np.unique(clip.labels)) == {0, 1}


def test_the_short_side_of_youtube_vos_is_384():
    config = PRESETS["official-youtube-vos"]
    assert (config.short_side, config.epochs) == (384, 30)
    assert resize(np.zeros((720, 1280, 3), np.uint8), 384, Pillow.Resampling.BILINEAR).shape == (384, 682, 3)
    assert resize(np.zeros((640, 480, 3), np.uint8), 384, Pillow.Resampling.BILINEAR).shape == (512, 384, 3)


def test_frames_are_shrunk_over_all_of_their_pixels():
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::4] = 240  # every fourth column: OpenCV's four pixels see all of one and nothing of the next
    shrunk = resize(lines, 16, Pillow.Resampling.BILINEAR)
    assert np.abs(shrunk[:, 1:-1].astype(int) - 60).max() <= 16
    untouched = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert resize(untouched, 4, Pillow.Resampling.BILINEAR) is untouched


def test_coloured_masks_are_shrunk_and_mix_as_released(disc_video):
    video = disc_video(height=64)
    config = replace(TINY, crop=32, short_side=32, references=1)
    clip = PlainClips([video], config, seed=0).clip(0, 0, 32)
    by_ids = PlainClips([video], replace(config, labels="nearest"), seed=0).clip(0, 0, 32)
    assert np.array_equal(clip.frames, by_ids.frames)
    assert set(np.unique(by_ids.labels)) == {0, 1}
    assert set(np.unique(clip.labels)) >= {0, 1}
    where = clip.labels != by_ids.labels
    assert where.mean() < 0.3


def test_colour_jitter_changes_every_frame_alike(disc_video):
    still = np.stack([disc_video().read_frame(0)] * 2)
    changed = jitter(still, np.random.default_rng(0), 0.4)
    assert np.array_equal(changed[0], changed[1])
    assert np.abs(changed[0].astype(int) - still[0]).mean() > 5
    assert np.abs(jitter(still, np.random.default_rng(0), 0.0).astype(int) - still).max() <= 6  # hue in 2 degrees


@pytest.mark.parametrize("preset", ["table2-1", "table2-sparse", "small"])
def test_a_batch_is_the_same_whoever_makes_which_part(preset, learner):
    config = replace(PRESETS[preset], batch=4, crop=32, architecture="r18")
    whole = learner(config).batch(5)
    shares = [learner(config, rank=rank, world=2).batch(5) for rank in (0, 1)]
    for part, one, other in zip(whole, *shares, strict=True):
        assert torch.equal(part[0::2], one)
        assert torch.equal(part[1::2], other)


def test_every_place_of_a_batch_is_made_once():
    assert sorted([*share_of(5, 0, 2), *share_of(5, 1, 2)]) == [0, 1, 2, 3, 4]


def test_void_is_background_and_frames_without_truth_begin_no_clip(disc_video):
    void = disc_video(read_truth=lambda t: np.full((64, 96), 255, np.uint8))
    assert not read_pair(void, 0)[1].any()
    sparse = disc_video(length=30, truth_frames=tuple(range(0, 30, 5)))
    assert PlainClips([sparse], TINY, seed=0).epoch == 6 // 2
    bare = disc_video(read_truth=lambda t: None)
    with pytest.raises(DataError, match="'disc' has no truth at frame 2"):
        read_pair(bare, 2)


def test_videos_too_short_for_a_clip_are_refused_by_name(disc_video):
    with pytest.raises(DataError, match=r"found video 'b' with 9 annotated frames; expected videos with 10 or more"):
        PlainClips([disc_video("a"), disc_video("b", length=9)], OFFICIAL, seed=0)
    with pytest.raises(DataError, match="found no video"):
        PlainClips([], OFFICIAL, seed=0)


def test_more_classes_than_the_official_22_are_refused(disc_video):
    video = disc_video(read_truth=lambda t: np.full((64, 96), 22, np.uint8))
    with pytest.raises(DataError, match="found object id 22"):
        PlainClips([video], TINY, seed=0).clip(0, 0, 32)
