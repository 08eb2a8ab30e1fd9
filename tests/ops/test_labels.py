"""Id maps become planes and planes are resized the way the official codes do it."""

import numpy as np
import pytest
import torch
from PIL import Image

from harness.ops.labels import one_hot, overlay, resize_bilinear, resize_nearest


def test_planes_follow_the_given_ids():
    mask = torch.tensor([[0, 7], [3, 255]], dtype=torch.uint8)
    planes = one_hot(mask, (0, 3, 7))
    assert planes.tolist() == [[[1, 0], [0, 0]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]


def test_down_by_eight_is_the_mean_of_the_centre_two_by_two():
    plane = torch.rand(1, 16, 24, generator=torch.Generator().manual_seed(0))
    blocks = plane.view(2, 8, 3, 8)
    assert torch.allclose(resize_bilinear(plane, (2, 3))[0], blocks[:, 3:5, :, 3:5].mean((1, 3)), atol=1e-6)


def test_up_by_two_mixes_neighbours_three_to_one():
    row = torch.tensor([[[0.0, 1.0]]])
    assert resize_bilinear(row, (1, 4))[0, 0].tolist() == [0, 1 / 4, 3 / 4, 1]


@pytest.mark.parametrize("size", [(480, 853), (60, 107), (90, 160), (7, 200), (1, 1)])
def test_ids_are_resized_to_the_nearest_as_pillow_does(size):
    mask = torch.randint(256, (72, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = np.asarray(Image.fromarray(mask.numpy()).resize(size[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(resize_nearest(mask, size).numpy(), expected)


def test_the_nearest_pixel_is_the_one_under_the_centre():
    row = torch.tensor([[1, 2, 3, 4, 5, 6]], dtype=torch.uint8)
    assert resize_nearest(row, (1, 2)).tolist() == [[2, 5]]
    assert resize_nearest(row, (1, 4)).tolist() == [[1, 3, 4, 6]]


def test_a_prompt_is_laid_over_a_mask_and_its_objects_are_nowhere_else():
    mask = torch.tensor([[1, 2, 0, 3]], dtype=torch.uint8)
    prompt = torch.tensor([[0, 0, 2, 2]], dtype=torch.uint8)
    assert overlay(mask, prompt).tolist() == [[1, 0, 2, 2]]
    assert mask.tolist() == [[1, 2, 0, 3]]
