"""How a record is refused: VerificationFailed names the file and the field, what was found there and what should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.api.errors import VerificationFailed

TOLERANCE = 1e-9


def expect(path: Path, field: str, found: Any, holds: bool, expected: str, *, hint: str = "") -> None:
    """Raise unless ``holds``."""
    if not holds:
        raise VerificationFailed(f"{path}: {field}: found {shorten(found)}, expected {expected}", hint=hint)


def expect_equal(path: Path, field: str, found: float | None, expected: float | None, what: str) -> None:
    """Raise unless the two are the same number but for rounding; None equals nothing."""
    equal = found is not None and expected is not None and abs(found - expected) <= TOLERANCE
    expect(path, field, found, equal, f"{expected}, {what}")


def shorten(value: Any) -> str:
    """A value as one line of at most 200 characters, without control characters."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 200 else text[:200] + "..."
