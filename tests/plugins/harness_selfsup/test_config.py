"""Presets are what paper and MAST say; impossible constants are refused."""

import dataclasses

import pytest

from harness_selfsup.config import CORRECT, MAST, PRESETS, Config


def differing(config: Config) -> set[str]:
    return {name for name, value in dataclasses.asdict(config).items() if getattr(CORRECT, name) != value}


def test_defaults_are_the_correct_preset():
    assert Config() == CORRECT == PRESETS["correct"] == PRESETS["refs-5"]
    assert (CORRECT.first, CORRECT.recent, CORRECT.radius) == ((0, 5), (1, 3, 5), 12)
    assert (CORRECT.long_term, CORRECT.max_dilation, CORRECT.temperature) == (15, 4, 1.0)


def test_mast_differs_by_its_two_slips_and_its_seven_classes():
    assert differing(MAST) == {"own_offsets", "aligned", "classes"}


def test_the_rows_of_table_2_differ_by_their_references_alone():
    assert differing(PRESETS["refs-1"]) == differing(PRESETS["refs-3"]) == {"first", "recent"}
    assert differing(PRESETS["refs-all"]) == {"every_frame"}
    assert differing(PRESETS["no-roi"]) == {"roi"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": (5,), "recent": ()}, "at least one reference"),
        ({"recent": (0, 1)}, "gaps from 1 on"),
        ({"first": (-1,)}, "frames from 0"),
        ({"radius": -1}, "radius=-1"),
        ({"long_term": 0}, "long_term=0"),
        ({"short_side": 0}, "short_side=0"),
        ({"classes": 1}, "classes=1"),
        ({"temperature": 0.0}, "temperature=0.0"),
    ],
)
def test_impossible_constants_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**changes)
