"""What a shell completes: names of the catalog for options that take them; the rest is click's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, shell_complete

from harness.api.contracts import RULES
from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.corruptions.names import CLEAN, EVERY
from harness.corruptions.table import CORRUPTIONS

VARIABLE = "_HARNESS_COMPLETE"
"""Set by the lines that docs/commands.md has for each shell."""
Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def is_asked() -> bool:
    """Whether a shell asks for completions, or for the lines that make it ask."""
    return bool(os.environ.get(VARIABLE))


def answer_shell(command: click.Command) -> int:
    """Print what the shell asks for; the exit code."""
    return shell_complete(command, {}, "harness", VARIABLE, os.environ[VARIABLE])


def _completes(names: Callable[[Catalog, dict[str, Any]], Iterable[str]]) -> Complete:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        done, comma, begun = incomplete.rpartition(",")
        return [f"{done}{comma}{name}" for name in names(Catalog.load(), context.params) if name.startswith(begun)]

    return complete


def _presets(catalog: Catalog, given: dict[str, Any]) -> Iterable[str]:
    """Those of the method that was named."""
    name = _find_method(given)
    return catalog.methods.get(name).presets if name in catalog.methods.names() else ()


def _find_method(given: dict[str, Any]) -> str:
    """The method that was named, or the first of several."""
    return str(given.get("plugin") or next(iter(given.get("plugins") or ()), ""))


def _weights(catalog: Catalog, given: dict[str, Any]) -> Iterable[str]:
    name = _find_method(given)
    listed = catalog.methods.get(name).weights if name in catalog.methods.names() else ()
    return [*(entry.name for entry in listed), "none"]


methods = _completes(lambda catalog, given: catalog.methods.names())
benchmarks = _completes(lambda catalog, given: catalog.benchmarks.names())
executors = _completes(lambda catalog, given: catalog.executors.names())
tasks = _completes(lambda catalog, given: TASKS)
rules = _completes(lambda catalog, given: RULES)
presets = _completes(_presets)
corruptions = _completes(lambda catalog, given: [*CORRUPTIONS, CLEAN, EVERY])


def weights(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What the card lists, and files."""
    named = _completes(_weights)(context, parameter, incomplete)
    return [*map(CompletionItem, named), CompletionItem(incomplete, type="file")]
