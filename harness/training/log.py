"""What a training tells while it goes on: ``log.jsonl``, one line a report, never a line twice."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.api.plain_files import read_plain
from harness.files import write_atomically

LARGEST_LOG = 1 << 30
"""Bytes; two million iterations, each reported, are a third of it."""
NEVER = 1 << 62
"""The iteration that no training reaches."""


@dataclass
class Window:
    """Sums of what each iteration logged since the last report, kept on the device: adding waits for nothing."""

    count: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    first_bad: Tensor | None = None
    """The first iteration whose loss was not finite."""

    def add(self, iteration: int, loss: Tensor, logged: Mapping[str, Tensor]) -> None:
        """Take in one iteration."""
        self.count += 1
        for name, value in ({"loss": loss} | dict(logged) | {"loss": loss}).items():
            value = torch.as_tensor(value).detach().to(loss.device, torch.float64)
            self.sums[name] = self.sums[name].to(loss.device) + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
        now = torch.where(loss.detach().isfinite(), NEVER, iteration)
        self.first_bad = now if self.first_bad is None else torch.minimum(self.first_bad, now)

    def bad_iteration(self) -> int:
        """The first iteration whose loss was not finite, or NEVER; waits for the device."""
        return NEVER if self.first_bad is None else int(self.first_bad)

    def as_plain(self) -> dict[str, Any]:
        """Plain numbers, exact; waits for the device."""
        return {
            "count": self.count,
            "sums": {name: float(value) for name, value in self.sums.items()},
            "counts": dict(self.counts),
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Window:
        """The window that ``as_plain`` told of."""
        sums = {name: torch.tensor(value, dtype=torch.float64) for name, value in plain["sums"].items()}
        return cls(int(plain["count"]), sums, dict(plain["counts"]))


def means_of(windows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The mean of each logged figure over the windows of all processes; None where it is not finite."""
    means: dict[str, float | None] = {}
    for name in dict.fromkeys(name for window in windows for name in window["sums"]):
        count = sum(window["counts"].get(name, 0) for window in windows)
        mean = sum(window["sums"].get(name, 0.0) for window in windows) / count
        means[name] = mean if math.isfinite(mean) else None
    return means


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line, on disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log, in order; a last one torn by a kill is left out, and no file is no lines."""
    lines = []
    try:
        text = read_plain(path, largest=LARGEST_LOG).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    for written in text.splitlines():
        try:
            line = json.loads(written)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("iteration"), int):
            lines.append(line)
    return lines


def cut(path: Path, *, iteration: int, validated: int, stage: str = "", stages: Sequence[str] = ("",)) -> None:
    """Take away what was written after the checkpoint a training goes on from: it will be written again."""
    last, before = {"train": iteration, "validation": validated}, stages[: stages.index(stage)]
    kept = [
        line
        for line in read_lines(path)
        if (now := line.get("stage", "")) in before
        or (now == stage and line["iteration"] <= last.get(str(line.get("kind")), iteration))
    ]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())


def by_stage(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The lines of each stage, in the order of stages; all under no name where there are none."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        found.setdefault(line.get("stage", ""), []).append(line)
    return found
