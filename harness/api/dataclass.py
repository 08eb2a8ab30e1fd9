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
        """``dataclasses.dataclass`` with all its options but ``order`` and ``unsafe_hash``; TypeError for these."""
        if unknown := sorted({"order", "unsafe_hash"} & set(options)):
            raise TypeError(f"no dataclass of the harness has {unknown[0]}; take dataclasses.dataclass")
        return functools.partial(_make, **options) if cls is None else _make(cls, **options)


def _make(cls: Any, *, eq: bool = True, repr: bool = True, frozen: bool = False, **options: bool) -> type:
    own = vars(cls)
    has_eq = "__eq__" in own
    has_hash = own.get("__hash__") is not None or ("__hash__" in own and not has_eq)
    shared = _Methods()
    if repr and "__repr__" not in own:
        cls.__repr__ = shared.make_repr()
    if eq and not has_eq:
        cls.__eq__ = shared.make_eq()
    if eq and not has_hash:
        cls.__hash__ = shared.make_hash() if frozen else None
    made: type = dataclasses.dataclass(repr=False, eq=False, frozen=frozen, **options)(cls)
    shared.of = made
    return made


class _Methods:
    """The methods of one class: they know the fields of the class that was decorated, not of one below it."""

    of: Any

    @functools.cached_property
    def compared(self) -> Callable[[Any], tuple[Any, ...]]:
        """Gives the values of an instance that are compared."""
        return _values_of([field.name for field in dataclasses.fields(self.of) if field.compare])

    @functools.cached_property
    def hashed(self) -> Callable[[Any], tuple[Any, ...]]:
        """Gives those that are hashed."""
        fields = dataclasses.fields(self.of)
        return _values_of([field.name for field in fields if (field.compare if field.hash is None else field.hash)])

    def make_eq(self) -> Callable[[Any, object], Any]:
        """``__eq__``: of one class, with equal values."""

        def equals(one: Any, other: object) -> Any:
            if other.__class__ is not one.__class__:
                return NotImplemented
            return self.compared(one) == self.compared(other)

        return equals

    def make_hash(self) -> Callable[[Any], int]:
        """``__hash__``: that of its values."""
        return lambda one: hash(self.hashed(one))

    def make_repr(self) -> Callable[[Any], str]:
        """``__repr__``: as it is made."""

        @reprlib.recursive_repr()
        def show(one: Any) -> str:
            names = [field.name for field in dataclasses.fields(self.of) if field.repr]
            return f"{one.__class__.__qualname__}({', '.join(f'{name}={getattr(one, name)!r}' for name in names)})"

        return show


def _values_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda instance: tuple(getattr(instance, name) for name in names)
