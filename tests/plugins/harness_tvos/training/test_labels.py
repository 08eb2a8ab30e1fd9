"""Ids of 8 x 8 pixels become one label: the commonest, the centre's, or what the official palette makes of them."""

import numpy as np

from harness_tvos.training.labels import central, centroids, commonest, nearest_classes, paint, palette


def test_the_commonest_id_wins_and_the_lower_one_of_two():
    ids = np.zeros((1, 8, 24), np.uint8)
    ids[0, :5, :8] = 3
    ids[0, :4, 8:16] = 1
    ids[0, :3, 16:] = 2
    assert commonest(ids).tolist() == [[[3, 0, 0]]]


def test_the_central_id_is_that_of_one_pixel():
    ids = np.zeros((8, 16), np.uint8)
    ids[4, 12] = 7
    assert central(ids).tolist() == [[0, 7]]


def test_the_palette_is_that_of_voc():
    assert palette()[[0, 1, 2, 3, 4, 7, 8, 15, 16, 19]].astype(int).tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
        [128, 128, 128], [64, 0, 0], [192, 128, 128], [0, 64, 0], [128, 192, 0],
    ]  # fmt: skip


def test_the_official_centroids_have_191_where_the_palette_has_192():
    assert len(centroids()) == 22
    assert 192 not in centroids()
    assert centroids()[[9, 15]].tolist() == [[191, 0, 0], [191, 128, 128]]


def test_whole_cells_keep_their_id_through_the_palette():
    ids = np.arange(22, dtype=np.uint8).repeat(8)[None].repeat(8, 0)
    assert nearest_classes(paint(ids)).tolist() == [list(range(22))]


def test_half_background_half_object_one_snaps_to_class_8():
    ids = np.zeros((8, 16), np.uint8)
    ids[:, 4:8] = 1  # the right half of the first cell: its centre 2 x 2 is half and half
    ids[4:, 8:] = 1
    assert nearest_classes(paint(ids)).tolist() == [[8, 8]]
    assert commonest(ids).tolist() == [[0, 0]]


def test_only_the_centre_of_a_cell_counts_for_the_palette():
    ids = np.ones((8, 8), np.uint8)
    ids[3:5, 3:5] = 2
    assert nearest_classes(paint(ids)).tolist() == [[2]]
    assert commonest(ids).tolist() == [[1]]
