"""What the machine itself can do, measured now: its matrix products, its copies, and a way to make its caches cold."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from harness.api.records import Precision
from harness.api.timing import Stopwatch
from harness.benching.report import Limits
from harness.models.precision import DTYPES

GEMM_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the square matrices: 2 n^3 operations, 26 ms on one core at 84 GFLOP/s, 18 ms on a GPU at 60 TFLOP/s."""
COPY_BYTES = {"cpu": 64 * 2**20, "cuda": 1024 * 2**20}
"""Larger than the last cache (H200: 50 MiB; server CPUs: 32 MiB a chip)."""
ENOUGH_SECONDS = 0.3
MOST_ROUNDS = 20


def measure_limits(device: str, precision: Precision) -> Limits:
    """The best rate over some rounds of each; about a second in all."""
    kinds: dict[str, float] = {precision: _gemm_rate(device, DTYPES[precision])}
    if device.startswith("cuda"):
        kinds |= {"tf32": _tf32_rate(device), "bf16": _gemm_rate(device, torch.bfloat16)}
    return Limits(gflop_a_second=kinds, copy_gb_a_second=_copy_rate(device))


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"


def counts_processor_time(device: str) -> bool:
    """Whether rates are per processor second: with one CPU thread, where other load lengthens wall time alone."""
    return device == "cpu" and torch.get_num_threads() == 1


def _best_seconds(device: str, work: Callable[[], object]) -> float:
    """The shortest of the rounds that fit into ``ENOUGH_SECONDS``, at least three, after a warm-up."""
    watch = Stopwatch(device)
    work()
    laps: list[float] = []
    while len(laps) < 3 or (sum(laps) < ENOUGH_SECONDS and len(laps) < MOST_ROUNDS):
        start = time.process_time()
        with watch.lap():
            work()
        processor = time.process_time() - start
        (lap,) = watch.read().laps
        laps.append(processor if counts_processor_time(device) else lap)
    return min(laps)


def _gemm_rate(device: str, dtype: torch.dtype) -> float:
    side = GEMM_SIDE[_kind(device)]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2.0 * side**3 / _best_seconds(device, lambda: torch.mm(left, right, out=out)) / 1e9


def _tf32_rate(device: str) -> float:
    """The rate of fp32 matrices rounded to TF32 on the tensor cores; torch's setting is put back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return _gemm_rate(device, torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)


def _copy_rate(device: str) -> float:
    source = torch.ones(COPY_BYTES[_kind(device)], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2.0 * source.numel() / _best_seconds(device, lambda: target.copy_(source)) / 1e9


def cache_cooler(device: str) -> Callable[[], object]:
    """What overwrites the caches, so that arguments come from memory, as the bytes of a roofline do."""
    ballast = torch.zeros(COPY_BYTES[_kind(device)], dtype=torch.uint8, device=device)
    return lambda: ballast.fill_(1)
