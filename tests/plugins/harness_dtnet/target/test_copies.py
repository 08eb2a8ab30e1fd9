"""Copies of a first sample: as drawn by the seed, with the target in them, whatever the mask."""

import numpy as np
import pytest

from harness_dtnet.target.copies import draw_copies, fill_in


def scene():
    image = np.full((60, 80, 3), 40, np.uint8)
    mask = np.zeros((60, 80), np.float32)
    mask[20:35, 30:50] = 1
    image[20:35, 30:50] = 220
    return image, mask


def test_a_target_is_filled_in_from_around_it():
    assert fill_in(*scene()).max() < 60


def test_copies_hold_the_target_where_their_mask_says():
    for image, mask in draw_copies(*scene(), 8, np.random.default_rng(0)):
        assert image.dtype == np.uint8
        assert mask.sum() > 20
        assert image[mask > 0.99].mean() > 200
        assert image[mask == 0].mean() < 60


def test_the_seed_decides():
    first, again, other = (draw_copies(*scene(), 2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][1], other[0][1])


@pytest.mark.parametrize("part", [(slice(0), slice(0)), (slice(0, 1), slice(0, 1)), (slice(None), slice(None))])
def test_no_pixel_one_pixel_in_the_corner_and_the_whole_frame_are_no_trouble(part):
    image, mask = scene()
    mask[:] = 0
    mask[part] = 1
    for picture, moved in draw_copies(image, mask, 3, np.random.default_rng(0)):
        assert picture.shape == image.shape
        assert np.isfinite(moved).all()
        assert (moved.sum() > 0) == (mask.sum() > 0) or mask.sum() == 1
