"""What a step writes while it works: rows of named figures, one JSON a line, so that a step cut short keeps its own."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMS = "HARNESS_GPU_FORMS"
"""A regular expression: of whole frames, only forms whose label it finds are run (and the plain one, to compare)."""


@dataclass(frozen=True)
class Rows:
    """The file of a step's rows."""

    path: Path

    def add(self, table: str, **figures: Any) -> None:
        """Add a row to ``table``, on disk when this returns, and say it."""
        line = json.dumps({"table": table, **figures}, default=str)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def read(self) -> list[dict[str, Any]]:
        """The whole rows, in order; a last one torn by a kill is left out."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows


@dataclass(frozen=True)
class Task:
    """What a step is told: where to work, how large, how long, and where its rows and files go."""

    device: str
    tiny: bool
    seconds: float
    folder: Path
    """Files that are kept beside the report."""
    rows: Rows
    asked: str = ""
    """Which part of the step, where it has parts."""

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU that is looked at."""
        return self.device.startswith("cuda")


def task_of(arguments: list[str] | None = None) -> Task:
    """The task on the command line of a step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--until", type=float, default=time.time() + 60)  # imports have taken some of it already
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--rows", type=Path, default=Path("rows.jsonl"))
    parser.add_argument("asked", nargs="?", default="")
    told = parser.parse_args(arguments)
    return Task(told.device, told.tiny, max(0.0, told.until - time.time()), told.folder, Rows(told.rows), told.asked)
