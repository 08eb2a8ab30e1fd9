"""Mixed clips: their flow follows the pixels, exact where the data know it; pasted objects have an id of their own."""

from dataclasses import replace

import numpy as np
import pytest

from harness import DataError
from harness_tvos.training.clips_mixed import PASTED, MixedClips
from harness_tvos.training.config import SMALL
from harness_tvos.training.flow import UNKNOWN, chain, dense_flow

STILL = replace(SMALL, paste=0.0, clip_colour=0.0, frame_colour=0.0, crop=48)


def clips_of(samples, config, count=8, side=48):
    source = MixedClips(samples, config, seed=0)
    return [source.clip(0, place, side) for place in range(count)]


@pytest.mark.parametrize("has_flow", [False, True])
def test_matches_follow_the_pixels(has_flow, disc_video):
    samples = [disc_video("a", seed=0, has_flow=has_flow), disc_video("b", seed=1, has_flow=has_flow)]
    matched, unmoved = [], []
    for clip in clips_of(samples, STILL):
        for a in (0, 1):
            for row, column in np.argwhere(clip.is_matched[a]):
                x, y = np.clip(np.rint(clip.matches[a, row, column] * 8 + 3.5), 0, 47).astype(int)
                here = clip.frames[a, row * 8 + 3, column * 8 + 3].astype(float)
                matched.append(np.abs(here - clip.frames[1 - a, y, x]).mean())
                unmoved.append(np.abs(here - clip.frames[1 - a, row * 8 + 3, column * 8 + 3]).mean())
    assert len(matched) > 100
    assert np.mean(matched) < np.mean(unmoved) / 2


def test_exact_flow_is_taken_where_the_video_has_it(disc_video, monkeypatch):
    monkeypatch.setattr("harness_tvos.training.clips_mixed.dense_flow", None)
    assert len(clips_of([disc_video(has_flow=True)], STILL, count=1)) == 1
    with pytest.raises(TypeError):
        clips_of([disc_video()], STILL, count=1)


def test_steps_chain_and_lead_back(disc_video):
    video = disc_video(has_flow=True)
    there, back = chain([video.read_flow(t) for t in (3, 4, 5)])
    assert there[32, 36].tolist() == [6, 0]  # the disc goes 2 a frame
    assert back[32, 42].tolist() == [-6, 0]
    assert there[5, 50].tolist() == [-6, 0]  # the ground the other way
    assert back[5, 44].tolist() == [6, 0]
    assert (back[5, 92:] == UNKNOWN).all()  # ground that came in at the right
    assert (np.abs(there[5, :4, 0]) > 96).all()  # ground that left at the left is lost


def test_dis_flow_finds_a_shift(disc_video):
    frame = disc_video().read_frame(0)
    flow = dense_flow(frame, np.roll(frame, 3, axis=1))
    assert np.median(flow[16:48, 20:76, 0]) == pytest.approx(3, abs=0.3)


def test_pasted_objects_have_their_own_id_and_no_matches(disc_video):
    samples = [disc_video("a", seed=0), disc_video("b", seed=1), disc_video("c", seed=2)]
    clips = clips_of(samples, replace(SMALL, paste=1.0), side=64)
    assert {int(value) for clip in clips for value in np.unique(clip.labels)} == {0, 1, PASTED}
    for clip in clips:
        assert not (clip.is_matched & (clip.labels[:2] == PASTED)).any()
    assert not any((clip.labels == PASTED).any() for clip in clips_of(samples, STILL))


def test_clips_come_from_videos_with_flow_as_often_as_asked(disc_video):
    samples = [disc_video("a"), disc_video("b", has_flow=True)]
    for share, expected in ((0.0, {0}), (1.0, {1})):
        source = MixedClips(samples, replace(SMALL, generated=share), seed=0)
        assert {source.video(np.random.default_rng(k)) for k in range(20)} == expected
    only = MixedClips(samples[:1], replace(SMALL, generated=1.0), seed=0)
    assert only.video(np.random.default_rng(0)) == 0


def test_a_clip_has_a_near_frame_and_far_ones_within_the_video(disc_video):
    source = MixedClips([disc_video(length=30)], SMALL, seed=0)
    for seed in range(50):
        moments = source.moments(np.random.default_rng(seed), 0, 4)
        gaps = [abs(t - moments[0]) for t in moments]
        assert 1 <= gaps[1] <= SMALL.near_gap
        assert all(gaps[1] < gap <= SMALL.far_gap for gap in gaps[2:])
        assert all(0 <= t < 30 for t in moments)


def test_a_clip_is_a_function_of_seed_iteration_and_place(disc_video):
    samples = [disc_video("a", seed=0), disc_video("b", seed=1)]
    one, again, other = (MixedClips(samples, SMALL, seed=seed) for seed in (0, 0, 1))
    clip = one.clip(4, 1, 32)
    again.clip(0, 0, 32)
    assert all(np.array_equal(x, y) for x, y in zip(clip, again.clip(4, 1, 32), strict=True))
    assert not np.array_equal(clip.frames, other.clip(4, 1, 32).frames)
    assert not np.array_equal(clip.frames, one.clip(4, 0, 32).frames)


def test_videos_of_one_frame_are_refused(disc_video):
    with pytest.raises(DataError, match="2 annotated frames or more"):
        MixedClips([disc_video(length=1)], SMALL, seed=0)
