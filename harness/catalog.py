"""Entry points -> named things: every method, benchmark, metric, executor and reporter that is installed.

A shelf is filled when it is first looked at, from the entry points whose modules name its hook: who scores masks waits
for no method. Each entry point is loaded under its own ``try``: a broken plugin is remembered with its error, shown by
``harness ls plugins`` and ``harness doctor``, and raised only when that plugin is asked for.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import field, replace
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from harness.api import hookspecs
from harness.api.contracts import Benchmark, Executor, Method, Metric, Reporter, TrackMetric
from harness.api.dataclass import dataclass
from harness.api.errors import MethodFailed, PluginError, UsageError
from harness.api.foreign import blame, describe_error, describe_traceback, is_interrupt
from harness.cards import check_card
from harness.corruptions.names import split_name
from harness.corruptions.table import CORRUPTIONS, SEVERITIES

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where a thing came from."""

    entry_point: str
    module: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.entry_point} = {self.module})"


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, or a hook of it that failed; or one card of it that is not what it must be."""

    source: Source
    error: str
    traceback: str
    kind: str = ""
    """method, benchmark, ..., of a card."""
    card: str = ""
    """Its name, where the plugin's other cards can be used; empty: none of the plugin can."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A named thing and its source."""

    thing: T
    source: Source


@dataclass
class Shelf(Generic[T]):
    """All things of one kind by name; ``get`` raises with a did-you-mean."""

    kind: str
    broken: list[Broken]
    """Of the whole catalog, as far as it was loaded."""
    load_rest: Callable[[], object] = lambda: None
    """Loads every plugin that was not looked at: what is not found here may be the name of a broken one."""
    _entries: dict[str, list[Entry[T]]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """All names that stand for exactly one thing, sorted."""
        return sorted(name for name, entries in self._entries.items() if len(entries) == 1)

    def duplicates(self) -> dict[str, list[Source]]:
        """Names claimed more than once, with who claims them."""
        return {name: [e.source for e in entries] for name, entries in self._entries.items() if len(entries) > 1}

    def __iter__(self) -> Iterator[T]:
        return (self._entries[name][0].thing for name in self.names())

    def get(self, name: str) -> T:
        """The thing of that name; PluginError or UsageError that says what there is instead."""
        return self.entry(name).thing

    def source(self, name: str) -> Source:
        """Which distribution the thing of that name comes from."""
        return self.entry(name).source

    def entry(self, name: str) -> Entry[T]:
        """The thing with its source."""
        entries = self._entries.get(name, [])
        if len(entries) == 1:
            return entries[0]
        if entries:
            claims = " and ".join(str(entry.source) for entry in entries)
            raise PluginError(f"{self.kind} {name!r} is offered twice, by {claims}", hint="pip uninstall one of them")
        self.load_rest()
        for broken in self.broken:
            source, is_this = broken.source, (broken.kind, broken.card) == (self.kind, name)
            if is_this or name in (source.entry_point, source.module):
                what = f"{broken.kind} {broken.card!r}" if broken.card else f"plugin {name!r}"
                raise PluginError(
                    f"{what} of {source.distribution} {source.version} is broken: {broken.error}",
                    hint="harness doctor shows the traceback",
                )
        raise self._unknown(name)

    def _unknown(self, name: str) -> PluginError | UsageError:
        plural = {"benchmark": "benches"}.get(self.kind, self.kind + "s")
        where = plural if plural in ("benches", "metrics") else "plugins"
        kind = PluginError if self.kind == "method" else UsageError
        return kind.unknown(self.kind, name, self.names(), hint=f"harness ls {where}")

    def _add(self, name: str, thing: T, source: Source) -> None:
        self._entries.setdefault(name, []).append(Entry(thing, source))


class Benchmarks(Shelf[Benchmark]):
    """Benchmarks; ``NAME:CHOICE`` is what is chosen in one over any tree, ``NAME+blur-3`` one that is corrupted."""

    def entry(self, name: str) -> Entry[Benchmark]:
        """The benchmark with its source; UsageError where nothing can be chosen in it, or it cannot be so corrupted."""
        name, _, choice = name.partition(":")
        base, setting = (name, None) if name in self._entries else split_name(name)
        if setting is None:
            self._refuse_odd_corruption(name)
        found = super().entry(base)
        if choice:
            found = replace(found, thing=self._choose(found.thing, choice))
        if setting is None:
            return found
        from harness.corruptions.samples import corrupt_benchmark

        return replace(found, thing=corrupt_benchmark(found.thing, setting))

    def _choose(self, benchmark: Benchmark, choice: str) -> Benchmark:
        if benchmark.choose is None:
            raise UsageError(
                f"{benchmark.name} has videos of its own: found the choice {choice!r:.200}, "
                f"expected {benchmark.name} alone",
                hint=f"benchmarks over any tree: {', '.join(bench.name for bench in self if bench.choose is not None)}",
            )
        with blame(f"benchmark {benchmark.name}, choice {choice!r:.200}", MethodFailed):
            chosen = benchmark.choose(choice)
        return replace(chosen, choice=choice)

    def _refuse_odd_corruption(self, name: str) -> None:
        """UsageError where a benchmark that is there has something behind a ``+`` that is no corruption."""
        base, plus, suffix = name.rpartition("+")
        if plus and name not in self._entries and base in self._entries:
            known = [f"{corruption}-{severity}" for corruption in CORRUPTIONS for severity in SEVERITIES]
            raise UsageError.unknown("corruption", suffix, known, of=base, hint="harness ls corruptions")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")  # names become folders
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "harness_methods": ("method", (Method,)),
    "harness_benchmarks": ("benchmark", (Benchmark,)),
    "harness_metrics": ("metric", (Metric, TrackMetric)),
    "harness_executors": ("executor", (Executor,)),
    "harness_reporters": ("reporter", (Reporter,)),
}


class Catalog:
    """Everything installed, by kind."""

    def __init__(self) -> None:
        self._broken: list[Broken] = []
        self._sources: list[Source] = []
        self._shelves: dict[str, Shelf[Any]] = {
            hook: (Benchmarks if kind == "benchmark" else Shelf)(kind, self._broken, self._load_rest)
            for hook, (kind, _) in _KINDS.items()
        }
        self._waiting: list[EntryPoint] = []
        self._filled: set[str] = set()
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._lock = threading.RLock()

    @classmethod
    def load(cls, points: Iterable[EntryPoint] | None = None) -> Catalog:
        """Find every entry point of group ``harness``; each is loaded, by itself, when it is first needed."""
        catalog = cls()
        found = catalog._find_points() if points is None else points
        catalog._waiting = sorted(found, key=lambda p: (p.name, p.value))
        return catalog

    @property
    def methods(self) -> Shelf[Method]:
        """What can be run."""
        return self._fill("harness_methods")

    @property
    def benchmarks(self) -> Shelf[Benchmark]:
        """What a method is run on."""
        return self._fill("harness_benchmarks")

    @property
    def metrics(self) -> Shelf[Any]:
        """What masks and tracks are measured by."""
        return self._fill("harness_metrics")

    @property
    def executors(self) -> Shelf[Executor]:
        """How the videos of a run are worked through."""
        return self._fill("harness_executors")

    @property
    def reporters(self) -> Shelf[Reporter]:
        """What shows a leaderboard."""
        return self._fill("harness_reporters")

    @property
    def broken(self) -> list[Broken]:
        """Every plugin that could not be loaded."""
        self._load_rest()
        return self._broken

    @property
    def sources(self) -> list[Source]:
        """Every plugin, broken ones too."""
        self._load_rest()
        return self._sources

    def shelves(self) -> dict[str, Shelf[Any]]:
        """Every shelf by the hook that fills it."""
        self._load_rest()
        return self._shelves

    def with_benchmark(self, benchmark: Benchmark, source: Source) -> Catalog:
        """The same plugins, and this benchmark alone."""
        self._load_rest()  # else the two would load what is left a second time into shelves that they share
        view = copy.copy(self)
        alone: Shelf[Any] = Shelf("benchmark", [], _entries={benchmark.name: [Entry(benchmark, source)]})
        view._shelves = {**self._shelves, "harness_benchmarks": alone}
        return view

    def _fill(self, hook: str) -> Shelf[Any]:
        """The shelf of that hook, after every plugin that may fill it was loaded."""
        if hook not in self._filled:
            with self._lock:
                self._load_those(lambda point: hook in _hooks_named_by(point))
                self._filled.add(hook)
        return self._shelves[hook]

    def _load_rest(self) -> None:
        with self._lock:
            self._load_those(lambda point: True)
            self._broken.sort(key=lambda broken: broken.source.entry_point)
            self._sources.sort(key=lambda source: source.entry_point)

    def _load_those(self, is_wanted: Callable[[EntryPoint], bool]) -> None:
        wanted = [point for point in self._waiting if is_wanted(point)]
        self._waiting = [point for point in self._waiting if point not in wanted]
        for point in wanted:
            self._load_one(point)

    def _find_points(self) -> Iterable[EntryPoint]:
        """Every entry point that is installed; a distribution whose own files cannot be read is a broken one."""
        try:
            return entry_points(group=hookspecs.GROUP)
        except Exception:  # one of them: which, is found by asking each
            found: dict[tuple[str, str], EntryPoint] = {}
            for distribution in distributions():
                try:
                    named = distribution.entry_points.select(group=hookspecs.GROUP)
                    found |= {(point.name, point.value): point for point in reversed(tuple(named))} | found
                except Exception as error:
                    place = str(distribution.locate_file(""))
                    self._broken.append(_describe_broken(Source("entry_points.txt", place, "(unreadable)", ""), error))
            return found.values()

    def _load_one(self, point: EntryPoint) -> None:
        """Load one entry point; the manager holds no other plugin, before and after."""
        source, manager = _source(point), self._manager
        self._sources.append(source)
        try:
            manager.register(point.load(), name=point.name)
            manager.check_pending()
            offers = [
                (hook, thing)
                for hook in _KINDS
                for implementation in getattr(manager.hook, hook).get_hookimpls()
                for thing in _list_offered(hook, implementation.function())
            ]
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._broken.append(_describe_broken(source, error))
            return
        finally:
            if manager.has_plugin(point.name):
                manager.unregister(name=point.name)
        for hook, thing in offers:
            if self._is_sound(hook, thing, source):
                self._shelves[hook]._add(thing.name, thing, source)

    def _is_sound(self, hook: str, thing: Any, source: Source) -> bool:
        """Whether a card is what its kind promises; one that is not is broken by itself, its neighbours are not."""
        kind, card = _KINDS[hook][0], ""
        try:
            card = _check_name(hook, thing)
            check_card(kind, thing)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._broken.append(_describe_broken(source, error, kind, card or f"a {kind} without a name"))
            return False
        return True


_BY_OTHER_WAYS = re.compile(rb"import\s*\(?\s*\*|globals\s*\(|setattr\s*\(|__getattr__|__dict__|vars\s*\(|exec\s*\(")
"""How a module comes to have names that its text does not hold."""


@functools.cache
def _hooks_named_by(point: EntryPoint) -> Collection[str]:
    """The hooks that a plugin may offer, by the text of its module, which is not run; all where that does not tell."""
    try:
        spec = importlib.util.find_spec(point.module)
        text = Path(spec.origin).read_bytes() if spec and spec.origin and spec.origin.endswith(".py") else b""
    except BaseException as error:  # of a package that lies above it: told when the plugin is loaded
        if is_interrupt(error):
            raise
        return _KINDS
    named = [hook for hook in _KINDS if hook.encode() in text]
    return named if named and not _BY_OTHER_WAYS.search(text) else _KINDS


def _describe_broken(source: Source, error: BaseException, kind: str = "", card: str = "") -> Broken:
    return Broken(source, describe_error(error).splitlines()[0], describe_traceback(error), kind, card)


def _source(point: EntryPoint) -> Source:
    name, version = _name_and_version(point.dist) if point.dist else ("(no distribution)", "")
    return Source(point.name, point.value, name, version)


@functools.lru_cache(maxsize=64)
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Of an installed distribution, which parses its whole metadata, long description included, for each of the two."""
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "(no name)", metadata["Version"] or ""
    except Exception:  # no UTF-8: its plugins can be used all the same
        return "(unreadable metadata)", ""


def _list_offered(hook: str, offered: Any) -> list[Any]:
    if not isinstance(offered, list):
        raise PluginError(f"{hook} returned {type(offered).__name__}, expected a list of {_KINDS[hook][0]}s")
    return offered


def _check_name(hook: str, thing: Any) -> str:
    """The name of what a hook offered; PluginError where it is of another kind, or cannot be a name."""
    kind, types = _KINDS[hook]
    if not isinstance(thing, types):
        raise PluginError(f"{hook} offered {type(thing).__name__}, expected {kind}s")
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(f"{hook} offered a {kind} named {name!r}; expected letters, digits and . _ + -")
    return name
