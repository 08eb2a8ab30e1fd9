"""A config, of a method or of its training, from a preset and ``--set key=value`` overrides."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from harness.api.contracts import Method
from harness.api.errors import UsageError
from harness.api.foreign import make_storable


def configure(method: Method, preset: str, overrides: Sequence[str]) -> Any:
    """The config of ``method``: the preset (empty: defaults) with each ``key=value`` put in; UsageError otherwise."""
    return make_config(method.name, method.config, method.presets, preset, overrides)


def make_config(name: str, kind: type, presets: Mapping[str, Any], preset: str, overrides: Sequence[str]) -> Any:
    """The config of ``name``: one of its ``presets`` (empty: ``kind()``) with each ``key=value`` put in."""
    if preset and preset not in presets:
        raise UsageError.unknown("preset", preset, presets, of=name)
    base = presets[preset] if preset else kind()
    changes = dict(_parse(name, kind, override) for override in overrides)
    try:
        config = dataclasses.replace(base, **changes)
    except (TypeError, ValueError) as error:
        raise UsageError(f"config of {name}: {error}") from error
    for key, value in as_json(config).items():
        _refuse_unstorable(f"config of {name}: {key}", value)
    return config


def _refuse_unstorable(where: str, value: Any) -> None:
    """Raise UsageError for what a record cannot hold: NaN, infinity, half a character."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} is {value}, which a record cannot hold; expected a finite number")
    if isinstance(value, str) and make_storable(value) != value:
        raise UsageError(f"{where} is {make_storable(value)!r:.200}, which is no UTF-8")
    if isinstance(value, list):
        for item in value:
            _refuse_unstorable(where, item)


def as_json(config: Any) -> dict[str, Any]:
    """The config as plain JSON values, for the record and the cache key."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | type(None)) else str(value)


def _parse(name: str, kind: type, override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    if not equals:
        raise UsageError(f"--set {override!r} is not of the form key=value")
    if key not in fields:
        raise UsageError.unknown("constant", key, fields, of=name)
    return key, _coerce(name, key, text, hints[key])


def _coerce(method: str, key: str, text: str, wanted: Any) -> Any:
    import tomllib  # every command imports this file, few set a constant

    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):  # not TOML, a number of 5000 digits, lists in lists without end
        value = text
    allowed = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if typing.get_origin(wanted) is typing.Literal:
        if value not in typing.get_args(wanted):
            raise UsageError(f"--set {key}: {method} expects one of {typing.get_args(wanted)}, found {text!r}")
        return value
    plain = tuple(typing.get_origin(kind) or kind for kind in allowed)
    if isinstance(value, list) and tuple in plain:
        return tuple(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    if is_whole and float in plain and int not in plain:
        return float(value)
    if str in plain and not isinstance(value, plain):
        return text
    if (isinstance(value, bool) and bool not in plain) or not isinstance(value, plain):
        names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in plain)
        raise UsageError(f"--set {key}: {method} expects {names}, found {text!r}")
    return value
