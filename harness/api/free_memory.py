"""How much memory could be taken now, and what would not fit refused in words, before the kernel ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TOO_SMALL = 64.0
"""MiB below which nobody looks."""


def read_free_mib() -> float | None:
    """MiB that a process could take of this machine now, within the limit of its container; None without /proc."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*found, *_free_in_groups(Path("/sys/fs/cgroup"))], default=None)


def refuse_more_than_free(mib: float, what: str, advice: str) -> None:
    """Raise MemoryError where ``mib`` of this machine's memory are wanted and fewer are free.

    A large tensor that is filled bit by bit costs nothing when it is made, and the process when it is full: a method
    that keeps one asks here first. For memory of the machine alone; a GPU refuses by itself.

    >>> refuse_more_than_free(1.0, "toy keeps 3 frames", "a smaller video")
    """
    free = read_free_mib() if mib > TOO_SMALL else None
    if free is not None and mib > free:
        raise MemoryError(f"{what}: found {free:,.0f} MiB free, expected {mib:,.0f}; {advice}")


def _free_in_groups(root: Path) -> Iterator[float]:
    """What each control group around this process leaves it (cgroup v2), in MiB."""
    try:
        place = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().splitlines()[-1].partition("::")[2]
    except (OSError, IndexError):
        return
    group = root / place.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            return
        with suppress(OSError, ValueError):  # a group without a limit says "max", the outermost has no files
            limit = int((folder / "memory.max").read_text())
            used = int((folder / "memory.current").read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
            yield (limit - used + cached) / 2**20
