"""Cells lie on pixels 0, 4, 8 ...; labels and upsampled scores have to agree on that."""

import pytest
import torch

from harness_selfsup.frames.grids import grid_of, labels_of_cells, resize_frame, upsample, working_size

SIZES = [(16, 24), (17, 23), (1, 1), (2, 7), (5, 4)]


def ramp(size: tuple[int, int]) -> torch.Tensor:
    """(2, h, w): the row and the column, in pixels, of each cell."""
    rows, columns = (torch.arange(cells) * 4.0 for cells in grid_of(size))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


@pytest.mark.parametrize("size", SIZES)
def test_aligned_scores_have_the_value_of_a_cell_on_its_pixel(size):
    found = upsample(ramp(size), size, aligned=True)
    assert found.shape == (2, *size)
    last = [4 * (cells - 1) for cells in grid_of(size)]
    rows = torch.arange(size[0]).clamp(max=last[0]).float()
    columns = torch.arange(size[1]).clamp(max=last[1]).float()
    expected = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    assert torch.allclose(found, expected, atol=1e-4)


def test_scores_as_mast_upsamples_them_are_late_by_a_pixel_and_a_half():
    found = upsample(ramp((32, 48)), (32, 48), aligned=False)
    inner = (torch.arange(2, 30)[:, None] - 1.5).expand(28, 44)
    assert torch.allclose(found[0, 2:30, 2:46], inner, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mean", [False, True])
def test_every_cell_has_one_label_in_all(size, mean):
    mask = torch.randint(3, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = labels_of_cells(mask, torch.arange(3), size, mean=mean)
    assert labels.shape == (3, *grid_of(size))
    assert torch.allclose(labels.sum(0), torch.ones(grid_of(size)))


def test_the_nearest_label_is_that_of_pixel_4i():
    mask = torch.arange(8 * 12, dtype=torch.uint8).view(8, 12)
    labels = labels_of_cells(mask, torch.arange(96), (8, 12), mean=False)
    assert labels.argmax(0).tolist() == [[0, 4, 8], [48, 52, 56]]


def test_the_mean_label_is_the_share_of_the_pixels_around_4i():
    mask = torch.zeros(12, 12, dtype=torch.uint8)
    mask[:, 5:] = 1
    labels = labels_of_cells(mask, torch.arange(2), (12, 12), mean=True)
    assert labels[1, 1].tolist() == [0, 1.5 / 4, 1]  # of pixels 2..6 (ends half) around 4, those at 5 and 6


def test_labels_of_a_resized_video_are_those_of_the_resized_mask():
    mask = torch.zeros(16, 32, dtype=torch.uint8)
    mask[:, 16:] = 9
    labels = labels_of_cells(mask, torch.tensor([0, 9]), (8, 16), mean=False)
    assert labels[1].tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((480, 854), None, (480, 854)), ((480, 854), 480, (480, 854)), ((480, 854), 240, (240, 427)), ((9, 3), 1, (3, 1))],
)
def test_the_working_size_keeps_the_aspect(size, short_side, expected):
    assert working_size(size, short_side) == expected


def test_a_frame_at_its_own_size_is_left_alone_and_another_is_smoothed():
    frame = torch.zeros(8, 8, 3, dtype=torch.uint8)
    frame[:, ::2] = 255
    assert resize_frame(frame, (8, 8)) is frame
    small = resize_frame(frame, (2, 2))
    assert small.shape == (2, 2, 3)
    assert (small - 0.5).abs().max() < 0.15
