"""What a batch shows: crops, mirrors and pasted objects whose ids stay exact, and a guidance as it is at test time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import DataError
from harness.api.mask_files import RunLength
from harness.api.video import Sample
from harness_dtnet.training.clips import FrameSource, draw_moments, guidance_mask, keep_large
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.pasting import Crop, lay_one, lay_over, pick_object, similarity
from harness_dtnet.training.placing import cut, place
from harness_dtnet.training.targets import MOST, UNKNOWN, VOID
from harness_dtnet.training.videos import LearnedVideo, list_categories, open_videos

PLAIN = TrainingConfig(
    architecture="small", lines=64, scale=(1.0, 1.0), crop=64, flip=0.0, unguided=0.0, mask_jitter=0.0, mask_lacks=0.0,
    batch=4, iterations=1,
)  # fmt: skip


def sample_of(name="toy", *, frames=5, side=64, merged=False, flow=False, extra=None):
    """A red square that moves to the right, 4 pixels a frame."""
    truths = np.zeros((frames, side, side), np.uint8)
    images = np.full((frames, side, side, 3), 90, np.uint8)
    for t in range(frames):
        truths[t, 16:40, 8 + 4 * t : 32 + 4 * t] = 1
        images[t][truths[t] > 0] = (220, 30, 30)
    return Sample(
        name=name,
        length=frames,
        height=side,
        width=side,
        frame_names=tuple(map(str, range(frames))),
        read_frame=lambda t: images[t],
        digest=lambda: name,
        read_truth=lambda t: truths[t],
        read_flow=(lambda t: None) if flow else None,
        extra=({"is_merged": True} if merged else {}) | (extra or {}),
    )


def source(samples, config=PLAIN, categories=None, seed=0):
    videos = open_videos(samples, categories or {})
    return FrameSource(videos, config, seed, {number: k + 1 for k, number in enumerate(categories or {})})


def test_a_batch_is_the_same_whoever_makes_it():
    config = replace(PLAIN, paste=1.0, flip=0.5, colour=0.2, mask_jitter=0.1, unguided=0.5, scale=(0.8, 1.5))
    found = source([sample_of("a"), sample_of("b", flow=True)], config)
    whole = found.frames(3, range(4))
    shares = [source([sample_of("a"), sample_of("b", flow=True)], config).frames(3, range(k, 4, 2)) for k in (0, 1)]
    for part, even, odd in zip(whole, *shares, strict=True):
        assert torch.equal(part[0::2], even)
        assert torch.equal(part[1::2], odd)
    assert not torch.equal(whole.frames, found.frames(4, range(4)).frames)


def test_red_is_object_one_wherever_the_crop_lies():
    config = replace(PLAIN, scale=(0.6, 1.6), flip=0.5)
    batch = source([sample_of()], config).frames(0, range(16))
    is_red = (batch.frames[..., 0] > 200) & (batch.frames[..., 1] < 60)
    is_edge = (batch.frames[..., 0] > 100) & ~is_red
    assert (batch.ids[is_red] == 1).all()
    assert (batch.ids[~is_red & ~is_edge] != 1).all()
    assert (batch.ids == VOID).any()  # frames smaller than the crop
    assert set(batch.ids.unique().tolist()) == {0, 1, VOID}


def test_the_frame_before_is_one_to_three_back_and_its_mask_is_of_it():
    batch = source([sample_of()]).frames(0, range(16))
    this = (batch.ids == 1).any(1).int().argmax(1)
    earlier = (batch.masks > 127).any(1).int().argmax(1)
    steps = ((this - earlier) // 4).tolist()
    assert set(steps) <= {-3, -2, -1, 1, 2, 3}  # ahead where there is nothing before
    assert {1, 2, 3} <= set(steps)
    red = (batch.before[..., 0] > 200).any(1).int().argmax(1)
    assert torch.equal(red, earlier)


def test_moments_stay_in_the_video_and_a_single_frame_is_its_own_past():
    draws = [draw_moments(np.random.default_rng(k), (0, 5, 10), 3) for k in range(50)]
    assert {this for this, _ in draws} == {0, 5, 10}
    assert all(this != earlier and earlier in (0, 5, 10) for this, earlier in draws)
    assert draw_moments(np.random.default_rng(0), (7,), 3) == (7, 7)


def test_merged_masks_are_foreground_of_unknown_objects_and_are_never_pasted():
    config = replace(PLAIN, paste=1.0, generated=0.0)
    batch = source([sample_of("a", merged=True), sample_of("b", merged=True)], config).frames(0, range(4))
    assert set(batch.ids.unique().tolist()) == {0, UNKNOWN}
    assert (batch.masks > 127).any()


def test_a_pasted_object_has_its_id_where_it_covers_more_than_half():
    host = Crop(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8))
    image, share = np.full((8, 8, 3), 200, np.uint8), np.ones((8, 8), np.float32)
    found = lay_one(host, image, share, similarity(1.0, 0.0, 1.0, np.zeros(2), np.array([4.0, 10.0])), 9)
    assert (found.ids == 9).nonzero()[0].tolist() == [y for y in range(10, 18) for _ in range(8)]
    assert (found.image[10:18, 4:12] == 200).all()
    assert found.image.sum() == 64 * 3 * 200


def test_pasted_objects_move_as_they_did_and_lie_over_what_was_there():
    donor = LearnedVideo(sample_of("donor"), tuple(range(5)), is_merged=False)
    found = pick_object(np.random.default_rng(0), [donor.read(3), donor.read(2)])
    host = [Crop(np.zeros((64, 64, 3), np.uint8), np.full((64, 64), 2, np.uint8))] * 2
    this, earlier = lay_over(np.random.default_rng(1), host, found, 5)
    assert set(np.unique(this.ids)) == {2, 5}
    assert (this.image[this.ids == 5][:, 0] > 60).all()
    assert earlier.ids.shape == this.ids.shape
    assert pick_object(np.random.default_rng(0), [(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))]) is None


def test_objects_of_a_few_pixels_have_no_centre():
    ids = np.zeros((16, 16), np.uint8)
    ids[0, :15], ids[4, :16], ids[8, :2] = 1, 2, VOID
    assert np.unique(keep_large(ids)).tolist() == [0, 2, UNKNOWN, VOID]


def test_the_guidance_lacks_whole_objects_and_leaves_void_out():
    ids = np.zeros((32, 32), np.uint8)
    ids[2:12, 2:12], ids[20:30, 20:30], ids[0, 20:] = 1, 2, VOID
    masks = [guidance_mask(np.random.default_rng(k), ids, replace(PLAIN, mask_lacks=0.5)) for k in range(20)]
    seen = {(bool(mask[7, 7]), bool(mask[25, 25])) for mask in masks}
    assert seen == {(a, b) for a in (True, False) for b in (True, False)}
    assert all(mask[0, 25] == 0 for mask in masks)


def test_crops_lie_around_objects_as_often_as_told():
    ids = np.zeros((64, 256), np.uint8)
    ids[30:34, 200:204] = 1
    image = np.zeros((64, 256, 3), np.uint8)
    seen = {}
    for share in (0.0, 1.0):
        config = replace(PLAIN, on_object=share)
        crops = [cut(image, ids, place(np.random.default_rng(k), ids, config), 64)[1] for k in range(40)]
        seen[share] = sum((crop == 1).any() for crop in crops)
    assert seen[1.0] == 40
    assert 4 <= seen[0.0] <= 26


def tracks_of(category, mask, absent=False):
    return {
        "id": 90, "category_id": category, "iscrowd": 0, "areas": [None],
        "segmentations": [None if absent else RunLength.encode(mask)] * 5,
    }  # fmt: skip


def vis_sample(names, *tracks):
    base = sample_of()
    return Sample(
        name="vis", length=5, height=64, width=64, frame_names=base.frame_names, read_frame=base.read_frame,
        digest=base.digest, extra={"tracks": list(tracks), "category_names": names},
    )  # fmt: skip


def test_tracks_without_id_maps_become_ids_with_their_categories_and_the_smaller_lies_on_top():
    large, small = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    large[8:40, 8:40], small[20:30, 20:30] = True, True
    names = {2: "cat", 9: "dog"}
    sample = vis_sample(names, tracks_of(9, small), tracks_of(2, large), tracks_of(9, large, absent=True))
    assert list_categories([sample]) == names
    batch = source([sample], PLAIN, names).frames(0, range(2))
    assert (batch.ids[0][torch.from_numpy(small)] == 1).all()
    assert (batch.ids[0][torch.from_numpy(large & ~small)] == 2).all()
    assert batch.classes[0].tolist() == [0, 2, 1, 2, *[UNKNOWN] * (MOST - 3)]


def test_categories_that_contradict_each_other_or_are_absent_are_named():
    with pytest.raises(DataError, match="calls category 2 'dog', another one calls it 'cat'"):
        list_categories([vis_sample({2: "cat"}), vis_sample({2: "dog"})])
    with pytest.raises(DataError, match="names categories"):
        list_categories([sample_of()])
    with pytest.raises(DataError, match="frame with a truth"):
        open_videos([], {})
