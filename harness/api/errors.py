"""The errors a user can mend, each with the exit code the command line returns for it.

Programmers' mistakes stay ValueError and TypeError; everything below is caught once, in harness/cli.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Self

LISTED = 30
"""So many names are listed whole in a message; of more, ``SHOWN``."""
SHOWN = 5


class HarnessError(Exception):
    """Anything a user can mend; ``exit_code`` is what the command returns.

    A message says what was found, what was expected, where, and (``hint``) which command or step comes next.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message

    @classmethod
    def unknown(
        cls, kind: str, name: str | Sequence[str], known: Iterable[str], *, of: str = "", hint: str | None = None
    ) -> Self:
        """The error about a name that is not there (or several), with the nearest of those that are; ``of``: whose.

        Of many names that are there the first few are listed.

        >>> print(UsageError.unknown("preset", "papr", ["paper", "official"], of="tvos").message)
        tvos has no preset 'papr' (did you mean 'paper'?); known: paper, official
        """
        there = list(known)
        names = [name] if isinstance(name, str) else list(name)
        guesses = " and no ".join(f"{kind} {_guess(name, there)}" for name in names)
        found = f"{of} has no {guesses}" if of else " and ".join(f"no {kind} named {_guess(n, there)}" for n in names)
        listed = ", ".join(there if len(there) <= LISTED else there[:SHOWN])
        more = f" ... ({len(there)} in all)" if len(there) > LISTED else ""
        return cls(f"{found}; known: {listed or 'none'}{more}", hint=hint)


def _guess(name: str, known: Sequence[str]) -> str:
    """``'papr' (did you mean 'paper'?)``, or the name alone where none is near."""
    near = find_near(name, known)
    return f"{name!r}" + (f" (did you mean {near!r}?)" if near else "")


def find_near(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None where none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


class GateFailed(HarnessError):
    """A comparison ran to its end and a gate said no."""

    exit_code = 1


class UsageError(HarnessError):
    """A wrong option, an unknown name, a run folder that belongs to another run."""

    exit_code = 2


class DataError(HarnessError):
    """Data on disk is missing or malformed; the message names path, found and expected."""

    exit_code = 3

    @classmethod
    def at(cls, path: object, *, found: str, expected: str, hint: str | None = None) -> DataError:
        """The error about one file or folder.

        >>> print(DataError.at("dog/00003.png", found="an RGB image", expected="an 8-bit palette PNG").message)
        dog/00003.png: found an RGB image, expected an 8-bit palette PNG
        """
        return cls(f"{path}: found {found}, expected {expected}", hint=hint)


class DataProblems(DataError):
    """Everything wrong with a dataset at once, the most telling first: it has the hint and is always shown.

    ``usable`` holds the samples that could be opened all the same.
    """

    SHOWN = 10

    def __init__(self, problems: Sequence[DataError], usable: Sequence[Any] = (), *, summary: str = "") -> None:
        lines = [summary] if summary else []
        lines += [problem.message for problem in problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"and {len(problems) - self.SHOWN} more problems")
        super().__init__("\n  ".join(lines), hint=problems[0].hint)
        self.problems = tuple(problems)
        self.usable = tuple(usable)


class PluginError(HarnessError):
    """A plugin is not there, cannot be loaded, or its card is wrong."""

    exit_code = 4


class ContractError(PluginError):
    """A method broke its promise: shape, dtype, ids, number of masks. Names plugin, video and frame."""


class CausalityError(ContractError):
    """A method read a frame or a prompt that lies after the frame it was asked for."""


class MethodFailed(HarnessError):
    """A plugin's code raised, ran out of memory or out of time; what was finished before is kept."""

    exit_code = 5


class EnvironmentProblem(HarnessError):
    """This machine lacks something: a device, a package, a writable folder."""

    exit_code = 6


class CannotWrite(EnvironmentProblem):
    """A file cannot be written: a full disk, a quota, a folder that is gone. It is nobody's crash and stops a run."""


class IncompletePredictions(HarnessError):
    """Predictions made elsewhere lack a frame or a video; nothing is scored."""

    exit_code = 7


class VerificationFailed(HarnessError):
    """A checksum, a record or a generated file is not what it claims to be."""

    exit_code = 8
