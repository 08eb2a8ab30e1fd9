"""What every fuzz test stands on: how many examples, a bound on memory and on hanging, and the property itself."""

import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from harness.api.errors import HarnessError

MEMORY = 3 << 30
"""Bytes that one test may add to the address space; a reader that believes a bomb asks for far more."""
HANG_SECONDS = 600

CALM = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
    HealthCheck.function_scoped_fixture,  # builders and folders, which examples may share
]
settings.register_profile("fuzz", deadline=None, max_examples=60, database=None, suppress_health_check=CALM)
settings.register_profile("fuzz-long", settings.get_profile("fuzz"), max_examples=1500)


class Hangs(BaseException):
    """No reader may catch it."""


def _stop(signum: int, frame: object) -> None:
    raise Hangs(f"a reader did not come back within {HANG_SECONDS} s")


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    """Let no test take more memory than ``MEMORY`` beyond what is there, and none hang for ever."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    before = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="session")
def value_or_refusal() -> Callable[..., Any]:
    """``value_or_refusal(read, path, *kinds)``: what ``read()`` gives, or None where it refused as it must.

    A refusal is one of ``kinds`` and names ``path``; any other exception goes through and fails the test.
    """

    def attempt(read: Callable[[], Any], path: Path | str, *kinds: type[HarnessError]) -> Any:
        try:
            return read()
        except HarnessError as error:
            refusal = error
        assert isinstance(refusal, kinds), f"{type(refusal).__name__}: {refusal}"
        assert str(path) in refusal.message, refusal.message
        return None

    return attempt
