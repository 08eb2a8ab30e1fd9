"""Whole commands in turns: CPU seconds and peak memory of each, the smallest of so many rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Numerical libraries; the harness's own two threads are part of its figure."""
MEASURE = """
import json, os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)])
_, status, used = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""A small process of its own: what a process took at most counts what the one that started it had then."""


@dataclass(frozen=True)
class Command:
    """What is typed, where, and what a program is told beside it."""

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]

    def run(self, byte_code: Path) -> tuple[float, float, str]:
        """CPU seconds of it and its children, MiB at most, and what it printed; RuntimeError where it fails."""
        kept = {**os.environ, **ONE_THREAD, **self.environment, "PYTHONPYCACHEPREFIX": str(byte_code)}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        printed = byte_code.with_suffix(".txt")
        measure = (sys.executable, "-I", "-S", "-c", MEASURE, str(printed), *self.arguments)
        answer = subprocess.run(measure, cwd=self.folder, env=kept, capture_output=True, text=True, check=True)
        code, seconds, most = json.loads(answer.stdout)
        text = printed.read_text(errors="replace")
        if code:
            raise RuntimeError(f"{' '.join(self.arguments)} ended with {code}: {text[-500:]}")
        return seconds, most / (1 << 20 if sys.platform == "darwin" else 1 << 10), text


def race(commands: Sequence[Command], rounds: int, byte_code: Path) -> list[tuple[float, float, list[str]]]:
    """The smallest CPU seconds, the most MiB and the words of every round of each, after one that keeps byte code."""
    found: list[list[tuple[float, float, str]]] = [[] for _ in commands]
    for number in range(rounds + 1):
        for place, command in enumerate(commands):
            cost = command.run(byte_code)
            found[place] += [cost] if number else []
    return [
        (min(seconds for seconds, _, _ in costs), max(mib for _, mib, _ in costs), [text for _, _, text in costs])
        for costs in found
    ]
