"""The constants are those of the released code, the preset paper those of the paper; impossible ones are refused."""

import dataclasses

import pytest

from harness_tvos.config import OFFICIAL, PAPER, Config


def test_defaults_are_the_official_preset():
    assert Config() == OFFICIAL
    assert (OFFICIAL.dense, OFFICIAL.sparse, OFFICIAL.reach) == (3, 6, 44)
    assert (OFFICIAL.sigma_near, OFFICIAL.sigma_far, OFFICIAL.near, OFFICIAL.far_from) == (8, 21, 4, 16)


def test_paper_differs_only_where_the_readme_says_so():
    differing = {name for name, value in dataclasses.asdict(PAPER).items() if getattr(OFFICIAL, name) != value}
    assert differing == {"dense", "sparse", "reach", "far_from", "renormalise"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense": 0, "sparse": 0}, "at least one reference"),
        ({"dense": -1}, "at least one reference"),
        ({"reach": 8}, "holds fewer frames"),
        ({"sigma_far": 0.0}, "above 0"),
        ({"short_side": 0}, "at least 1 pixel"),
    ],
)
def test_impossible_constants_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**changes)
