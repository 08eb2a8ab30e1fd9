"""The store of one run: the runner appends, everybody else reads.

A run folder holds ``plan.json`` (what the results depend on), ``videos/<video>.json``, ``masks/<video>/*.png`` or
``tracks/<video>.json``, and at the end ``record.json``. Every file is written beside its place and renamed, so that a
kill at any moment leaves only whole files; a video counts as finished when its JSON is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.api.errors import DataError, UsageError
from harness.api.records import RunRecord, VideoResult, is_safe_video_name


def digest_of(parts: Any) -> str:
    """SHA-256 of plain JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and bytes of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class RunFolder:
    """One run's folder, locked for this process; use as a context manager.

    A second run into the same folder gets UsageError at once. The lock is the system's: it goes with the process,
    also when that is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> RunFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise UsageError(
                f"run folder {self.path} cannot be written: {error}", hint="choose another --out"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise UsageError(
                f"another run (process {holder}) is writing into {self.path}",
                hint="wait for it, or choose another --out",
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.close()

    def claim(self, parts: Mapping[str, Any], *, fresh: bool) -> None:
        """Make the folder this run's: write ``plan.json``, or check that the one there says the same.

        ``fresh`` throws earlier results away first. Anything that differs is a UsageError naming it.
        """
        plan = self.path / "plan.json"
        if fresh:
            self.clear()
        if plan.exists():
            try:
                before = json.loads(plan.read_text(encoding="utf-8"))
            except (ValueError, OSError) as error:
                raise UsageError(f"{plan} is not readable: {error}", hint="--resume never starts anew") from error
            differs = sorted(key for key in {*before, *parts} if before.get(key) != parts.get(key))
            if differs:
                key = differs[0]
                raise UsageError(
                    f"{self.path} holds another run: {', '.join(differs)} differ "
                    f"({key}: there {before.get(key)!r}, now {parts.get(key)!r})",
                    hint="choose another --out, or --resume never to throw the earlier results away",
                )
        elif any(entry.name != "lock" for entry in self.path.iterdir()):
            raise UsageError(f"{self.path} is not empty and is no run folder", hint="choose another --out")
        write_atomically(plan, (json.dumps(dict(parts), indent=2, sort_keys=True) + "\n").encode())

    def clear(self) -> None:
        """Throw away everything a run wrote here; other files stay."""
        for name in ("videos", "masks", "tracks", "logs"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("plan.json", "record.json"):
            (self.path / name).unlink(missing_ok=True)

    def finished(self, video: str, key: str) -> VideoResult | None:
        """The stored result of ``video`` if it was made under the same key and its masks are whole, else None."""
        path = self._result_path(video)
        try:
            result = VideoResult.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        if result.key != key or result.video != video:
            return None
        if result.masks and not self._masks_are_whole(result):
            return None
        return result

    def _masks_are_whole(self, result: VideoResult) -> bool:
        place = self.path / result.masks
        return place.is_file() or (place.is_dir() and sum(1 for _ in place.glob("*.png")) == result.length)

    def append(self, result: VideoResult) -> None:
        """Store one finished video; its masks are in place already."""
        content = result.model_dump_json(by_alias=True).encode()
        write_atomically(self._result_path(result.video), content)

    def write_record(self, record: RunRecord) -> Path:
        """Write ``record.json`` and return its path."""
        path = self.path / "record.json"
        write_atomically(path, record.to_json().encode())
        return path

    def _result_path(self, video: str) -> Path:
        if not is_safe_video_name(video):
            raise DataError(f"video name {video!r} cannot be a file name; expected no separators and no leading dot")
        return self.path / "videos" / f"{video}.json"


class MaskFolder:
    """Collects one video's masks beside their place; ``publish`` renames the folder into place."""

    def __init__(self, run: Path, video: str) -> None:
        self.relative = f"masks/{video}"
        self._place = run / self.relative
        self.building = run / "masks" / f".{video}.building"
        shutil.rmtree(self.building, ignore_errors=True)
        self.building.mkdir(parents=True)

    def publish(self) -> str:
        """Move the masks into place and return their folder, relative to the run."""
        shutil.rmtree(self._place, ignore_errors=True)
        self.building.replace(self._place)
        return self.relative

    def discard(self) -> None:
        """Remove what was collected."""
        shutil.rmtree(self.building, ignore_errors=True)
