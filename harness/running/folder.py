"""The store of one run: the runner appends, everybody else reads.

A run folder holds ``plan.json`` (what the results depend on), ``videos/<video>.json``, ``masks/<video>/*.png`` or
``tracks/<video>.json``, and at the end ``record.json``. Every file is written beside its place and renamed, so that a
kill at any moment leaves only whole files; a video counts as finished when its JSON is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.api.errors import DataError, UsageError
from harness.api.records import RunRecord, VideoResult, is_safe_video_name
from harness.api.track_json import track_to_json
from harness.api.video import Tracks
from harness.files import HeldFolder, refusals_named, refuse_foreign_files, write_atomically


class RunFolder(HeldFolder):
    """One run's folder, held for this process; use as a context manager."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, work="run", hint="choose another --out")

    def __enter__(self) -> RunFolder:
        super().__enter__()
        return self

    def claim(self, parts: Mapping[str, Any], *, fresh: bool) -> None:
        """Make the folder this run's: write ``plan.json``, or check that the one there says the same.

        ``fresh`` throws earlier results away first, and so does a replay: the masks it shows may have changed, which no
        key tells. Anything that differs, and a folder with files that no run left there, is a UsageError naming it.
        """
        if fresh:
            refuse_foreign_files(self.path, self._plan.name, "run")
        else:
            self._refuse_other_plan(parts)
        if fresh or _is_replay(parts):
            self.clear()
        write_atomically(self._plan, (json.dumps(dict(parts), indent=2, sort_keys=True) + "\n").encode())

    def refuse_method_run(self) -> None:
        """Raise UsageError where the folder holds a method's own run, whose masks cost more than their scores."""
        refuse_foreign_files(self.path, self._plan.name, "run")
        if self._plan.exists() and not _is_replay(self._read_plan()):
            raise UsageError(f"{self.path} holds the run of a method", hint="choose another --out for the scores")

    @property
    def _plan(self) -> Path:
        return self.path / "plan.json"

    def _read_plan(self) -> dict[str, Any]:
        try:
            parts = json.loads(self._plan.read_text(encoding="utf-8"))
            if not isinstance(parts, dict):
                raise ValueError(f"a JSON {type(parts).__name__}")
        except (ValueError, OSError, RecursionError) as error:
            raise UsageError(f"{self._plan} is not readable: {error}", hint="--resume never starts anew") from error
        return parts

    def _refuse_other_plan(self, parts: Mapping[str, Any]) -> None:
        refuse_foreign_files(self.path, self._plan.name, "run")
        if not self._plan.exists():
            return
        before = self._read_plan()
        differs = sorted(key for key in {*before, *parts} if before.get(key) != parts.get(key))
        if differs:
            key = differs[0]
            raise UsageError(
                f"{self.path} holds another run: {', '.join(differs)} differ "
                f"({key}: there {before.get(key)!r}, now {parts.get(key)!r})",
                hint="choose another --out, or --resume never to throw the earlier results away",
            )

    def clear(self) -> None:
        """Throw away everything a run wrote here; other files stay. The plan goes last: until then it is a run's."""
        (self.path / "record.json").unlink(missing_ok=True)
        for name in ("videos", "masks", "tracks", "logs"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        self._plan.unlink(missing_ok=True)

    def read_result(self, video: str) -> VideoResult | None:
        """The result of ``video`` that lies here with whole masks, under whatever key, else None."""
        path = self._result_path(video)
        try:
            result = VideoResult.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        if result.video != video or (result.masks and not self._masks_are_whole(result)):
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


def _is_replay(parts: Mapping[str, Any]) -> bool:
    plugin = parts.get("plugin")
    return isinstance(plugin, Mapping) and plugin.get("replays") is True


class MaskFolder:
    """Collects one video's masks beside their place; use as a context manager.

    ``publish`` renames the folder into place; what was not published is removed at the end.
    """

    def __init__(self, run: Path, video: str) -> None:
        self.relative = f"masks/{video}"
        self._place = run / self.relative
        self.building = run / "masks" / f".{video}.building"

    def __enter__(self) -> MaskFolder:
        with refusals_named(self.building):
            self._remove()
            self.building.mkdir(parents=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._remove()

    def publish(self) -> str:
        """Move the masks into place and return their folder, relative to the run."""
        with refusals_named(self._place):
            shutil.rmtree(self._place, ignore_errors=True)
            self.building.replace(self._place)
        return self.relative

    def _remove(self) -> None:
        shutil.rmtree(self.building, ignore_errors=True)


def write_tracks(run: Path, video: str, tracks: Tracks) -> str:
    """Write ``tracks/<video>.json`` under ``run`` and return its path relative to it.

    Each track is {category_id, score, segmentations}: one {size, counts} or null a frame, as in results.json.
    """
    content = [track_to_json(track) for track in tracks]
    relative = f"tracks/{video}.json"
    write_atomically(run / relative, json.dumps(content).encode())
    return relative
