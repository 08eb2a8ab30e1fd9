"""Files of ours, whatever is in them: written whole or not at all, read strictly, digested, in folders held alone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api.errors import CannotWrite, DataError, EnvironmentProblem, UsageError, VerificationFailed
from harness.api.whole_files import whole_file


def digest_of(parts: Any) -> str:
    """SHA-256 of plain JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_of_bytes(path: Path) -> str:
    """SHA-256 of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and bytes of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and rename it into place; what fails leaves nothing.

    CannotWrite where the system refuses: a full disk, a quota, a folder that is gone.
    """
    with refusals_named(path), whole_file(path) as file:
        file.write(content)


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, which nobody reads before the folder is whole; CannotWrite as above."""
    with refusals_named(path):
        path.write_bytes(content)


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Turn what the system refuses to write inside into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{path} cannot be written: {error.strerror or error}", hint="make room or choose another --out, and go on"
        ) from error


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk or a quota is behind this error, whoever met it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def read_json(path: Path, *, largest: int) -> Any:
    """Parse a plain file of JSON: no link, at most ``largest`` bytes, no NaN, no key twice, no endless nesting."""
    if not os.path.lexists(path):
        raise DataError(f"{path}: found nothing, expected a JSON file")
    if path.is_symlink() or not path.is_file():
        found = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "something else"
        raise VerificationFailed(f"{path}: found {found}, expected a plain file")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise VerificationFailed(f"{path}: found {path.stat().st_size} bytes, expected at most {largest}")
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once
        )
    except RecursionError:
        raise VerificationFailed(f"{path}: found JSON nested too deeply, expected a record") from None
    except ValueError as error:
        raise VerificationFailed(f"{path}: found no readable JSON ({error}), expected a record") from error


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} stands twice in one object")
        found[key] = value
    return found


class HeldFolder:
    """A folder that this process alone writes into; use as a context manager.

    A second process gets UsageError at once, which names ``work`` ("run") and who is at it. The lock is the
    system's: it goes with the process, also when that is killed.
    """

    def __init__(self, path: Path, *, work: str, hint: str) -> None:
        self.path = path
        self.work = work
        self.hint = hint

    def __enter__(self) -> HeldFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.work} folder {self.path} cannot be written: {error}", hint=self.hint
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise UsageError(
                f"another {self.work} (process {holder}) is writing into {self.path}",
                hint=f"wait for it, or {self.hint}",
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.close()


def refuse_foreign_files(folder: Path, mark: str, kind: str) -> None:
    """Raise UsageError for a folder that holds files but not ``mark``, which every folder of this ``kind`` has.

    A kill may leave a lock, or half of a file that was being written.
    """
    if (folder / mark).exists():
        return
    foreign = [entry.name for entry in folder.iterdir() if entry.name != "lock" and not entry.match(".*.tmp")]
    if foreign:
        raise UsageError(
            f"{folder} is not empty and is no {kind} folder: found {min(foreign)}, no {mark}",
            hint="choose another --out",
        )
