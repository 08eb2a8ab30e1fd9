"""One frame as layers: where a prediction and the truth differ, and pictures whose background is clear."""

import io

import numpy as np
from PIL import Image

from harness.viewing.layers import (
    EXTRA,
    HIT,
    MISSED,
    OTHER,
    encode_difference_layer,
    encode_mask_layer,
    find_differences,
)

TRUTH = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)


def test_a_difference_tells_found_extra_missed_and_taken_for_another():
    prediction = np.array([[0, 1, 1, 0, 1, 1]], np.uint8)
    found = find_differences(prediction, TRUTH, is_single=False, matched={})
    assert found.tolist() == [[0, EXTRA, HIT, MISSED, OTHER, 0]]


def test_where_all_objects_are_one_their_numbers_make_no_difference():
    prediction = np.array([[0, 3, 3, 0, 3, 3]], np.uint8)
    found = find_differences(prediction, TRUTH, is_single=True, matched={})
    assert found.tolist() == [[0, EXTRA, HIT, MISSED, HIT, 0]]


def test_a_proposal_counts_as_the_object_it_was_matched_to_and_others_as_none():
    prediction = np.array([[0, 7, 7, 7, 9, 7]], np.uint8)
    found = find_differences(prediction, TRUTH, is_single=False, matched={"1": 7})
    assert found.tolist() == [[0, EXTRA, HIT, HIT, OTHER, 0]]


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_a_layer_is_clear_where_there_is_no_object():
    alphas = pixels(encode_mask_layer(np.array([[0, 1, 255]], np.uint8)))[0, :, 3]
    assert alphas[0] == 0
    assert alphas[1] > alphas[2] > 0
    told = pixels(encode_difference_layer(np.array([[0, HIT, MISSED]], np.uint8)))
    assert told[0, 0, 3] == 0
    assert told[0, 1, :3].tolist() != told[0, 2, :3].tolist()
