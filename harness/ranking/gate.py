"""A gate: what may get worse between two runs, and by how much, as a TOML file says it (docs/ci-gate.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.api.errors import UsageError
from harness.api.plain_files import LARGEST_TEXT, decode_text, read_plain

ClockName = Literal[
    "model_fps",
    "model_cpu_ms",
    "model_p90_ms",
    "model_first_frame_ms",
    "e2e_fps",
    "e2e_p90_ms",
    "throughput_fps",
    "added_memory_mib",
    "benchmark_ms",
]
CLOCKS: tuple[ClockName, ...] = get_args(ClockName)
"""The speed and memory figures that are compared; fps is better when higher, the others when lower.

``benchmark_ms`` is each benchmark of files of pytest-benchmark.
"""

_Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AccuracyRule(_Table):
    """How much worse a figure may get, and how bad it may be; fractions, not per cent."""

    max_loss: _Share | None = None
    at_worst: Annotated[float, Field(allow_inf_nan=False)] | None = None
    only_if_clear: bool = False
    """A loss counts only when the videos show it: the verdict is worse."""


class SpeedRule(_Table):
    """By which share a clock or the memory may get worse (0.1: a tenth)."""

    max_loss: _Share


class Gate(_Table):
    """The whole file: rules by name of figure and of clock."""

    accuracy: dict[str, AccuracyRule] = {}
    speed: dict[ClockName, SpeedRule] = {}
    when_not_comparable: Literal["fail", "skip"] = "fail"
    """What a speed rule means where the two runs' conditions differ or a clock is missing."""


_TABLES: dict[str, type[BaseModel]] = {"accuracy": AccuracyRule, "speed": SpeedRule}
_WANTED = {
    "accuracy": "a table of rules by figure",
    "accuracy.max_loss": "a number of 0 or more (0.005 is half a point)",
    "accuracy.at_worst": "a number (0.6: the figure may be no worse)",
    "accuracy.only_if_clear": "true or false",
    "speed": "a table of rules by clock",
    "speed.max_loss": "a share of 0 or more (0.1 is a tenth)",
    "when_not_comparable": '"fail" or "skip"',
}
"""What stands under each key, in words; the name of the figure or clock is left out."""


def read_gate(path: Path) -> Gate:
    """Read the rules of a gate."""
    try:
        return gate_from(tomllib.loads(decode_text(read_plain(path, largest=LARGEST_TEXT))), str(path))
    except OSError as error:
        raise UsageError(f"{path}: found nothing readable ({error.strerror}), expected a gate") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and numbers of 5000 digits
        raise UsageError(f"{path}: found no TOML ({error}), expected a gate", hint="docs/ci-gate.md") from error


def gate_from(data: Mapping[str, Any], where: str) -> Gate:
    """A gate from parsed TOML; UsageError says in words which key is wrong, and what it should hold."""
    try:
        gate = Gate.model_validate(dict(data))
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], where) from error
    empty = [name for name, rule in gate.accuracy.items() if rule.max_loss is None and rule.at_worst is None]
    if empty:
        raise UsageError(f"{where}: accuracy.{empty[0]}: found no limit, expected max_loss or at_worst or both")
    if not gate.accuracy and not gate.speed:
        raise UsageError(f"{where}: found no rule, expected one under [accuracy] or [speed] at least")
    return gate


def _explain(problem: Mapping[str, Any], where: str) -> UsageError:
    """One problem of pydantic's in our words: a key that is not there with its nearest, or what its value should be."""
    hint = "docs/ci-gate.md lists every key"
    table, *inner = (str(part) for part in problem["loc"])
    place = ".".join([table, *inner])
    if inner[1:] == ["[key]"] and table == "speed":
        return UsageError.unknown("clock", inner[0], CLOCKS, of=f"{where}: speed", hint=hint)
    if problem["type"] == "extra_forbidden":
        known = _TABLES[table].model_fields if inner else Gate.model_fields
        of = f"{where}: {'.'.join([table, *inner[:-1]])}" if inner else where
        return UsageError.unknown("key", inner[-1] if inner else table, known, of=of, hint=hint)
    key = ".".join([table, *inner[1:]])
    if problem["type"] == "missing":
        found, wanted = f"no {inner[-1]}", f"{inner[-1]} = {_WANTED[key]}"
        return UsageError(f"{where}: {table}.{inner[0]}: found {found}, expected {wanted}", hint=hint)
    keys = ", ".join(_TABLES[table].model_fields) if table in _TABLES else ""
    wanted = f"a table such as {{max_loss = 0.01}}; keys: {keys}" if len(inner) == 1 else _WANTED[key]
    return UsageError(f"{where}: {place}: found {problem['input']!r:.200}, expected {wanted}", hint=hint)
