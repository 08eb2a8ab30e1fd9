"""Tracks and broken values as messages: what comes out is refused or kept as what went in would be."""

import json
import mmap
import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness import ContractError, Track, Tracks
from harness.api.mask_files import RunLength
from harness.hosting.worker.shared import SharedSlots
from harness.hosting.worker.values import describe_value, messages_of_tracks, stand_in, tracks_from


def there_and_back(tracks):
    return tracks_from([json.loads(json.dumps(message)) for message in messages_of_tracks(tracks)])


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_a_mask_arrives_as_the_run_lengths_it_would_have_had_here(mask):
    (track,) = there_and_back(Tracks([Track(3, 0.5, [torch.from_numpy(mask), None])]))
    assert (track.category, track.score) == (3, 0.5)
    assert track.masks == [RunLength.encode(mask), None]


def test_a_run_length_passes_as_it_is():
    code = RunLength.encode(np.eye(5, dtype=bool))
    (track,) = there_and_back(Tracks([Track(1, 1.0, [code])]))
    assert track.masks == [code]


@pytest.mark.parametrize("value", [np.zeros(3), [1, 2], "mask", torch.zeros(2, 3), torch.zeros(1, dtype=torch.int64)])
def test_a_stand_in_is_refused_like_the_value_it_stands_for(value):
    found = stand_in(json.loads(json.dumps(describe_value(value))))
    assert type(found).__name__ == type(value).__name__
    if isinstance(value, torch.Tensor):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
    else:
        assert repr(found) == repr(value)


def test_the_stand_in_of_a_huge_tensor_takes_no_memory():
    found = stand_in({"tensor": "float32", "shape": [1 << 30, 1 << 10]})
    assert found.shape == (1 << 30, 1 << 10)
    assert found.untyped_storage().nbytes() == 4


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"category": 1, "score": "high", "masks": []},
        {"category": 1, "score": 1, "masks": [{"size": [2, 2], "runs": [5]}]},
        {"category": 1, "score": 1, "masks": [{"size": [2], "runs": [4]}]},
        {"category": 1, "score": 1, "masks": [{"size": [2, 2], "counts": "€"}]},
        {"category": 1, "score": 1, "masks": 7},
    ],
)
def test_tracks_that_make_no_sense_are_a_broken_contract(message):
    with pytest.raises(ContractError, match="tracks that make no sense"):
        tracks_from([message])


def test_both_sides_of_the_slots_see_the_same_pixels_and_frame_and_mask_do_not_overlap():
    here = SharedSlots.create()
    there = SharedSlots(here.descriptor)
    for height, width in ((4, 6), (2, 3), (8, 8)):  # videos of one worker, one after another
        here.fit(height, width)
        there.fit(height, width)
        here.frame[:] = 200
        there.mask[:] = 1
        assert (there.frame == 200).all()
        assert (here.mask == 1).all()
        assert there.frame.shape == (height, width, 3)
    here.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is sealed by Linux")
def test_a_worker_cannot_shrink_what_the_run_has_mapped():
    slots = SharedSlots.create()
    slots.fit(64, 64)
    with pytest.raises(PermissionError):
        os.ftruncate(slots.descriptor, mmap.PAGESIZE)
    slots.close()
