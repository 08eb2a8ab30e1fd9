"""What the channels of the foreground head mean: a fact beside the weights, checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import DataError
from harness.api.errors import UsageError

FACT = "categories"
"""The name of the fact: [[number, name], ...], one a channel after the first."""


@dataclass(frozen=True)
class Categories:
    """Number and name of each category the weights tell apart, in the order of the channels."""

    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    wanted: frozenset[int] | None = None
    """Those whose tracks are yielded; None: all."""

    def number(self, channel: int) -> int:
        """What the category of a channel after the first, counted from 0, is called in results."""
        return self.numbers[channel]

    def is_wanted(self, number: int) -> bool:
        """Whether tracks of this category are yielded."""
        return self.wanted is None or number in self.wanted


def write_fact(categories: Mapping[int, str]) -> str:
    """The fact of a training: numbers ascending, as the channels are.

    >>> write_fact({4: "bird", 1: "quadruped"})
    '[[1, "quadruped"], [4, "bird"]]'
    """
    return json.dumps([[number, name] for number, name in sorted(categories.items())])


def read_categories(
    facts: Mapping[str, str], channels: int, *, expected: int = 0, wanted: Sequence[str] = ()
) -> Categories:
    """The categories of weights with so many channels after the first; 1, 2, ... where no fact says more.

    DataError where the fact is malformed or of another number than the channels, or ``expected`` is; UsageError for a
    ``wanted`` name that the weights do not know.

    >>> read_categories({"categories": '[[1, "quadruped"], [4, "bird"]]'}, 2).numbers
    (1, 4)
    """
    if expected and expected != channels:
        raise DataError(
            f"the weights tell {channels} categories apart; expected {expected}, as categories={expected} says",
            hint="leave categories unset: weights decide by themselves",
        )
    numbers, names = tuple(range(1, channels + 1)), tuple(f"category-{k}" for k in range(1, channels + 1))
    if FACT in facts:
        numbers, names = parse(facts[FACT])
        if len(numbers) != channels:
            raise DataError(
                f"the fact {FACT!r} of the weights names {len(numbers)} categories; their foreground head tells "
                f"{channels} apart",
                hint="fetch the weights again, or train them anew",
            )
    strange = [name for name in wanted if name not in names]
    if strange:
        raise UsageError(
            f"the weights do not know the category {strange[0]!r}; they know {', '.join(names) or 'none'}",
            hint="--set wanted=[] yields tracks of all categories",
        )
    chosen = frozenset(number for number, name in zip(numbers, names, strict=True) if name in wanted)
    return Categories(numbers, names, chosen if wanted else None)


def parse(fact: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names; DataError for what is not a list of different numbers from 1 on, each with a name."""
    try:
        pairs = [(number, name) for number, name in json.loads(fact)]
    except (ValueError, TypeError, RecursionError):
        pairs = [(0, "")]
    numbers = [number for number, _ in pairs]
    is_right = all(type(number) is int and number > 0 and isinstance(name, str) for number, name in pairs)
    if not is_right or len(set(numbers)) != len(numbers):
        raise DataError(
            f"the fact {FACT!r} of the weights is {fact[:80]!r}; expected [[number, name], ...], numbers from 1 on",
            hint="fetch the weights again, or train them anew",
        )
    return tuple(numbers), tuple(name for _, name in pairs)
