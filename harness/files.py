"""Files of ours, whatever is in them: written whole or not at all, read strictly, digested, in folders held alone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from harness.api.errors import CannotWrite, DataError, UsageError, VerificationFailed
from harness.api.plain_files import read_plain
from harness.api.whole_files import whole_file

LARGEST_DIGESTED = 1 << 31
"""Bytes of a file of ours: tracks are the largest."""


def digest_of(parts: Any) -> str:
    """SHA-256 of plain JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_of_bytes(path: Path) -> str:
    """SHA-256 of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_files(paths: Iterable[Path], *, links: bool = True) -> str:
    """SHA-256 over names and bytes of plain files, in the order given; OSError for what is none."""
    digest = hashlib.sha256()
    for path in paths:
        content = read_plain(path, largest=LARGEST_DIGESTED, links=links)
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and rename it into place; what fails leaves nothing.

    CannotWrite where the system refuses: a full disk, a quota, a folder that is gone.
    """
    with name_refusals(path), whole_file(path) as file:
        file.write(content)


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, which nobody reads before the folder is whole; CannotWrite as above."""
    with name_refusals(path):
        path.write_bytes(content)


@contextmanager
def name_refusals(path: Path) -> Iterator[None]:
    """Turn what the system refuses to write inside into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{path} cannot be written: {error.strerror or error}", hint="make room or choose another --out, and go on"
        ) from error


def refuse_unwritable(folder: Path, option: str) -> None:
    """CannotWrite where ``folder`` can neither be written into nor be made; nothing is made.

    For what ``option`` names, before the work whose outcome it shall hold.
    """
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        found = "is no folder"
    elif not os.access(place, os.W_OK | os.X_OK):
        found = "cannot be written into"
    else:
        return
    raise CannotWrite(
        f"{option}: {place} {found}; nothing was begun", hint=f"give {option} another place, or make room for it there"
    )


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
    try:
        content = read_plain(path, largest=largest, links=False)
    except OSError as error:
        raise VerificationFailed(f"{path}: found {error.strerror}, expected at most {largest} bytes") from error
    return parse_json(content, path)


def parse_json(content: bytes, path: Path) -> Any:
    """The JSON in a file's content: no NaN, no key twice, no endless nesting; VerificationFailed names ``path``."""
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
            self._lock = self._open_lock()
        except OSError as error:
            raise CannotWrite(f"{self.work} folder {self.path} cannot be written: {error}", hint=self.hint) from error
        try:
            self._hold()
            with name_refusals(self.path / "lock"):
                self._lock.truncate(0)
                self._lock.write(str(os.getpid()))
                self._lock.flush()
        except BaseException:
            with contextlib.suppress(OSError):
                self._lock.close()
            raise
        return self

    def _open_lock(self) -> TextIO:
        """The lock's file, a plain one of the folder's own: what a link leads to would be written over."""
        path = self.path / "lock"
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UsageError(f"{path} is no plain file of this folder; nothing was touched", hint=self.hint)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(os.open(path, flags, 0o666), "a+", encoding="utf-8", errors="replace")

    def _hold(self) -> None:
        """Lock it; UsageError while another process holds it.

        A file system without flock (Lustre, NFS) is asked for a lock of the other kind; one that has neither is used
        as it is, with a warning.
        """
        reason = ""
        for take in (fcntl.flock, fcntl.lockf):
            try:
                take(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    self._lock.seek(0)
                    holder = self._lock.read(100).strip() or "unknown"
                    raise UsageError(
                        f"another {self.work} (process {holder}) is writing into {self.path}",
                        hint=f"wait for it, or {self.hint}",
                    ) from error
                reason = os.strerror(error.errno or 0)
        words = f"{self.path} lies on a file system without locks ({reason}): nothing keeps a second {self.work} out"
        warnings.warn(words, RuntimeWarning, stacklevel=3)

    def __exit__(self, *exc: object) -> None:
        self._lock.close()


def refuse_links(*places: Path) -> None:
    """Raise UsageError for a link, whose end is somebody else's, and for a pipe, which would be waited for."""
    for place in places:
        if place.exists() and not (place.is_file() or place.is_dir()):
            raise UsageError(
                f"{place} is a pipe, socket or device; expected files of this folder's own, nothing was touched",
                hint="remove it, or choose another --out",
            )
        if place.is_symlink():
            raise UsageError(
                f"{place} is a link to {os.readlink(place)}; expected files of this folder's own, nothing was touched",
                hint="remove the link, or choose another --out",
            )


def sweep_abandoned(folder: Path) -> None:
    """Remove below ``folder``, which others may write into as well, the files of writers that live no more."""
    for torn in folder.rglob(".*.tmp") if folder.is_dir() else ():
        writer = torn.suffixes[-2].removeprefix(".") if len(torn.suffixes) > 1 else ""
        if writer.isdigit() and not _is_running(int(writer)):
            with contextlib.suppress(OSError):
                torn.unlink()


@contextmanager
def scratch_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder for a while, in ``parent`` or the system's place; what killed processes left of its kind goes first.

    It is held by a lock, so that no process of another machine or container is taken for a dead one.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{kind}-*-*"):
        writer = left.name.removeprefix(f"{kind}-").partition("-")[0]
        if writer.isdigit() and not _is_running(int(writer)):
            with contextlib.suppress(OSError), _folder_locked(left):
                shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=f"{kind}-{os.getpid()}-", dir=parent) as made,
        contextlib.ExitStack() as held,
    ):
        with contextlib.suppress(OSError):
            held.enter_context(_folder_locked(Path(made)))
        yield Path(made)


@contextmanager
def take_turn(folder: Path, *, work: str, tell: Callable[[str], None], seconds: float = 30.0) -> Iterator[None]:
    """Hold a folder in turn with other processes, as `HeldFolder` does alone, for work that is soon done.

    ``tell`` is given a line when there is somebody to wait for; UsageError after ``seconds``. The lock is the folder's
    own and leaves no file, so that nothing is added to a folder that is committed; it goes with the process.
    """
    with name_refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        end = time.monotonic() + seconds
        is_told = False
        while not _enter_free_folder(held, folder, work):
            if not is_told:
                tell(f"waiting for another {work} that is writing into {folder}")
                is_told = True
            if time.monotonic() >= end:
                raise UsageError(
                    f"another {work} is writing into {folder}, after {seconds:g} s still; nothing was touched",
                    hint="wait for it, and do this again",
                )
            time.sleep(0.02)
        yield


def _enter_free_folder(held: contextlib.ExitStack, folder: Path, work: str) -> bool:
    """Lock the folder until ``held`` ends; False while another has it. Without locks it is used as it is."""
    try:
        held.enter_context(_folder_locked(folder.resolve()))
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        reason = os.strerror(error.errno or 0)
        words = f"{folder} lies on a file system without locks ({reason}): nothing keeps a second {work} out"
        warnings.warn(words, RuntimeWarning, stacklevel=4)
    return True


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def sweep(*folders: Path) -> None:
    """Remove what killed writers left in these folders, which nobody else may be writing into now."""
    for folder in folders:
        for torn in folder.glob(".*.tmp") if folder.is_dir() else ():
            with contextlib.suppress(OSError):
                torn.unlink()


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
