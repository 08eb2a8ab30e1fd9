"""How a corruption is typed and named: ``blur:3`` on the command line, ``mini+blur-3`` as a benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.corruptions.table import CORRUPTIONS, SEVERITIES, Corruption

CLEAN, EVERY = "clean", "all"
"""What may be typed in place of a corruption: the benchmark as it is, and that with everything there is."""
LARGEST_SEED = 9999
_SUFFIX = re.compile(r"([a-z]+(?:-[a-z]+)*)-([1-5])(?:-s([1-9][0-9]{0,3}))?")
HINT = "harness ls corruptions"


@dataclass(frozen=True)
class Setting:
    """A corruption at one severity; with a ``seed`` other than 0 it is another benchmark."""

    corruption: Corruption
    severity: int
    seed: int = 0

    @property
    def value(self) -> float:
        """How much it is, in the corruption's unit."""
        return self.corruption.values[self.severity - 1]

    @property
    def suffix(self) -> str:
        """What stands behind the ``+`` in the benchmark's name.

        >>> Setting(CORRUPTIONS["noise"], 3, seed=7).suffix
        'noise-3-s7'
        """
        return f"{self.corruption.name}-{self.severity}" + (f"-s{self.seed}" if self.seed else "")


def expand(typed: Iterable[str]) -> list[Setting | None]:
    """What ``--corrupt`` names, each once; None is the clean benchmark, a name alone all five severities.

    >>> [setting.suffix if setting else "" for setting in expand(["clean", "blur:3", "noise:1:7"])]
    ['', 'blur-3', 'noise-1-s7']
    """
    found: list[Setting | None] = []
    for text in typed:
        found += [None, *_all_of(CORRUPTIONS)] if text == EVERY else [None] if text == CLEAN else _read(text)
    return list(dict.fromkeys(found))


def _all_of(names: Iterable[str], seed: int = 0) -> list[Setting]:
    return [
        Setting(CORRUPTIONS[name], severity, seed if CORRUPTIONS[name].is_random else 0)
        for name in names
        for severity in SEVERITIES
    ]


def _read(text: str) -> list[Setting]:
    """``blur``, ``blur:3`` or ``noise:3:7``; UsageError for anything else."""
    name, *numbers = text.split(":")
    if name not in CORRUPTIONS:
        raise UsageError.unknown("corruption", name, [*CORRUPTIONS, CLEAN, EVERY], hint=HINT)
    if not numbers:
        return _all_of([name])
    severity = numbers[0]
    if severity not in map(str, SEVERITIES) or len(numbers) > 2:
        raise UsageError(
            f"--corrupt {text!r:.80}: expected {name}:SEVERITY, 1 to 5"
            + (", and perhaps a seed behind it" if CORRUPTIONS[name].is_random else ""),
            hint=HINT,
        )
    seed = _read_seed(name, numbers[1]) if len(numbers) == 2 else 0
    return [Setting(CORRUPTIONS[name], int(severity), seed)]


def _read_seed(name: str, text: str) -> int:
    if not CORRUPTIONS[name].is_random:
        raise UsageError(f"--corrupt {name}: found a seed {text!r:.40}, but nothing is random in it", hint=HINT)
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise UsageError(f"--corrupt {name}: found the seed {text!r:.40}, expected 0 to {LARGEST_SEED}")
    return int(text)


def add_to_name(bench: str, setting: Setting | None) -> str:
    """The benchmark's name with the corruption in it, in front of what is chosen in it.

    >>> add_to_name("davis17-layout:mine", Setting(CORRUPTIONS["blur"], 3))
    'davis17-layout+blur-3:mine'
    """
    if setting is None:
        return bench
    name, colon, choice = bench.partition(":")
    return f"{name}+{setting.suffix}{colon}{choice}"


def split_name(bench: str) -> tuple[str, Setting | None]:
    """The benchmark under a name, and how it is corrupted; a name that says nothing of it is whole.

    >>> split_name("mini"), split_name("mini+blur-3")[0], split_name("mini+blurr-3")
    (('mini', None), 'mini', ('mini+blurr-3', None))
    """
    base, plus, suffix = bench.rpartition("+")
    found = _SUFFIX.fullmatch(suffix)
    if not plus or found is None or found[1] not in CORRUPTIONS:
        return bench, None
    corruption, seed = CORRUPTIONS[found[1]], int(found[3] or 0)
    if seed and not corruption.is_random:
        return bench, None
    return base, Setting(corruption, int(found[2]), seed)
