"""Presets and --set: typed, checked, explained."""

from dataclasses import dataclass, replace
from typing import Literal

import pytest

from harness.api.contracts import Method
from harness.api.errors import UsageError
from harness.planning.config import as_json, configure


@dataclass(frozen=True)
class Constants:
    sigma: float = 8.0
    references: int = 9
    mode: Literal["soft", "hard"] = "soft"
    where: str = ""
    scales: tuple[float, ...] = (1.0,)
    limit: int | None = None
    flip: bool = False

    def __post_init__(self):
        if self.references < 1:
            raise ValueError("references must be at least 1")


METHOD = Method(
    name="m",
    tasks=("one-shot",),
    build=lambda context: None,
    config=Constants,
    presets={"wide": Constants(sigma=21.0)},
)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("sigma=4", "sigma", 4.0),
        ("references=3", "references", 3),
        ("mode='hard'", "mode", "hard"),
        ("mode=hard", "mode", "hard"),
        ("where=/tmp/a b", "where", "/tmp/a b"),
        ("where=12", "where", "12"),
        ("scales=[0.5, 1.0]", "scales", (0.5, 1.0)),
        ("limit=4", "limit", 4),
        ("flip=true", "flip", True),
    ],
)
def test_overrides_take_the_field_s_type(override, field, value):
    assert getattr(configure(METHOD, "", [override]), field) == value


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("sigma", "not of the form"),
        ("sigmo=3", "did you mean 'sigma'"),
        ("references=two", "expects int"),
        ("references=true", "expects int"),
        ("mode=half", "expects one of"),
        ("references=0", "at least 1"),
    ],
)
def test_wrong_overrides_are_explained(override, reason):
    with pytest.raises(UsageError, match=reason):
        configure(METHOD, "", [override])


def test_a_preset_is_the_base_of_overrides():
    config = configure(METHOD, "wide", ["references=3"])
    assert (config.sigma, config.references) == (21.0, 3)
    with pytest.raises(UsageError, match="no preset 'broad'; known: wide"):
        configure(METHOD, "broad", [])


def test_a_config_is_plain_json():
    assert as_json(Constants(scales=(0.5, 2.0)))["scales"] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("override", "reason"),
    [("sigma=nan", "sigma is nan"), ("sigma=inf", "sigma is inf"), ("scales=[1.0, -inf]", "scales is -inf")],
)
def test_what_a_record_cannot_hold_is_refused_before_anything_runs(override, reason):
    with pytest.raises(UsageError, match=reason):
        configure(METHOD, "", [override])


def test_text_that_is_no_utf_8_is_refused_before_anything_runs():
    with pytest.raises(UsageError, match=r"where is .*udcff.* no UTF-8"):
        configure(METHOD, "", ["where=\udcff"])


def test_a_preset_with_nan_is_refused_too():
    method = replace(METHOD, presets={"odd": Constants(sigma=float("nan"))})
    with pytest.raises(UsageError, match="sigma is nan"):
        configure(method, "odd", [])
