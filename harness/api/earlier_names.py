"""Names that something public had before: still taken, with a DeprecationWarning that says the new one.

docs/deprecation.md says for how long.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def warn_of(old: str, new: str) -> None:
    """Say it where whoever uses the old name stands: two calls above this one."""
    warnings.warn(f"{old} is called {new} now; the old name will go", DeprecationWarning, stacklevel=3)


def take_earlier_fields(**new_by_old: str) -> Callable[[C], C]:
    """A class decorator: keyword arguments by an earlier name are those of the new one."""

    def decorate(cls: C) -> C:
        build = cls.__init__  # type: ignore[misc]

        @functools.wraps(build)
        def __init__(self: Any, *given: Any, **named: Any) -> None:
            for old, new in new_by_old.items():
                if old in named and new in named:
                    raise TypeError(f"{cls.__name__} got both {new} and {old}, its earlier name")
                if old in named:
                    warn_of(f"{cls.__name__}({old}=...)", f"{new}=")
                    named[new] = named.pop(old)
            build(self, *given, **named)

        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate
