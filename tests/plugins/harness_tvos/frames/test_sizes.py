"""Frames and first masks at another size: as Pillow resizes, and back to the video's own size at the end."""

import numpy as np
import pytest
import torch
from PIL import Image

from harness_tvos.frames.sizes import grid_of, hard_labels, resize_image, soft_labels, working_size


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((480, 854), None, (480, 854)),
        ((480, 854), 480, (480, 854)),
        ((480, 854), 240, (240, 427)),
        ((720, 1280), 480, (480, 853)),  # 853.33 is cut, not rounded
        ((1280, 720), 480, (853, 480)),
        ((100, 1920), 1, (1, 19)),
    ],
)
def test_the_shorter_side_gets_the_length_and_the_other_is_cut_to_a_whole(size, short_side, expected):
    assert working_size(size, short_side) == expected


@pytest.mark.parametrize(("size", "expected"), [((120, 214), (480, 856)), ((480, 854), (480, 854)), ((720, 1280),) * 2])
def test_small_videos_alone_are_enlarged(size, expected):
    assert working_size(size, None, 480) == expected


def test_the_grid_is_an_eighth_rounded_up():
    assert grid_of((480, 853)) == (60, 107)


@pytest.mark.parametrize("short_side", [20, 31, 80])
def test_images_are_resized_as_pillow_does(short_side):
    image = torch.randint(256, (40, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = resize_image(image, working_size((40, 64), short_side))[0].permute(1, 2, 0)
    expected = np.asarray(Image.fromarray(image.numpy()).resize(working_size((40, 64), short_side)[::-1], 2))
    assert found.shape == expected.shape
    assert (found - torch.from_numpy(expected.astype(np.float32))).abs().max() <= 1


def test_images_of_the_right_size_are_left_alone():
    image = torch.randint(256, (24, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize_image(image, (24, 16))[0].permute(1, 2, 0), image.float())


def test_a_first_mask_at_half_size_keeps_its_area():
    prompt = torch.zeros(64, 64, dtype=torch.uint8)
    prompt[:, :32] = 7
    labels = soft_labels(prompt, [0, 7], (32, 32))
    assert labels.shape == (2, 4, 4)
    assert torch.allclose(labels.sum(0), torch.ones(4, 4))
    assert labels[1, 0].tolist() == [1, 1, 0, 0]


def test_hard_labels_take_the_nearest_pixel_of_each_size_on_the_way():
    prompt = torch.zeros(1, 12, dtype=torch.uint8)
    prompt[0, 5] = 7  # 12 to 4 takes 1, 4, 7, 10; 12 to 6 takes 1, 3, 5, ..., of which 4 take the 1st, 3rd, 4th, 6th
    assert hard_labels(prompt, [0, 7], ((1, 4),))[1].tolist() == [[0, 0, 0, 0]]
    assert hard_labels(prompt, [0, 7], ((1, 6), (1, 4)))[1].tolist() == [[0, 1, 0, 0]]
