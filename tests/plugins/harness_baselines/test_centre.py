"""The ellipse lies in the middle, fits the frame's shape, and is the same in every frame."""

import math

import torch

from harness_baselines.centre import CentrePrior, draw_ellipse
from harness_baselines.config import CentreConfig


def test_the_ellipse_covers_its_share_of_the_frame():
    mask = draw_ellipse((480, 854), CentreConfig())

    assert abs(mask.float().mean() - math.pi * 0.22 * 0.20) < 1e-3
    assert torch.equal(mask, mask.flip(0))
    assert torch.equal(mask, mask.flip(1))


def test_its_axes_are_half_its_height_and_width():
    """Of 100 rows those whose centres lie within 30 of the middle: 20 to 79."""
    mask = draw_ellipse((100, 100), CentreConfig(half_height=0.3, half_width=0.1))

    assert mask.any(1).nonzero().flatten().tolist() == list(range(20, 80))
    assert mask.any(0).nonzero().flatten().tolist() == list(range(40, 60))


def test_the_smallest_frames_have_an_object_too():
    assert draw_ellipse((1, 1), CentreConfig()).tolist() == [[1]]
    assert draw_ellipse((2, 2), CentreConfig()).tolist() == [[1, 1], [1, 1]]
    assert draw_ellipse((1, 5), CentreConfig()).tolist() == [[0, 1, 1, 1, 0]]


def test_no_frame_is_read_and_no_mask_is_handed_out_twice(numbered_video):
    video = numbered_video(3)
    with torch.inference_mode():
        masks = CentrePrior(CentreConfig()).segment_object(video)
        next(masks).zero_()
        second, third = masks

    assert not video.reads
    assert torch.equal(second, third)
    assert second.any()
