"""``dataclass`` as the standard library has it, but comparing, hashing and printing are written once for all classes.

The library writes and compiles functions for each class anew, in each process: of all our classes they take a twelfth
of the start of a command.
"""

from __future__ import annotations

import dataclasses
import functools
import reprlib
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """``dataclasses.dataclass`` with all its options but ``order`` and ``unsafe_hash``."""
        return functools.partial(_make, **options) if cls is None else _make(cls, **options)


def _make(cls: type, *, eq: bool = True, frozen: bool = False, **options: bool) -> type:
    own = vars(cls)
    has_eq = "__eq__" in own
    has_hash = own.get("__hash__") is not None or ("__hash__" in own and not has_eq)
    added: dict[str, Any] = {} if "__repr__" in own else {"__repr__": _show}
    if eq and not has_eq:
        added["__eq__"] = _equal
    if eq and not has_hash:
        added["__hash__"] = _hash if frozen else None
    made: type = dataclasses.dataclass(repr=False, eq=False, frozen=frozen, **options)(cls)
    for name, function in added.items():
        setattr(made, name, function)
    return made


@functools.cache
def _values_of(cls: type, *, hashed: bool) -> Callable[[Any], Any]:
    """What gives the values of an instance that are compared, or hashed."""
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields if (field.compare if not hashed or field.hash is None else field.hash)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda instance: tuple(getattr(instance, name) for name in names)


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    kind: Any = self.__class__
    values = _values_of(kind, hashed=False)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(_values_of(self.__class__, hashed=True)(self))


@reprlib.recursive_repr()
def _show(self: Any) -> str:
    shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr]
    return f"{self.__class__.__qualname__}({', '.join(shown)})"
