"""Frames made worse as much as the table says, alike for one seed, video and frame, whatever was read before."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.corruptions.names import Setting
from harness.corruptions.pixels import FRAME_CORRUPTIONS
from harness.corruptions.samples import corrupt_sample, draws_for
from harness.corruptions.table import CORRUPTIONS


def setting(name, severity=3, seed=0):
    return Setting(CORRUPTIONS[name], severity, seed)


def picture(height=24, width=32):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 8, columns * 6, (rows + columns) % 7 * 30], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", list(FRAME_CORRUPTIONS))
def test_a_frame_keeps_its_shape_and_is_worse_the_higher_the_severity(name):
    frame = picture()
    losses = []
    for severity in (1, 3, 5):
        made = FRAME_CORRUPTIONS[name](frame, setting(name, severity).value, draws_for(setting(name), "v", 0))
        assert (made.shape, made.dtype) == (frame.shape, np.uint8)
        losses.append(np.abs(made.astype(float) - frame).mean())
    assert 0 < losses[0] < losses[1] < losses[2]


def test_noise_has_the_deviation_of_the_table_and_is_new_in_each_frame():
    grey = np.full((64, 64, 3), 128, np.uint8)
    made = FRAME_CORRUPTIONS["noise"](grey, 0.08, draws_for(setting("noise"), "v", 0))
    assert made.std() / 255 == pytest.approx(0.08, rel=0.05)
    other = FRAME_CORRUPTIONS["noise"](grey, 0.08, draws_for(setting("noise"), "v", 1))
    assert abs(np.corrcoef(made.ravel(), other.ravel())[0, 1]) < 0.05


def test_blur_leaves_an_even_picture_alone_and_spreads_a_point_as_a_gaussian_does():
    assert (FRAME_CORRUPTIONS["blur"](np.full((9, 9, 3), 77, np.uint8), 2, None) == 77).all()
    point = np.zeros((33, 33, 3), np.uint8)
    point[16, 16] = 255
    spread = FRAME_CORRUPTIONS["blur"](point, 1, None)[..., 0]
    assert spread[16, 16] == round(255 / (2 * np.pi))  # the height of a Gaussian of deviation 1


def test_jpeg_is_what_pillow_writes_at_that_quality():
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", quality=15)
    assert (FRAME_CORRUPTIONS["jpeg"](picture(), 15, None) == np.array(Image.open(file))).all()


def test_a_quarter_of_the_resolution_is_means_of_four_by_four():
    board = np.zeros((16, 16, 3), np.uint8)
    board[::2] = 200  # rows that no picture of a quarter can hold
    assert (FRAME_CORRUPTIONS["resolution"](board, 0.25, None) == 100).all()


def test_a_frame_depends_on_seed_video_and_number_and_on_nothing_that_was_read_before(tests_tools):
    sample = tests_tools.tiny_sample()
    forward, backward = corrupt_sample(sample, setting("noise")), corrupt_sample(sample, setting("noise"))
    seen = [forward.read_frame(t) for t in range(5)]
    assert all((backward.read_frame(t) == seen[t]).all() for t in reversed(range(5)))
    other_seed = corrupt_sample(sample, setting("noise", seed=1)).read_frame(0)
    other_video = corrupt_sample(tests_tools.tiny_sample("other"), setting("noise")).read_frame(0)
    assert (other_seed != seen[0]).any()
    assert (other_video != seen[0]).any()


def test_the_truth_is_that_of_the_clean_video_and_the_digest_is_not(tests_tools):
    sample = tests_tools.tiny_sample()
    made = corrupt_sample(sample, setting("noise"))
    assert (made.read_truth(2) == sample.read_truth(2)).all()
    assert (made.read_prompt(0) == sample.read_prompt(0)).all()
    digests = {
        corrupt_sample(sample, setting("noise", severity, seed)).digest() for severity in (1, 2) for seed in (0, 1)
    }
    assert len(digests | {sample.digest()}) == 5


def test_stronger_noise_is_the_same_noise(tests_tools):
    sample = tests_tools.tiny_sample()
    grey = replace(sample, read_frame=lambda t: np.full((40, 40, 3), 128, np.uint8))
    weak, strong = (corrupt_sample(grey, setting("noise", severity)).read_frame(0) / 1.0 - 128 for severity in (1, 2))
    assert (np.sign(weak) * np.sign(strong) >= 0).all()
    assert (np.abs(strong) >= np.abs(weak)).all()


@pytest.mark.parametrize("name", list(FRAME_CORRUPTIONS))
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 2), (17, 31)])
def test_odd_sizes_stay_as_they_are(name, size, tests_tools):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for severity in range(1, 6):
        made = FRAME_CORRUPTIONS[name](frame, setting(name, severity).value, draws_for(setting(name), "v", 0))
        assert (made.shape, made.dtype) == (frame.shape, frame.dtype)
