"""vos-colours keeps every promise of the contract."""

import pytest

from harness.conformance import checks_for


@pytest.mark.parametrize("promise", checks_for("colours"))
def test_colours_keeps_its_promise(promise):
    promise()
