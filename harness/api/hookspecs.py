"""The five hooks by which anything is added to the harness; each returns a list, and all are pluggy hooks.

A plugin is a module named by an entry point of group ``harness``. It imports nothing heavy: what a hook returns are
cards, and a card's ``build`` imports torch when a run asks for it.
"""

from __future__ import annotations

import pluggy

from harness.api.contracts import Benchmark, Executor, Method, Metric, Reporter

GROUP = "harness"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def harness_methods() -> list[Method]:  # type: ignore[empty-body]
    """Offer methods.

    >>> from harness import Method, hookimpl
    >>> class AllBackground:
    ...     def segment_object(self, video):
    ...         for frame in video:
    ...             yield frame[..., 0] * 0
    >>> @hookimpl
    ... def harness_methods():
    ...     return [Method(name="nothing", tasks=("object-zvos",), build=lambda context: AllBackground())]
    >>> harness_methods()[0].name
    'nothing'
    """


@hookspec
def harness_benchmarks() -> list[Benchmark]:  # type: ignore[empty-body]
    """Offer benchmarks: a dataset, a split, and how each task on it is scored.

    >>> from harness import Benchmark, DAVIS_2016, hookimpl
    >>> @hookimpl
    ... def harness_benchmarks():
    ...     return [Benchmark(name="ours-val", title="Ours, validation", rules={"one-shot": DAVIS_2016},
    ...                       open=lambda root, partial: [])]
    >>> harness_benchmarks()[0].tasks
    ('one-shot',)
    """


@hookspec
def harness_metrics() -> list[Metric]:  # type: ignore[empty-body]
    """Offer metrics.

    >>> from harness import Column, hookimpl
    >>> class MaskArea:
    ...     name = "area"
    ...     columns = (Column("area", "mean share of pixels that are object"),)
    ...     def start(self, sample, rule): ...
    ...     def summarise(self, videos, rule): ...
    >>> @hookimpl
    ... def harness_metrics():
    ...     return [MaskArea()]
    >>> harness_metrics()[0].columns[0].higher_is_better
    True
    """


@hookspec
def harness_executors() -> list[Executor]:  # type: ignore[empty-body]
    """Offer executors: where and how the videos of a run are worked through.

    >>> from harness import hookimpl
    >>> class Reversed:
    ...     name = "reversed"
    ...     def execute(self, sessions, videos):
    ...         session = sessions.open()
    ...         for video in reversed(videos):
    ...             yield session.work_through(video)
    >>> @hookimpl
    ... def harness_executors():
    ...     return [Reversed()]
    >>> class Loud:
    ...     def open(self):
    ...         return self
    ...     def work_through(self, video):
    ...         return video.upper()
    >>> list(harness_executors()[0].execute(Loud(), ["a", "b"]))
    ['B', 'A']
    """


@hookspec
def harness_reporters() -> list[Reporter]:  # type: ignore[empty-body]
    """Offer reporters: what is written from a set of records.

    >>> from harness import hookimpl
    >>> class Count:
    ...     name = "count"
    ...     def report(self, records, out, published=()):
    ...         (out / "count.txt").write_text(str(len(records)))
    ...         return [out / "count.txt"]
    >>> @hookimpl
    ... def harness_reporters():
    ...     return [Count()]
    >>> harness_reporters()[0].name
    'count'
    """
