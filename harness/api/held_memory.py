"""How much memory the C allocator has handed out, and what is free given back: tensors and arrays lie there."""

from __future__ import annotations

import ctypes
import functools
import gc
import mmap
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


_LEAST_LEFT = 1 << 20
"""Bytes at the end of the heap that are worth giving back by hand."""


@functools.cache
def _allocator() -> Any:
    """The C library, where it can tell what is handed out and give free pages back; None elsewhere."""
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallinfo2") and hasattr(library, "malloc_trim")):
        return None
    library.mallinfo2.restype = _Mallinfo
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library


def read_held_mib() -> float | None:
    """MiB handed out by the C allocator and not freed; None where it cannot tell (another C library than glibc)."""
    library = _allocator()
    if library is None:
        return None
    found = library.mallinfo2()
    return (found.uordblks + found.hblkhd) / 2**20


def give_free_pages_back() -> None:
    """Have no free memory of the allocator lie in pages that the process keeps, as far as it can be had.

    The end of the heap cannot be cut off once somebody else has moved it (``sbrk``, or no room behind it): then its
    free memory is taken for a moment, and its pages given back from within.
    """
    library = _allocator()
    if library is None:
        return
    library.malloc_trim(0)
    left = library.mallinfo2().keepcost
    if left < _LEAST_LEFT:
        return
    place = library.malloc(left - 4 * mmap.PAGESIZE)
    if place:
        first = -(-place // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (place + left - 4 * mmap.PAGESIZE - first) // mmap.PAGESIZE * mmap.PAGESIZE
        library.madvise(first, whole, mmap.MADV_DONTNEED)
        library.free(place)


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
