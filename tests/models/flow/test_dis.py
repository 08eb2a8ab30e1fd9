"""DIS finds known translations, in pixels of the frame and with the sign said, and takes frames of any size."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from harness.models.flow import FlowProvider, flow_provider

NAMES = ("dis", "dis:fast")
MEAN_ERROR = 0.4
"""Pixels; a sign, an axis or a factor of two that was mistaken is an error of 3 and more."""


def make_moved(dx: int, dy: int, size: tuple[int, int] = (200, 300)) -> tuple[torch.Tensor, torch.Tensor]:
    """Two windows on one soft texture: what is at (x, y) of the first is at (x + dx, y + dy) of the second."""
    noise = np.random.default_rng(0).random((size[0] + 40, size[1] + 40, 3)).astype(np.float32)
    wide = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    first = wide[20 : 20 + size[0], 20 : 20 + size[1]]
    second = wide[20 - dy : 20 - dy + size[0], 20 - dx : 20 - dx + size[1]]
    return torch.from_numpy(first.copy()), torch.from_numpy(second.copy())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-6, 0), (0, 3), (-5, 7)])
def test_a_translation_is_found_in_pixels_right_and_down(name, dx, dy):
    first, second = make_moved(dx, dy)
    flow = flow_provider(name).between(first, second)
    inner = flow[:, 20:-20, 20:-20]
    assert flow.dtype == torch.float32
    assert torch.allclose(inner.mean((1, 2)), torch.tensor([dx, dy], dtype=torch.float32), atol=MEAN_ERROR)
    assert (inner - torch.tensor([dx, dy])[:, None, None]).abs().max() < 1


def test_a_frame_of_odd_sides_keeps_its_size_and_its_pixels():
    first, second = make_moved(4, -3, size=(161, 235))
    flow = flow_provider("dis").between(first, second)
    assert flow.shape == (2, 161, 235)
    assert torch.allclose(flow[:, 20:-20, 20:-20].mean((1, 2)), torch.tensor([4.0, -3.0]), atol=0.2)


def test_a_small_frame_is_not_halved():
    first, second = make_moved(2, 1, size=(48, 64))
    flow = flow_provider("dis").between(first, second)
    assert torch.allclose(flow[:, 12:-12, 12:-12].mean((1, 2)), torch.tensor([2.0, 1.0]), atol=0.2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 128])
def test_frames_without_texture_do_not_move(name, value):
    frame = torch.full((60, 80, 3), value, dtype=torch.uint8)
    assert not flow_provider(name).between(frame, frame).any()


@pytest.mark.slow
def test_sizes_that_opencv_refuses_or_crashes_at_are_answered():
    """In a process of its own: without the border, DIS of (24, 300) is a segmentation fault."""
    code = """
import torch
from harness.models.flow import flow_provider
for size in [(1, 1), (2, 2), (7, 9), (1, 300), (300, 1), (13, 300), (24, 300), (20, 200), (40, 900), (128, 2000)]:
    frame = (torch.arange(size[0] * size[1] * 3) * 37 % 251).to(torch.uint8).reshape(*size, 3)
    for name in ("dis", "dis:fast"):
        flow = flow_provider(name).between(frame, frame.roll(1, 1))
        assert flow.shape == (2, *size) and flow.isfinite().all(), size
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_equal_frames_give_equal_flow_whatever_the_threads():
    first, second = make_moved(3, 2)
    before = cv2.getNumThreads()
    try:
        flows = []
        for threads in (1, 3):
            cv2.setNumThreads(threads)
            flows.append(flow_provider("dis").between(first, second))
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(*flows)


def test_it_is_a_provider_and_says_what_it_depends_on():
    provider = flow_provider("dis")
    assert isinstance(provider, FlowProvider)
    assert provider.fingerprint("dog") != flow_provider("dis:fast").fingerprint("dog")
    assert cv2.__version__ in provider.fingerprint("dog")
