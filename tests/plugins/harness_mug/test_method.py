"""Objects: references, the CRF, maps alone, and videos that are odd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from harness import DataError
from harness.api.errors import UsageError
from harness.models.frame_files import content_name
from harness_mug.config import OBJECT_PRESETS, ObjectConfig
from harness_mug.method import Foreground, MuGObjects, References, build, draw_references, foreground_of, middles
from harness_mug.readout.accidents import draw_as_released

SMOKE = OBJECT_PRESETS["smoke"]


def masks_of(method, video):
    found = list(method.segment_object(video))
    assert all(mask.dtype == torch.uint8 and mask.shape == video.size for mask in found)
    return torch.stack(found)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 80])
def test_each_equal_part_of_a_video_has_one_reference(length):
    for found in (middles(length, 8), draw_references(length, 8, seed=3)):
        assert len(found) == len(set(found)) == min(8, length)
        assert found == sorted(found)
        if length >= 8:
            assert all(part * length // 8 <= frame < (part + 1) * length / 8 for part, frame in enumerate(found))


def test_the_middle_frame_stands_for_its_part():
    assert middles(80, 8) == [5, 15, 25, 35, 45, 55, 65, 75]
    assert middles(27, 3) == [4, 13, 22]  # the fifth of nine
    assert middles(9, 8) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_the_released_references_are_never_the_first_frame_and_may_be_the_last():
    """27 frames: eight parts of three from frame 1 on, and two frames that belong to none."""
    drawn = [draw_as_released(27, 8, seed) for seed in range(40)]
    for part in range(8):
        assert {each[part] for each in drawn} == {1 + 3 * part, 2 + 3 * part, 3 + 3 * part}
    assert draw_as_released(9, 8, seed=0) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert draw_as_released(8, 8, seed=0) == draw_as_released(2, 8, seed=0) == [1]  # parts would be empty
    assert draw_as_released(1, 8, seed=0) == [0]


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ("middle", middles(20, 8)),
        ("random", draw_references(20, 8, seed=0)),
        ("released", draw_as_released(20, 8, seed=0)),
    ],
)
def test_references_are_picked_as_the_config_says(toy, pick, expected):
    learned = foreground_of(toy.context(replace(SMOKE, pick=pick))).source
    with torch.inference_mode():
        references = learned.begin(toy.video_of(toy.squares(20)[0]))
    assert list(references.memories) == expected


@pytest.mark.parametrize(("enlarge", "middle"), [("nearest", [0.2, 0.6]), ("bilinear", [0.3875, 0.4125])])
def test_cells_become_pixels_as_the_config_says(toy, monkeypatch, enlarge, middle):
    """Two cells of .2 and .6 on 16 pixels each; between their centres bilinear goes up by .4 / 16 a pixel."""
    learned = foreground_of(toy.context(replace(SMOKE, short_side=16, source="frames", enlarge=enlarge))).source
    monkeypatch.setattr(learned.phi.network, "judge", lambda embedding: torch.logit(torch.tensor([[[[0.2, 0.6]]]])))
    found = learned.rate(torch.zeros(16, 32, 3, dtype=torch.uint8), 0, References({}))
    assert found[:, 0].tolist() == pytest.approx([0.2] * 16)
    assert found[3, 15:17].tolist() == pytest.approx(middle)


@pytest.mark.parametrize("length", [1, 3, 10])
@pytest.mark.parametrize("changes", [{}, {"source": "frames"}, {"pick": "released", "enlarge": "nearest"}])
def test_a_video_of_any_length_has_a_mask_a_frame(toy, length, changes):
    images, _ = toy.squares(length)
    found = masks_of(build(toy.context(replace(SMOKE, **changes))), toy.video_of(images))
    assert found.shape == (length, 64, 96)
    assert set(found.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("architecture", ["small", "code"])
def test_plain_forms_decide_as_the_fast_ones(toy, architecture):
    config = ObjectConfig(stretch=None, short_side=64, untrained_architecture=architecture, threshold=0.499)
    video = toy.video_of(toy.squares(3)[0])
    fast, plain = (masks_of(build(toy.context(replace(config, plain=plain))), video) for plain in (False, True))
    assert torch.equal(fast, plain)


def test_a_frame_that_is_a_reference_is_compared_with_the_others_alone(toy):
    images, _ = toy.squares(3)
    learned = foreground_of(toy.context(SMOKE)).source
    with torch.inference_mode():
        references = learned.begin(toy.video_of(images))
    assert list(references.memories) == [0, 1, 2]
    assert len(references.others(1, leave_out_own=True)) == 2
    assert len(references.others(1, leave_out_own=False)) == 3
    with torch.inference_mode():
        alone = learned.begin(toy.video_of(images[:1]))
    assert len(alone.others(0, leave_out_own=True)) == 1  # there is no other


def test_the_crf_draws_a_mask_to_the_frame_s_edges(toy):
    images, truths = toy.squares(1)
    frame, truth = torch.from_numpy(images[0]), torch.from_numpy(truths[0]).bool()
    rated = torch.full(truth.shape, 0.2)
    rated[20:44, 4:28] = 0.7  # the square, four pixels too low and too far left
    found = Foreground(ObjectConfig(), toy.Bright()).decide(frame, rated)

    def overlap(mask):
        return float((mask & truth).sum() / (mask | truth).sum())

    assert overlap(found) > overlap(rated >= 0.5) + 0.1


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (1.0, 1)])
def test_nothing_and_everything_stay_what_they_are_through_the_crf(toy, value, expected):
    images, _ = toy.squares(1)
    rated = torch.full((64, 96), value)
    found = Foreground(ObjectConfig(), toy.Bright()).decide(torch.from_numpy(images[0]), rated)
    assert found.unique().tolist() == [bool(expected)]


def test_maps_alone_find_what_stands_out_and_need_no_network(toy):
    images, truths = toy.squares(2)
    method = build(toy.context(OBJECT_PRESETS["maps"], saliency="boundary"))
    found = masks_of(method, toy.video_of(images)).bool().numpy()
    assert (found & (truths > 0)).sum() / (found | (truths > 0)).sum() > 0.8


def test_maps_of_motion_find_what_moves_and_see_the_frames_around(toy):
    images, truths = toy.squares(4)
    method = build(toy.context(replace(OBJECT_PRESETS["maps"], crf=False), saliency="motion"))
    found = masks_of(method, toy.video_of(images)).bool().numpy()
    assert (found & (truths > 0)).sum() / (found | (truths > 0)).sum() > 0.5


def test_maps_of_one_colour_hold_no_object(toy):
    images = np.full((2, 48, 64, 3), 90, np.uint8)
    found = masks_of(build(toy.context(OBJECT_PRESETS["maps"], saliency="boundary")), toy.video_of(images))
    assert not found.any()


def test_maps_without_a_provider_are_refused(toy):
    with pytest.raises(UsageError, match="no saliency provider"):
        build(toy.context(OBJECT_PRESETS["maps"]))


def test_a_folder_of_maps_that_lacks_a_frame_is_named(toy, tmp_path):
    images, truths = toy.squares(2)
    (tmp_path / "content").mkdir()
    name = content_name(torch.from_numpy(images[0]))
    Image.fromarray(truths[0] * 255).save(tmp_path / "content" / f"{name}.png")
    config = replace(OBJECT_PRESETS["maps"], crf=False)
    masks = build(toy.context(config, saliency=f"files:{tmp_path}")).segment_object(toy.video_of(images))
    assert torch.equal(next(masks), torch.from_numpy(truths[0]))
    with pytest.raises(DataError, match=f"{content_name(torch.from_numpy(images[1]))}.png"):
        next(masks)


def test_a_folder_of_maps_that_is_not_there_is_named(toy, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        build(toy.context(OBJECT_PRESETS["maps"], saliency=f"files:{tmp_path / 'nowhere'}"))


def test_frames_are_read_once_beside_the_references(toy):
    images, _ = toy.squares(20)
    video = toy.video_of(images)
    seen, read = [], video._read

    def note(t):
        seen.append(t)
        return read(t)

    video._read = note
    list(MuGObjects(foreground_of(toy.context(SMOKE))).segment_object(video))
    assert seen == [*middles(20, 8), *range(20)]
