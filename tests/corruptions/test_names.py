"""How a corruption is typed, and what a benchmark under it is called."""

import pytest

from harness.api.errors import UsageError
from harness.corruptions.names import Setting, add_to_name, expand, split_name
from harness.corruptions.table import CORRUPTIONS


def suffixes(*typed):
    return [setting.suffix if setting else "clean" for setting in expand(typed)]


def test_a_name_alone_is_all_five_severities_and_all_is_everything_once():
    assert suffixes("blur") == [f"blur-{severity}" for severity in range(1, 6)]
    assert suffixes("clean", "blur:2", "blur:2") == ["clean", "blur-2"]
    assert len(suffixes("all", "noise:3")) == 1 + 9 * 5


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("blurr:3", r"did you mean 'blur'\?"),
        ("blur:6", "expected blur:SEVERITY, 1 to 5"),
        ("blur:0", "1 to 5"),
        ("blur:3:1", "nothing is random in it"),
        ("noise:3:x", "expected 0 to 9999"),
        ("noise:3:1:2", "and perhaps a seed"),
    ],
)
def test_what_is_typed_wrong_is_refused_with_what_is_right(typed, told):
    with pytest.raises(UsageError, match=told):
        expand([typed])


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize("severity", [1, 5])
def test_a_name_says_what_it_is_of_and_comes_apart_again(name, severity):
    setting = Setting(CORRUPTIONS[name], severity, 12 if CORRUPTIONS[name].is_random else 0)
    assert split_name(add_to_name("davis17-val", setting)) == ("davis17-val", setting)
    assert add_to_name("layout:some/list", setting) == f"layout+{setting.suffix}:some/list"


@pytest.mark.parametrize("bench", ["mini", "a+b", "mini+blur-6", "mini+blur-3-s4", "mini+noise-3-s0", "mini+blur"])
def test_other_names_are_whole(bench):
    assert split_name(bench) == (bench, None)
