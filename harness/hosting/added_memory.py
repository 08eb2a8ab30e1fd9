"""How much memory a method adds to a process on a CPU: what it holds, and the most it needs at once for a mask.

The process's own peak would say what the harness, its imports and freed but unreturned pages come to. So what is
counted is what has been handed out by the C allocator (tensors and arrays lie there), from before the method was built;
and to that, for as long as a mask is made, the growth of anonymous memory, with free pages given back first. What
compilers leave behind when a loop is first called is left out: it is there once a process, and less where what they
made was kept.
"""

from __future__ import annotations

import functools
import gc
from pathlib import Path

from harness.api.held_memory import give_free_pages_back, read_compilers_mib, read_held_mib

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_UNSURE_FRAMES = 4
"""Frames of bytes that the reader may be holding beside what it has handed on: the picture, a copy, a tensor."""


class Building:
    """What building a method leaves in memory; use as a context manager, then read ``mib``."""

    mib: float = 0.0

    def __enter__(self) -> Building:
        gc.collect()
        self._before = _read_own_mib()
        return self

    def __exit__(self, *exc: object) -> None:
        gc.collect()
        after = _read_own_mib()
        if after is not None and self._before is not None:
            self.mib = max(0.0, after - self._before)


class AddedMemory:
    """The peak of one video's laps over what the process holds without the method, in MiB.

    ``built`` is what building the method left. Call ``begin`` and ``end`` around each lap. A ``quiet`` lap, in which
    nobody decodes, is measured exactly; in the others what a reader of frames of ``frame_bytes`` may hold for a moment
    is left out, so these count for methods that need much more now and then. The first lap of a video has to be quiet.
    """

    def __init__(
        self,
        built: float,
        *,
        warm_up: int = 0,
        frame_bytes: int = 0,
    ) -> None:
        self._built = built
        self._warm_up = warm_up
        self._unsure = _UNSURE_FRAMES * frame_bytes / 2**20
        self._before: float | None = None
        self._after: float | None = None
        self._peaks: list[float] = []

    def begin(self, kept: int, *, quiet: bool = True) -> None:
        """A lap is about to start, while the harness keeps so many bytes of frames, which are not the method's."""
        if not _can_measure():
            return
        if quiet:
            give_free_pages_back()
        held = (_read_own_mib() or 0.0) - kept / 2**20
        if self._before is None:
            self._before = held - self._built
        if quiet and self._after is not None:
            self._before += max(0.0, held - self._after)  # since the lap before: what scoring keeps
        self._kept, self._is_quiet = kept, quiet
        self._held = held - self._before - (0.0 if quiet else self._unsure)
        _CLEAR.write_text("5")  # VmHWM begins anew at the present resident size
        self._anonymous = _anonymous_mib("VmRSS")

    def end(self) -> None:
        """The lap is over."""
        if _can_measure():
            self._after = (_read_own_mib() or 0.0) - self._kept / 2**20 if self._is_quiet else None
            self._peaks.append(self._held + max(0.0, _anonymous_mib("VmHWM") - self._anonymous))

    def read(self) -> float | None:
        """MiB at the peak, warm-up laps apart where there are others; None where the system cannot tell."""
        counted = self._peaks[self._warm_up :] or self._peaks
        return max(0.0, max(counted)) if counted else None


def _read_own_mib() -> float | None:
    """What is handed out but for what compilers left; None where the system cannot tell."""
    held = read_held_mib()
    return None if held is None else held - read_compilers_mib()


@functools.cache
def _can_measure() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return read_held_mib() is not None


def read_anonymous_mib() -> float | None:
    """Memory of this process now, less the pages of files; None where the system cannot tell."""
    try:
        return _anonymous_mib("VmRSS")
    except (OSError, KeyError):
        return None


def _anonymous_mib(total: str) -> float:
    """VmRSS or VmHWM less the pages of files: these come and go with the system's cache."""
    fields = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines() if "kB" in line)
    kib = {name: int(fields[name].split()[0]) for name in (total, "RssFile", "RssShmem")}
    return (kib[total] - kib["RssFile"] - kib["RssShmem"]) / 1024
