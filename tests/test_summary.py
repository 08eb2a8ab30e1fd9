"""A record's conditions hold what the method's config says of itself: compilation and rounding to TF32."""

from dataclasses import dataclass

import pytest

from harness.api.contracts import Method, NoConfig
from harness.api.records import Conditions
from harness.environment import conditions
from harness.plan import Request, resolve
from harness.summary import record_of


@dataclass(frozen=True)
class Quick:
    compile: bool = False
    tf32: bool = False


def told(tests_tools, config: type, overrides: tuple[str, ...] = ()) -> Conditions:
    """Conditions of a run without videos."""
    method = Method(name="quick", tasks=("one-shot",), build=lambda context: None, config=config)
    catalog = tests_tools.catalog_of(method)
    plan = resolve(Request(plugin="quick", bench="tiny", overrides=overrides), catalog)
    return record_of(plan, catalog, [], []).conditions


@pytest.mark.parametrize(("overrides", "expected"), [((), False), (("compile=true",), True)])
def test_the_config_says_whether_the_method_is_compiled(tests_tools, overrides, expected):
    assert told(tests_tools, Quick, overrides).compiled == expected


@pytest.mark.parametrize(("overrides", "expected"), [((), False), (("tf32=true",), True)])
def test_the_config_says_whether_products_are_rounded(tests_tools, monkeypatch, overrides, expected):
    asked = []

    def note(device, precision, *, tf32, **rest):
        asked.append(tf32)
        return conditions(device, precision, tf32=tf32, **rest)

    monkeypatch.setattr("harness.summary.conditions", note)
    assert not told(tests_tools, Quick, overrides).tf32  # on a CPU nothing is
    assert not told(tests_tools, NoConfig).tf32
    assert asked == [expected, False]
