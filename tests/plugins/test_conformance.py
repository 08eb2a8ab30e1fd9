"""Every method that is installed with the harness keeps its promises."""

import pytest

from harness.catalog import Catalog
from harness.conformance import checks_for

SLOW = {
    "tvos": {"kernels", "memory", "blind", "runs", "horizon", "causality", "determinism"},
    "selfsup": {"kernels", "memory", "horizon", "causality", "determinism", "fresh-start"},
    "imas": {"memory", "horizon", "determinism", "fresh-start", "causality", "runs", "names"},
    "mug": {"memory", "horizon", "causality", "determinism", "fresh-start", "runs", "names", "blind"},
    "mug-zvos": {"kernels", "causality", "determinism", "fresh-start", "runs", "names", "blind"},
    "mug-instances": {"causality", "determinism", "fresh-start", "runs", "names", "blind"},
    "flow-threshold": {"memory", "horizon", "causality", "determinism"},
    "flow-threshold-online": {"memory", "horizon", "causality", "determinism"},
    "moving-components": {"memory", "horizon", "causality", "determinism", "runs", "fresh-start"},
}
"""Checks that take more than a CPU second, or together too much."""
LEARN_WHILE_THEY_RUN = {"selfsup-adapted", "selfsup-causal", "dtnet", "dnet"}
QUICK = {"card", "config", "light-import", "weights-there", "weights-checksum", "weights-no-pickle"}
"""What is quick of such a method: what plays nothing. What is played with an online one asks for its horizon first."""
PRESET = {
    "selfsup-adapted": "smoke",
    "selfsup-causal": "smoke",
    "dtnet": "smoke",
    "dnet": "small",
    "imas": "smoke",
    "mug": "smoke",
    "mug-zvos": "smoke",
    "mug-instances": "smoke",
    "flow-threshold": "fast",
    "flow-threshold-online": "fast",
    "moving-components": "fast",
    "boundary-saliency": "spectral",
}
"""Where the default is too much for a CPU: what else the promises are tried with."""


def is_slow(method, check):
    if method in LEARN_WHILE_THEY_RUN:
        return check not in QUICK
    return check in SLOW.get(method, ())


def every_promise():
    for method in Catalog.load().methods:
        for parameter in checks_for(method.name, preset=PRESET.get(method.name, "")):
            promise = parameter.values[0]
            slow = is_slow(method.name, promise.check.name)
            yield pytest.param(promise, id=parameter.id, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("promise", list(every_promise()))
def test_an_installed_method_keeps_its_promise(promise):
    promise()
