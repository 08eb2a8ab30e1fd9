"""What would not fit into memory is refused in words, before it is begun."""

import pytest
import torch

from harness.api import free_memory
from harness.api.free_memory import read_free_mib, refuse_more_than_free
from harness.hosting.here import kind_of
from harness_selfsup.config import Config as SelfSupConfig
from harness_selfsup.memory import Memory as SelfSupMemory
from harness_tvos.memory import Memory as TvosMemory


@pytest.fixture
def nearly_full(monkeypatch):
    monkeypatch.setattr(free_memory, "read_free_mib", lambda: 100.0)


def test_more_than_is_free_is_refused_and_says_what_how_much_and_what_to_do(nearly_full):
    refuse_more_than_free(99.0, "toy keeps 3 frames", "a smaller video")
    with pytest.raises(MemoryError, match=r"^toy keeps 3 frames: found 100 MiB free, expected 1,234; a smaller video$"):
        refuse_more_than_free(1234.0, "toy keeps 3 frames", "a smaller video")


def test_where_nobody_can_tell_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(free_memory, "read_free_mib", lambda: None)
    refuse_more_than_free(1e9, "toy", "none")


def test_what_is_small_is_not_looked_into(monkeypatch):
    monkeypatch.setattr(free_memory, "read_free_mib", lambda: pytest.fail("looked"))
    refuse_more_than_free(1.0, "toy", "none")


def test_free_memory_is_less_than_a_petabyte():
    free = read_free_mib()
    assert free is None or 0 < free < 2**30


def test_rings_of_a_large_video_are_refused_before_they_are_filled(nearly_full):
    positions = torch.zeros(1, 1).expand(270 * 480, 256)  # 3840 x 2160 in cells of 8: four bytes here, 127 MiB kept
    with pytest.raises(
        MemoryError, match=r"44 frames of 480 x 270 positions: .* expected 5,612; .*short_side=480"
    ) as caught:
        TvosMemory(44, (270, 480), positions)
    assert kind_of(caught.value) == "out-of-memory"
    features = torch.zeros(1, 1, 1).expand(540, 960, 256)
    with pytest.raises(MemoryError, match=r"7 frames of 960 x 540 positions: .* expected 3,571; .*short_side=480"):
        SelfSupMemory(SelfSupConfig(), 100, (2160, 3840), features)
    TvosMemory(9, (15, 27), torch.zeros(15 * 27, 256))
