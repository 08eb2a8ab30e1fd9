"""The store of one run: the runner appends, everybody else reads.

A run folder holds ``plan.json`` (what the results depend on), ``videos/<video>.json``, ``masks/<video>/*.png`` or
``tracks/<video>.json``, and at the end ``record.json``. Every file is written beside its place and renamed, so that a
kill at any moment leaves only whole files; a video counts as finished when its JSON is there.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.api.errors import DataError, UsageError
from harness.api.plain_files import LARGEST_TEXT, read_plain
from harness.api.records import RunRecord, VideoResult, VideoScores, VideoTiming, is_safe_video_name
from harness.api.track_json import track_to_json
from harness.api.video import Tracks
from harness.files import (
    HeldFolder,
    digest_of,
    digest_of_files,
    name_refusals,
    refuse_foreign_files,
    refuse_links,
    sweep,
    write_atomically,
)
from harness.planning.plan import key_of_video

_FOLDERS = ("videos", "masks", "tracks", "logs", "overlays", "view")
SHARD = "shard.json"
"""What was asked for, in the folder of one share of a run."""
MACHINE_PARTS = ("machine", "threads", "torch", "workers")
"""What of a plan may differ when a run goes on elsewhere: clocks depend on it, masks by what last bits decide."""
LARGEST_RESULT = 1 << 28
"""Bytes of one video's result."""


def masks_of(video: str) -> str:
    """The folder of a video's masks, relative to the run's."""
    return f"masks/{video}"


def tracks_of(video: str) -> str:
    """The file of a video's tracks, relative to the run's folder."""
    return f"tracks/{video}.json"


def contradicts_itself(scores: VideoScores) -> bool:
    """Whether a figure ``Q-mean`` is not the mean of the series ``Q``."""
    for quantity, by_object in scores.series.items():
        for id_, values in by_object.items():
            told = scores.summary.get(id_, {}).get(f"{quantity}-mean")
            known = [value for value in values if value is not None]
            if told is not None and not (known and math.isclose(told, math.fsum(known) / len(known), abs_tol=1e-9)):
                return True
    return False


class RunFolder(HeldFolder):
    """One run's folder, held for this process; use as a context manager."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, work="run", hint="choose another --out")

    def __enter__(self) -> RunFolder:
        super().__enter__()
        try:
            self._refuse_links()
        except BaseException:
            self.__exit__()
            raise
        sweep(self.path, self.path / "videos", self.path / "tracks")
        for name in ("masks", "overlays"):
            for building in (self.path / name).glob(".*.building"):
                shutil.rmtree(building, ignore_errors=True)
        return self

    def _refuse_links(self) -> None:
        """A run writes, replaces and deletes in these places: what a link leads to is somebody else's."""
        refuse_links(self._plan, self.path / "record.json", self.path / SHARD, *(self.path / name for name in _FOLDERS))
        for name in _FOLDERS:
            refuse_links(*((self.path / name).iterdir() if (self.path / name).is_dir() else ()))

    def claim(
        self, parts: Mapping[str, Any], *, fresh: bool, elsewhere: bool = False, videos: Collection[str] | None = None
    ) -> str:
        """Make the folder this run's: write ``plan.json``, or check that the one there says the same.

        ``fresh`` throws earlier results away first, and so does a replay: the masks it shows may have changed, which no
        key tells. Anything that differs, and a folder with files that no run left there, is a UsageError naming it; but
        ``elsewhere`` lets MACHINE_PARTS differ. The results there are then this run's, without their clocks; returns
        what was done, in words. Refused as well is a record of others than these ``videos``: its place would be taken.
        """
        told = ""
        if fresh:
            refuse_foreign_files(self.path, self._plan.name, "run")
        else:
            before = self._read_same_plan(parts, may_differ=MACHINE_PARTS if elsewhere else ())
            if videos is not None:
                self._refuse_fewer(videos)
            told = self._drop_clocks(before, parts) if before else ""
        if fresh or _is_replay(parts):
            self.clear()
        write_atomically(self._plan, (json.dumps(dict(parts), indent=2, sort_keys=True) + "\n").encode())
        return told

    def _drop_clocks(self, before: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
        """Give the results of a run on another machine this run's key, without their clocks; in words, or nothing."""
        differs = find_differences(before, parts)
        if not differs:
            return ""
        old, new, kept = digest_of(before), digest_of(dict(parts)), 0
        for path in sorted((self.path / "videos").glob("[!.]*.json")):
            result = self.read_result(path.stem)
            if result is not None and result.key == key_of_video(old, result.video, result.digest):
                key = key_of_video(new, result.video, result.digest)
                self.append(result.model_copy(update={"key": key, "timing": VideoTiming()}))
                kept += 1
        changes = "; ".join(f"{key}: there {before.get(key)!r}, now {parts.get(key)!r}" for key in differs)
        return f"masks and scores of {kept} videos are kept, their clocks are dropped ({changes})"

    def _refuse_fewer(self, videos: Collection[str]) -> None:
        if not (self.path / "record.json").is_file():
            return
        others = sorted({path.stem for path in (self.path / "videos").glob("[!.]*.json")} - set(videos))
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UsageError(
                f"{self.path} holds the record of a run with {others[0]}{more}, which this one leaves out",
                hint="choose another --out, or --resume never to throw the earlier results away",
            )

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
            parts = json.loads(read_plain(self._plan, largest=LARGEST_TEXT, links=False).decode())
            if not isinstance(parts, dict):
                raise ValueError(f"a JSON {type(parts).__name__}")
        except (ValueError, OSError, RecursionError) as error:
            raise UsageError(f"{self._plan} is not readable: {error}", hint="--resume never starts anew") from error
        return parts

    def _read_same_plan(self, parts: Mapping[str, Any], may_differ: Collection[str]) -> dict[str, Any] | None:
        """The plan that lies here, which must say the same but for what may differ; None where there is none."""
        refuse_foreign_files(self.path, self._plan.name, "run")
        if not self._plan.exists():
            return None
        before = self._read_plan()
        differs = find_differences(before, parts)
        if set(differs) - set(may_differ):
            key = next(key for key in differs if key not in may_differ)
            ways = ["choose another --out"]
            if set(differs) <= set(MACHINE_PARTS):
                ways.append("--resume elsewhere to keep masks and scores without their clocks")
            ways.append("--resume never to throw the earlier results away")
            raise UsageError(
                f"{self.path} holds another run: {', '.join(differs)} differ "
                f"({key}: there {before.get(key)!r}, now {parts.get(key)!r})",
                hint=", or ".join(ways),
            )
        return before

    def clear(self) -> None:
        """Throw away everything a run wrote here; other files stay. The plan goes last: until then it is a run's."""
        for name in ("record.json", SHARD):
            (self.path / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        self._plan.unlink(missing_ok=True)

    def read_result(self, video: str) -> VideoResult | None:
        """The result of ``video`` that lies here as it was written, with its masks, under whatever key; else None."""
        path = self._result_path(video)
        try:
            result = VideoResult.model_validate_json(read_plain(path, largest=LARGEST_RESULT, links=False))
            is_ours = result.video == video and result.masks in ("", masks_of(video), tracks_of(video))
            is_whole = is_ours and result.seal == self._seal_of(result)
        except (OSError, ValidationError):
            return None
        return result if is_whole and not any(map(contradicts_itself, result.scores.values())) else None

    def _seal_of(self, result: VideoResult) -> str:
        """SHA-256 over the result without its seal and over its masks; OSError where these cannot be read."""
        parts = result.model_dump_json(by_alias=True, exclude={"seal"})
        place = self.path / result.masks
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        return digest_of([parts, digest_of_files(files, links=False) if result.masks else ""])

    def append(self, result: VideoResult) -> None:
        """Store one finished video under its seal; its masks are in place already."""
        sealed = result.model_copy(update={"seal": self._seal_of(result)})
        write_atomically(self._result_path(result.video), sealed.model_dump_json(by_alias=True).encode())

    def write_record(self, record: RunRecord) -> Path:
        """Write ``record.json`` and return its path."""
        path = self.path / "record.json"
        write_atomically(path, record.to_json().encode())
        return path

    def _result_path(self, video: str) -> Path:
        if not is_safe_video_name(video):
            raise DataError(f"video name {video!r} cannot be a file name; expected no separators and no leading dot")
        return self.path / "videos" / f"{video}.json"


def find_differences(before: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """The parts of two plans that differ, by name."""
    return sorted(key for key in {*before, *parts} if before.get(key) != parts.get(key))


def _is_replay(parts: Mapping[str, Any]) -> bool:
    plugin = parts.get("plugin")
    return isinstance(plugin, Mapping) and plugin.get("replays") is True


class MaskFolder:
    """Collects one video's masks beside their place; use as a context manager.

    ``publish`` renames the folder into place; what was not published is removed at the end.
    """

    def __init__(self, run: Path, video: str) -> None:
        self.relative = masks_of(video)
        self._place = run / self.relative
        self.building = run / "masks" / f".{video}.building"

    def __enter__(self) -> MaskFolder:
        with name_refusals(self.building):
            self._remove()
            self.building.mkdir(parents=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._remove()

    def publish(self) -> str:
        """Move the masks into place and return their folder, relative to the run."""
        with name_refusals(self._place):
            shutil.rmtree(self._place, ignore_errors=True)
            self.building.replace(self._place)
        return self.relative

    def _remove(self) -> None:
        shutil.rmtree(self.building, ignore_errors=True)


def write_tracks(run: Path, video: str, tracks: Tracks) -> str:
    """Write ``tracks/<video>.json`` under ``run`` and return its path relative to it."""
    relative = tracks_of(video)
    write_atomically(run / relative, encode_tracks(tracks))
    return relative


def encode_tracks(tracks: Tracks) -> bytes:
    """Tracks as JSON: {category_id, score, segmentations}, one {size, counts} or null a frame, as in results.json."""
    return json.dumps([track_to_json(track) for track in tracks]).encode()
