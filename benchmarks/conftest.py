"""What every benchmark needs: the array checks of the tests are off, they would be timed too."""

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def unchecked_arrays(monkeypatch):
    """pytest checks annotated arrays at every call in the tests; nobody pays for that outside of them."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
