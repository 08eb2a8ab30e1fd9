"""The cells of a matrix: each method, with each of its presets, on each benchmark; one run each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.catalog import Catalog, Shelf
from harness.corruptions.names import split_name


@dataclass(frozen=True)
class Cell:
    """One run of a matrix."""

    plugin: str
    bench: str
    preset: str = ""

    @property
    def method(self) -> str:
        """The method with its preset, as the leaderboard labels it."""
        return f"{self.plugin} ({self.preset})" if self.preset else self.plugin


def list_cells(plugins: Sequence[str], benches: Sequence[str], presets: Sequence[str]) -> list[Cell]:
    """Every method on the first benchmark, then on the second, each name once; UsageError where one is not said whose.

    >>> [(cell.plugin, cell.bench) for cell in list_cells(["a", "b", "a"], ["x", "y"], [])]
    [('a', 'x'), ('b', 'x'), ('a', 'y'), ('b', 'y')]
    """
    methods, tuned = list(dict.fromkeys(plugins)), list(dict.fromkeys(presets)) or [""]
    if len(methods) > 1 and len(tuned) > 1:
        raise UsageError(
            f"--preset {','.join(tuned)}: several presets are those of one method, found {len(methods)} methods",
            hint="one command for each method, or one preset that all of them have",
        )
    return [Cell(name, bench, preset) for bench in dict.fromkeys(benches) for name in methods for preset in tuned]


def refuse_unknown_names(cells: Sequence[Cell], catalog: Catalog) -> None:
    """Raise for a name that nothing has, before anything runs; what is broken costs its own cells only."""
    for name in dict.fromkeys(cell.plugin for cell in cells):
        _refuse_unless_there(name, catalog.methods, catalog)
    for name in dict.fromkeys(cell.bench for cell in cells):
        _refuse_unless_there(split_name(name.partition(":")[0])[0], catalog.benchmarks, catalog)


def _refuse_unless_there(name: str, shelf: Shelf[Any], catalog: Catalog) -> None:
    if name in shelf.names() or name in shelf.duplicates():
        return
    broken = {said for item in catalog.broken for said in (item.card, item.source.entry_point, item.source.module)}
    if name not in broken:
        shelf.get(name)
