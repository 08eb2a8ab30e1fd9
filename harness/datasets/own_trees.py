"""Benchmarks over anybody's tree: how such a card is made, and lists of videos found by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.api.contracts import Benchmark, Rule
from harness.api.errors import DataError
from harness.api.tasks import TaskName
from harness.api.video import Sample
from harness.datasets.davis import read_names

MANUAL = "these are your own videos: there is nothing to fetch"
PLACES = ("ImageSets/2017", "ImageSets/2016", "ImageSets/2019", "ImageSets/480p", "ImageSets", ".")
"""Where a list of that name is looked for, below the root."""


def offer(
    name: str,
    title: str,
    rules: Mapping[TaskName, Rule],
    opens: Callable[[str, Path | None, bool], Sequence[Sample]],
    layout: str,
) -> Benchmark:
    """The card of a benchmark over any tree; ``opens`` is given what was chosen (nothing: all), root and partial."""

    def choose(choice: str) -> Benchmark:
        return replace(whole, open=functools.partial(opens, choice))

    whole = Benchmark(
        name=name,
        title=title,
        rules=rules,
        open=functools.partial(opens, ""),
        layout=layout,
        manual=MANUAL,
        choose=choose,
    )
    return whole


def find_list(root: Path, choice: str) -> tuple[str, ...]:
    """The videos that a list names: ``choice`` is its name (``val``), or a path from the root or from anywhere."""
    path = seek_list(root, choice)
    if path is None:
        there = sorted(str(path.relative_to(root)) for path in (*root.glob("*.txt"), *root.glob("ImageSets/**/*.txt")))
        found = f"the lists {', '.join(there[:8])}" if there else "no list"
        raise DataError.at(
            root,
            found=found,
            expected=f"{choice}, or {choice}.txt in {', '.join(PLACES[:-1])}",
            hint="leave out what stands behind the colon to take every folder",
        )
    names = read_names(path)
    if not names:
        raise DataError.at(path, found="an empty list", expected="one video a line")
    return names


def seek_list(root: Path, choice: str) -> Path | None:
    """The list of that name or path; None where there is none."""
    named = (root / place / f"{choice}.txt" for place in PLACES)
    return next((path for path in (root / choice, *named) if path.is_file()), None)
