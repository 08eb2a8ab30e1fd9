"""Compiles the loops of T and of track AP with Numba; where Numba is missing they run as plain Python, same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _import_numba() -> Any:
    try:
        import numba
    except ImportError:  # no wheel for this Python: slower, and bit for bit the same
        return None
    return numba


_NUMBA = _import_numba()
IS_COMPILED = _NUMBA is not None and not _NUMBA.config.DISABLE_JIT
"""Whether ``compiled`` gives machine code; plain loops over pixels are replaced by NumPy where it does not."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without the GIL; keep the machine code on disk where there is a place to write.

    Write ``@no_type_check`` below it, or the shape checks of the tests would stand between Numba and the function.
    """
    if _NUMBA is None:
        return function
    try:
        return _NUMBA.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # Numba found no folder it may write its cache to
        return _NUMBA.njit(nogil=True, error_model="numpy")(function)
