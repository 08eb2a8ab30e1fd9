"""Which of the two forms counts pairs of objects: the compiled one where it can be had."""

from __future__ import annotations

from harness.metrics.j_and_f.pair_counts import PairCounter, PlainCounter


def new_counter() -> PairCounter:
    """The compiled counter, or the plain one where there is no machine code (Numba missing or switched off)."""
    from harness.metrics.j_and_f.compiled_counter import CompiledCounter

    return CompiledCounter() if CompiledCounter.is_usable() else PlainCounter()
