"""A still image becomes a steady little video, and its warps are those of its coordinates."""

from __future__ import annotations

import numpy as np

from harness_selfsup.training.homographies import random_path, warp


def test_the_first_frame_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    first = random_path(np.random.default_rng(1), 3, 24, 32, 0.2)[0]
    assert np.array_equal(warp(image, first), image)


def test_pixels_go_where_coordinates_go() -> None:
    """The image holds its own coordinates: where (x, y) lands, the warped image must say (x, y)."""
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([columns * 4, rows * 4, rows * 0], -1).astype(np.uint8)
    matrix = random_path(np.random.default_rng(2), 2, 48, 64, 0.2)[1]
    warped = warp(image, matrix)
    checked = 0
    for x, y in ((10, 10), (32, 24), (50, 12), (20, 40), (44, 33)):
        landed = matrix @ [x, y, 1.0]
        column, row = landed[:2] / landed[2]
        if 1 <= column <= 62 and 1 <= row <= 46:
            near = warped[round(row), round(column)].astype(float) / 4
            assert np.abs(near[:2] - [x, y]).max() < 1.5
            checked += 1
    assert checked >= 3
    assert np.abs(warped.astype(int) - image).max() > 8  # it did move


def test_corners_move_steadily_and_no_further_than_strength() -> None:
    path = random_path(np.random.default_rng(3), 6, 100, 200, 0.1)
    corners = np.array([[0, 0, 1], [199, 0, 1], [199, 99, 1], [0, 99, 1]], np.float64).T
    landed = np.stack([(moved := matrix @ corners)[:2] / moved[2] for matrix in path])  # (frames, 2, corners)
    ways = landed - landed[0]
    assert (np.abs(ways) <= np.array([20, 10])[None, :, None] + 1e-3).all()
    lengths = np.linalg.norm(ways, axis=1)
    assert (np.diff(lengths, axis=0) > 0).all()
