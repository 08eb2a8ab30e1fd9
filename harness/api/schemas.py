"""What makes a dataclass a record: limits of its values, and pydantic, which checks, reads and writes it.

Pydantic is imported when a record is first checked, read or written: what only makes and shows one need not wait.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from harness.api.dataclass import dataclass

if TYPE_CHECKING:
    from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema


class Limits:
    """Annotates a type with what its values must keep to, in the words of pydantic's core schemas."""

    def __init__(self, **limits: Any) -> None:
        self._limits = limits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type's own schema with the limits."""
        return {**handler(source), **self._limits}  # type: ignore[return-value]


class CheckedBy:
    """Annotates a type with a function that gives back its value or raises ValueError."""

    def __init__(self, check: Callable[[Any], Any]) -> None:
        self._check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type's own schema, then the function."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))


def take_plain_json(value: Any) -> Any:
    """The value; ValueError where JSON cannot hold it, deep inside: pydantic looks no further than ``Any``."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no finite number; JSON has none of these")
    elif isinstance(value, str):
        value.encode()  # UnicodeEncodeError, a ValueError, for half a character
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{key!r} is no text; the keys of a JSON object are")
            take_plain_json(key)
            take_plain_json(item)
    elif isinstance(value, list | tuple):
        for item in value:
            take_plain_json(item)
    elif value is not None and not isinstance(value, int):
        raise ValueError(f"a {type(value).__name__} cannot be written as JSON")
    return value


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of all records. Made in code it is taken as it is; ``check`` says whether it could be written.

    The methods are called and behave as those of a pydantic model.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {
        "extra": "forbid",
        "populate_by_name": True,
        "revalidate_instances": "always",
        "ser_json_inf_nan": "null",
    }

    def check(self) -> Self:
        """The same with every value checked, and as it is read back; pydantic.ValidationError names what is wrong."""
        return _adapter(type(self)).validate_python(self)

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """A copy with some fields changed."""
        return replace(self, **update)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Plain data; options as of ``pydantic.TypeAdapter.dump_python``."""
        return _adapter(type(self)).dump_python(self, **options)  # type: ignore[no-any-return]

    def model_dump_json(self, **options: Any) -> str:
        """JSON of what was checked; options as of ``pydantic.TypeAdapter.dump_json``. pydantic.ValidationError."""
        return _adapter(type(self)).dump_json(self.check(), **options).decode()

    @classmethod
    def model_validate(cls, value: Any, *, strict: bool = False) -> Self:
        """A record from plain data, or from a record; ``strict``: from what JSON holds alone. pydantic.ValidationError.

        Strict, every value has to be of its type: no text for a number. (Pydantic would want instances of dataclasses,
        but not of what comes as JSON.)
        """
        if strict:
            return _adapter(cls).validate_json(json.dumps(value), strict=True)
        return _adapter(cls).validate_python(value)

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """A record from JSON. pydantic.ValidationError."""
        return _adapter(cls).validate_json(text)

    @classmethod
    def model_json_schema(cls, **options: Any) -> dict[str, Any]:
        """Its JSON schema; options as of ``pydantic.TypeAdapter.json_schema``."""
        return _adapter(cls).json_schema(**options)


def _adapter(of: type[Any]) -> TypeAdapter[Any]:
    """Made whole at once, since threads share it."""
    from pydantic import TypeAdapter

    if of not in _ADAPTERS:
        _ADAPTERS[of] = TypeAdapter(of)
    return _ADAPTERS[of]


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
