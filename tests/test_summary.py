"""A record's conditions hold what the method's config says of itself: compilation and rounding to TF32."""

from dataclasses import dataclass

import pytest

from harness.api.contracts import Method, NoConfig
from harness.environment import conditions
from harness.plan import Request, resolve
from harness.summary import record_of


@dataclass(frozen=True)
class Quick:
    compile: bool = False
    tf32: bool = False


def told(tests_tools, config: type, overrides: tuple[str, ...] = (), *, allowed: bool = True):
    """Conditions of a run without videos on a machine that allows TF32."""
    method = Method(name="quick", tasks=("one-shot",), build=lambda context: None, config=config)
    catalog = tests_tools.catalog_of(method)
    plan = resolve(Request(plugin="quick", bench="tiny", overrides=overrides), catalog)
    found = conditions("cpu", "fp32", resolutions=[], objects=[], executor="inline")
    machine = found.model_copy(update={"tf32": allowed})
    record = record_of(plan, catalog, [], [], machine=machine)
    return record.conditions.compiled, record.conditions.tf32


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [((), (False, False)), (("compile=true",), (True, False)), (("tf32=true",), (False, True))],
)
def test_the_config_says_what_the_method_does_to_itself(tests_tools, overrides, expected):
    assert told(tests_tools, Quick, overrides) == expected


def test_a_method_that_says_nothing_is_not_compiled_and_rounds_where_torch_does(tests_tools):
    assert told(tests_tools, NoConfig) == (False, True)


def test_what_the_machine_does_not_allow_is_not_done(tests_tools):
    assert told(tests_tools, Quick, ("tf32=true",), allowed=False) == (False, False)
