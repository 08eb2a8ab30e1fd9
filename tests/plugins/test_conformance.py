"""Every method that is installed with the harness keeps its promises."""

import pytest

from harness.catalog import Catalog
from harness.conformance import checks_for

SLOW = {
    "tvos": {"kernels", "memory", "blind", "runs"},
    "selfsup": {"kernels", "memory"},
    "selfsup-adapted": {
        "process",
        "memory",
        "causality",
        "determinism",
        "fresh-start",
        "names",
        "stages",
        "blind",
        "runs",
    },
    "selfsup-causal": {
        "process",
        "memory",
        "horizon",
        "determinism",
        "fresh-start",
        "names",
        "stages",
        "blind",
        "runs",
        "causality",
    },
    "dtnet": {
        "process",
        "kernels",
        "memory",
        "horizon",
        "determinism",
        "fresh-start",
        "names",
        "blind",
        "runs",
        "causality",
    },
    "dnet": {"process", "memory", "horizon", "determinism", "fresh-start", "names", "blind", "runs", "causality"},
    "imas": {"memory", "horizon", "determinism", "fresh-start", "causality"},
    "flow-threshold": {"memory"},
    "flow-threshold-online": {"memory"},
    "moving-components": {"memory"},
}
"""Checks that take more than 10 seconds on two busy cores, or together too much."""
PRESET = {
    "selfsup-adapted": "smoke",
    "selfsup-causal": "smoke",
    "dtnet": "smoke",
    "dnet": "small",
    "imas": "smoke",
    "flow-threshold": "fast",
    "flow-threshold-online": "fast",
    "moving-components": "fast",
    "boundary-saliency": "spectral",
}
"""Where the default is too much for a CPU: what else the promises are tried with."""


def every_promise():
    for method in Catalog.load().methods:
        for parameter in checks_for(method.name, preset=PRESET.get(method.name, "")):
            promise = parameter.values[0]
            slow = promise.check.name in SLOW.get(method.name, ())
            yield pytest.param(promise, id=parameter.id, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("promise", list(every_promise()))
def test_an_installed_method_keeps_its_promise(promise):
    promise()
