"""Pairs to learn from: which frames, one window for both, and flow that turns with it."""

import itertools

import numpy as np
import pytest
import torch

from harness import DataError
from harness.api.video import Sample
from harness_imas.training.clips import PairSource, Window, cut, cut_flow, draw_window, mask_stride, shift_colours
from harness_imas.training.config import TrainingConfig

SMALL = TrainingConfig(architecture="lite0", short_side=32, crop=16, batch=2, iterations=10, photometric=False)


def sample_of(name, frames=3, height=32, width=48):
    images = np.random.default_rng(len(name)).integers(0, 256, (frames, height, width, 3), np.uint8)
    return Sample(
        name=name,
        length=frames,
        height=height,
        width=width,
        frame_names=tuple(f"{t:05d}" for t in range(frames)),
        read_frame=lambda t: images[t],
        digest=lambda: name,
    )


class Flow:
    """The flow of every pair is 20 pixels, both ways and both components."""

    def pair(self, video, t):
        return torch.full((2, 8, 14), 20.0).half(), torch.full((2, 8, 14), 20.0).half()


def source_of(samples, config=SMALL, **more):
    return PairSource(samples, Flow(), config, 0, **more)


def test_every_frame_is_drawn_once_an_epoch_and_the_last_stands_for_the_pair_before_it():
    source = source_of([sample_of("a"), sample_of("bb", 4), sample_of("still", 1)])

    assert source.order.index == [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 2), (1, 2)]


def test_videos_of_one_frame_alone_have_no_motion():
    with pytest.raises(DataError, match="no pair of frames"):
        source_of([sample_of("still", 1)])


def test_a_share_of_a_batch_is_the_same_whoever_makes_it():
    source = source_of([sample_of("a"), sample_of("bb", 4)])

    both, second = source.pairs(3, (0, 1)), source.pairs(3, (1,))

    for whole, part in zip(both, second, strict=True):
        assert torch.equal(whole[1:], part)
    assert both.frames.shape == (2, 2, 16, 16, 3)
    assert both.flows.shape == (2, 2, 2, 4, 4)
    assert both.targets.shape == (2, 2, 0, 0)


def test_flow_is_in_pixels_of_480_lines_and_clamped():
    source = source_of([sample_of("a")])  # 20 pixels of 32 lines are 300 of 480

    flows = source.pairs(0, (0,)).flows

    assert set(flows.abs().flatten().tolist()) == {20.0}


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_window_of_an_image_and_of_its_flow_show_the_same(mirrored):
    """An image whose value is its column; a flow whose dx is too."""
    columns = np.tile(np.arange(64, dtype=np.float32), (32, 1))
    window = Window(0.25, 0.25, 0.5, 0.5, mirrored)

    seen = cut(columns.astype(np.uint8), window, (16, 32))
    flow = cut_flow(np.stack([columns, columns]), window, (16, 32))

    expected = np.arange(16, 48)[:: -1 if mirrored else 1]
    assert (seen == expected).all()
    assert np.allclose(flow[1], expected)
    assert np.allclose(flow[0], -expected if mirrored else expected)


def test_a_shrunken_window_keeps_the_values_of_flow():
    flow = np.full((2, 8, 14), 3.5, np.float32)

    assert (cut_flow(flow, Window(0, 0, 1, 1, False), (4, 4)) == 3.5).all()


def test_targets_are_cut_as_their_frames_are():
    sample = sample_of("a")
    marked = np.zeros((3, 8, 12), np.uint8)
    marked[:, :, :6] = 255  # the left half

    batch = source_of([sample], targets=[marked]).pairs(0, (0, 1))

    assert batch.targets.shape == (2, 2, 4, 4)
    assert batch.targets.min() >= 0
    assert batch.targets.max() <= 1
    assert torch.equal(batch.targets[:, 0], batch.targets[:, 1])


def test_windows_lie_in_the_frame_and_show_crop_pixels():
    rng = np.random.default_rng(0)
    for height, width in itertools.product((32, 50), (48, 31)):
        for _ in range(50):
            window = draw_window(rng, height, width, SMALL)
            assert 0 <= window.top <= 1 - window.height
            assert 0 <= window.left <= 1 - window.width
            scale = window.height * height / (window.width * width)
            assert scale == pytest.approx(1.0)


def test_stretched_frames_are_cut_from_480_lines_whatever_they_were():
    config = TrainingConfig(stretch=(480, 854))
    window = draw_window(np.random.default_rng(0), 300, 200, config)

    assert window.height * 480 == pytest.approx(window.width * 854)


def test_both_frames_of_a_pair_get_the_same_colours():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    changed = 0
    for seed in range(20):
        first, second = shift_colours(np.random.default_rng(seed), [image, image.copy()])
        assert (first == second).all()
        assert first.dtype == np.uint8
        changed += (first != image).any()

    assert 10 <= changed < 20


def test_masks_have_the_stride_of_what_they_are_made_of():
    assert mask_stride(TrainingConfig()) == 4
    assert mask_stride(TrainingConfig(merging=False)) == 8
    assert mask_stride(TrainingConfig(architecture="lite0", merging=False)) == 16
