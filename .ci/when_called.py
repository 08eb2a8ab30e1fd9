"""The checker of shapes for tests: beartype, put on a function when it is first called and not when it is imported.

Two thousand functions are imported by tests that call some of them. beartype looks at one item of a list, a drawn one:
it draws here from numbers of its own, as those of Python are everybody's and no method may change them.
"""

import functools
import random
from collections.abc import Callable
from typing import Any


@functools.cache
def _load_beartype() -> Callable[[Any], Any]:
    from beartype import beartype
    from beartype._check.code import codemain

    assert codemain.getrandbits is random.getrandbits, "beartype draws elsewhere now"
    codemain.getrandbits = random.Random(0).getrandbits
    return beartype


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose arguments and value are checked against its annotations from its first call on."""
    checked: Callable[..., Any] | None = None

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = _load_beartype()(function)
        return checked(*given, **named)

    return call
