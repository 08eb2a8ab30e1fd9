"""The folder of one training: locked while it goes on, and never two trainings in one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.errors import UsageError
from harness.api.plain_files import read_plain
from harness.files import HeldFolder, refuse_foreign_files, refuse_links, sweep, write_atomically

SCHEMA = "harness.training/1"
LARGEST_DESCRIPTION = 1 << 26
"""Bytes; names of videos and a line a sitting."""
WRITTEN = ("checkpoint.pt", "last.safetensors", "best.safetensors", "curve.png", "log.jsonl", "artefacts", "train.json")
"""What a training leaves, beside the weights of stages; ``train.json`` goes last when it is thrown away: until then the
folder is its."""


class TrainingFolder:
    """Where a training writes; use as a context manager, which holds the lock of the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.log = path / "log.jsonl"
        self.curve = path / "curve.png"
        self.description = path / "train.json"
        self.artefacts = path / "artefacts"
        self.scratch = path / ".validation"
        self._lock = HeldFolder(path, work="training", hint="choose another --out")

    def weights_of(self, stage: str) -> Path:
        """What a stage ended with."""
        return self.path / f"stage-{stage}.safetensors"

    def __enter__(self) -> TrainingFolder:
        self._lock.__enter__()
        try:
            refuse_links(self.scratch, *self._list_written())
        except BaseException:
            self._lock.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.__exit__(*exc)

    def claim(
        self,
        depends_on: Mapping[str, Any],
        made_with: Mapping[str, Any],
        *,
        fresh: bool,
        truths: Mapping[str, Sequence[str]],
    ) -> list[str]:
        """Make the folder this training's; returns what of code and machine changed since it was last worked on.

        ``truths`` are those that choose weights or are measured from now on, added to those of earlier sittings.

        ``fresh`` throws away what an earlier training left. A folder that holds another one (config, data, seed, ...)
        or files that are no training's is a UsageError that names the difference.
        """
        refuse_foreign_files(self.path, self.description.name, "training's")
        sweep(self.path)
        if fresh:
            self._throw_away()
        before = self._read()
        if before is not None:
            self._refuse_other(before["depends_on"], depends_on)
        sessions = list(before["made_with"]) if before else []
        last = sessions[-1] if sessions else dict(made_with)
        changed = sorted(key for key in made_with if last.get(key) != made_with[key])
        if changed or not sessions:
            sessions.append(dict(made_with))
        described = {
            "schema": SCHEMA,
            "depends_on": dict(depends_on),
            **{use: list(dict.fromkeys([*(before or {}).get(use, ()), *told])) for use, told in truths.items()},
            "made_with": sessions,
        }
        write_atomically(self.description, (json.dumps(described, indent=2) + "\n").encode())
        return changed

    def _list_written(self) -> list[Path]:
        """Where a training writes, whether anything lies there or not."""
        return [*self.path.glob("stage-*.safetensors"), *(self.path / name for name in WRITTEN)]

    def _throw_away(self) -> None:
        for path in self._list_written():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        if not self.description.exists():
            return None
        try:
            described = json.loads(read_plain(self.description, largest=LARGEST_DESCRIPTION, links=False))
            if described["schema"] != SCHEMA or not isinstance(described["depends_on"], dict):
                raise ValueError(f"schema {described['schema']!r}, expected {SCHEMA}")
            list(described["made_with"])
        except (ValueError, OSError, RecursionError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.description} is not readable: {error!r}", hint="--resume never begins anew"
            ) from error
        return dict(described)

    def _refuse_other(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        differences = [
            f"{key}: there {there!r:.200}, now {here!r:.200}"
            for key, there, here in _differences(json.loads(json.dumps(before)), json.loads(json.dumps(dict(now))))
        ]
        if differences:
            raise UsageError(
                f"{self.path} holds another training ({'; '.join(differences[:5])})",
                hint="choose another --out, or --resume never to throw the earlier training away",
            )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Each key whose values differ; inside the config, each constant."""
    found = []
    for key in sorted({*before, *now}):
        there, here = before.get(key), now.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            found += [(f"{key} {name}", a, b) for name, a, b in _differences(there, here)]
        elif there != here:
            found.append((key, there, here))
    return found
