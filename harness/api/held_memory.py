"""How much memory the C allocator has handed out: tensors and arrays lie there."""

from __future__ import annotations

import ctypes
import functools
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later; sums over all arenas."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@functools.cache
def allocator() -> Any:
    """The C library, where it can tell what is handed out and give free pages back; None elsewhere."""
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallinfo2") and hasattr(library, "malloc_trim")):
        return None
    library.mallinfo2.restype = _Mallinfo
    return library


def read_held_mib() -> float | None:
    """MiB handed out by the C allocator and not freed; None where it cannot tell (another C library than glibc)."""
    library = allocator()
    if library is None:
        return None
    found = library.mallinfo2()
    return (found.uordblks + found.hblkhd) / 2**20


class _Compilers:
    """How much they left in this process, and how many are at work now."""

    mib = 0.0
    at_work = 0
    changes = threading.Lock()


@contextmanager
def leave_out_compilers() -> Iterator[None]:
    """Inside, code is compiled or loaded that stays as long as the process: what this leaves is no method's memory.

    One inside another counts once. What other threads take meanwhile counts too: no method may be at work there.
    """
    with _Compilers.changes:
        _Compilers.at_work += 1
        is_first = _Compilers.at_work == 1
    gc.collect()
    before = read_held_mib()
    try:
        yield
    finally:
        gc.collect()
        after = read_held_mib()
        with _Compilers.changes:
            _Compilers.at_work -= 1
            if is_first and before is not None and after is not None:
                _Compilers.mib += max(0.0, after - before)


def read_compilers_mib() -> float:
    """MiB that compilers, and what they made, have left in this process."""
    return _Compilers.mib
