"""What a plugin offers, looked over field by field: a card of wrong types is refused before anything relies on it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from harness.api.contracts import Benchmark, Column, Executor, Method, Reporter
from harness.api.errors import PluginError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_VERBS = {Executor: ("execute",), Reporter: ("report",)}


def check_card(kind: str, thing: Any) -> None:
    """Raise PluginError where a method, benchmark, metric, executor or reporter is not what its kind promises."""
    what = f"{kind} {thing.name!r}"
    if isinstance(thing, Method | Benchmark):
        _check_fields(what, thing)
        if isinstance(thing, Method):
            _check_config(what, thing)
        return
    if kind == "metric":
        _check(f"{what}: columns", thing.columns, tuple[Column, ...])
        verbs: Sequence[str] = ("measure" if hasattr(thing, "measure") else "start", "summarise")
    else:
        verbs = next(verbs for protocol, verbs in _VERBS.items() if isinstance(thing, protocol))
    for verb in verbs:
        _check(f"{what}: {verb}", getattr(thing, verb), Callable)
    if isinstance(thing, type):
        raise PluginError(f"{what} is the class {thing.__name__}, expected an object of it")


def _check_config(what: str, method: Method) -> None:
    """What listing it relies on; whether defaults, presets and kernels hold is for ``harness check`` to say."""
    if not dataclasses.is_dataclass(method.config):
        raise PluginError(f"{what}: config is {method.config!r:.100}, expected a dataclass")
    odd = next((name for name in method.presets if not _NAME.fullmatch(name)), None)
    if odd is not None:  # it becomes a part of names of folders and files
        raise PluginError(f"{what} has a preset named {odd!r:.100}; expected letters, digits and . _ + -")
    if method.lookahead < 0:
        raise PluginError(f"{what}: lookahead is {method.lookahead}, expected 0 or more")


def _check_fields(where: str, thing: Any) -> None:
    kind: Any = type(thing)
    hints = _hints_of(kind)
    for field in dataclasses.fields(thing):
        _check(f"{where}: {field.name}", getattr(thing, field.name), hints[field.name])


@functools.cache
def _hints_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; of what is only named for a type checker nothing is asked."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(kind, localns=unknown)
        except NameError as error:
            unknown[str(error.name)] = Any


def _check(where: str, value: Any, wanted: Any) -> None:
    """Raise PluginError where ``value`` is none of the type ``wanted``; what is inside it is looked at too."""
    if not _fits(value, wanted):
        name = getattr(wanted, "__name__", str(wanted)) if inspect.isclass(wanted) else str(wanted)
        name = name.replace("typing.", "").replace("collections.abc.", "").replace("harness.api.contracts.", "")
        raise PluginError(f"{where} is {value!r:.100} ({type(value).__name__}), expected {name}")
    if (
        dataclasses.is_dataclass(value)
        and not isinstance(value, type)
        and type(value).__module__.startswith("harness.")
    ):
        _check_fields(where, value)
    elif typing.get_origin(wanted) is Mapping or wanted is Mapping:
        kinds = typing.get_args(wanted) or (Any, Any)
        for key, item in value.items():
            _check(f"{where}: the key {key!r:.100}", key, kinds[0])
            _check(f"{where}[{key!r:.100}]", item, kinds[1])
    elif typing.get_origin(wanted) is tuple:
        for number, item in enumerate(value):
            _check(f"{where}[{number}]", item, typing.get_args(wanted)[0])


def _fits(value: Any, wanted: Any) -> bool:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if (origin or wanted) is Callable:
        return callable(value)
    if wanted is type or origin is type:
        return isinstance(value, type)
    if wanted in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (float, int) if wanted is float else origin or wanted)
