"""Which frames a target looks at, how far, and that memory holds just these."""

import pytest

from harness_selfsup.config import CORRECT, MAST, PRESETS, Config
from harness_selfsup.frames.references import Places, dilation_of, reference_frames


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (1, (0,)),
        (2, (0, 1)),
        (3, (0, 2)),
        (4, (0, 1, 3)),
        (5, (0, 2, 4)),
        (6, (0, 1, 3, 5)),
        (7, (0, 2, 4, 5, 6)),
        (8, (0, 3, 5, 7)),
        (23, (0, 5, 18, 20, 22)),
        (90, (0, 5, 85, 87, 89)),
    ],
)
def test_references_are_those_of_mast(target, expected):
    assert reference_frames(target, CORRECT) == reference_frames(target, MAST) == expected


def test_references_are_the_rule_as_mast_writes_it():
    for target in range(1, 100):
        i = target - 1
        rule = {frame for frame in (0, 5) if frame <= i} | {frame for frame in (i, i - 2, i - 4) if frame > 0}
        assert reference_frames(target, MAST) == tuple(sorted(rule))


@pytest.mark.parametrize(
    ("preset", "at_1", "at_30"),
    [("refs-1", (0,), (29,)), ("refs-3", (0,), (0, 27, 29)), ("refs-all", (0,), tuple(range(30)))],
)
def test_references_of_table_2(preset, at_1, at_30):
    assert reference_frames(1, PRESETS[preset]) == at_1
    assert reference_frames(30, PRESETS[preset]) == at_30


@pytest.mark.parametrize(
    ("gap", "expected"), [(1, 0), (15, 0), (16, 2), (29, 2), (30, 3), (44, 3), (45, 4), (60, 4), (500, 4)]
)
def test_long_term_references_are_searched_wider_the_older_they_are(gap, expected):
    assert dilation_of(600, 600 - gap, CORRECT) == expected
    assert dilation_of(600, 600 - gap, PRESETS["no-roi"]) == 0


def test_both_long_term_references_of_frame_23_are_dilated_by_2():
    assert [dilation_of(23, frame, MAST) for frame in (0, 5, 18, 20, 22)] == [2, 2, 0, 0, 0]


CONFIGS = [*PRESETS.values(), Config(first=(3,), recent=(2, 7)), Config(first=(0,), recent=()), Config(first=(0, 40))]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("frames", [1, 2, 4, 60])
def test_memory_holds_every_reference_when_it_is_asked_for(config, frames):
    places, held = Places(config, frames), {}
    for frame in range(frames):
        for reference in reference_frames(frame, config):
            assert held[places.of(reference)] == reference
        if places.of(frame) is not None:
            assert 0 <= places.of(frame) < places.count
            held[places.of(frame)] = frame


def test_memory_does_not_grow_with_the_video():
    assert Places(CORRECT, 1000).count == Places(CORRECT, 100).count == 2 + 5
    assert Places(CORRECT, 3).count == 1 + 3
    assert Places(PRESETS["refs-1"], 1000).count == 1
    assert Places(PRESETS["refs-all"], 1000).count == 1000
