"""Which ids a mask holds: the same by machine code and without, wherever they lie."""

import numpy as np
import pytest

from harness.api import mask_ids
from harness.api.mask_ids import find_ids


@pytest.fixture(params=["compiled", "plain"])
def form(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(mask_ids.mark_ids, "_run", mask_ids.mark_ids.function)
    elif not mask_ids.mark_ids.is_compiled:
        pytest.skip("no machine code here (no Numba, or switched off)")
    return request.param


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 200])
def test_one_pixel_is_found_wherever_it_lies(form, size):
    for place in range(size):
        mask = np.full(size, 7, np.uint8)
        mask[place] = 255
        assert find_ids(mask).tolist() == ([7, 255] if size > 1 else [255])


def test_every_value_of_any_shape_is_found(form):
    values = np.random.default_rng(0).permutation(256).astype(np.uint8)
    assert find_ids(values.reshape(16, 16)).tolist() == list(range(256))
    assert find_ids(values.reshape(16, 16)[:, ::2]).tolist() == sorted(values.reshape(16, 16)[:, ::2].ravel().tolist())


def test_nothing_holds_no_id(form):
    assert find_ids(np.zeros((0, 5), np.uint8)).tolist() == []
