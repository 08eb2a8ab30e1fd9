"""Every kernel of the catalog and of `harness.ops`, fast form against plain: one thread, CPU seconds and memory.

``pytest benchmarks/test_kernels.py -s`` prints a row a case (the largest plain form of tvos takes 3 GB).
``extra_info`` holds the same figures.
"""

import time

import pytest
import torch

from harness.catalog import Catalog
from harness.machine import PeakMemory
from harness.ops.kernels import OWNER, list_shared_kernels

CASES = [
    pytest.param(kernel, example, id=f"{owner}-{kernel.name}-{example.name}".replace(" ", ""))
    for owner, kernels in [
        *((method.name, method.kernels()) for method in Catalog.load().methods),
        (OWNER, list_shared_kernels()),
    ]
    for kernel in kernels
    for example in kernel.example("cpu")
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measure(function, example, rounds: int):
    """(what it returns, least CPU seconds and most MiB beyond its arguments of so many rounds)."""
    seconds, mib = [], []
    for _ in range(rounds):
        memory = PeakMemory("cpu")
        start = time.process_time()
        answer = function(*example.args, **example.kwargs)
        seconds.append(time.process_time() - start)
        mib.append(memory.read() or 0.0)
    return answer, min(seconds), max(mib)


def largest_difference(fast, plain):
    """Of answers that are a tensor, or several."""
    if not isinstance(fast, torch.Tensor):
        return max(largest_difference(mine, theirs) for mine, theirs in zip(fast, plain, strict=True))
    return float((fast.double() - plain.double()).abs().max())


@pytest.mark.parametrize(("kernel", "example"), CASES)
def test_fast_form_against_reference(benchmark, kernel, example):
    # The fast form first: pages that the plain one gave back would hide what the fast one takes.
    fast, fast_seconds, fast_mib = measure(kernel.function, example, rounds=4)
    plain, plain_seconds, plain_mib = measure(kernel.reference, example, rounds=2 if fast_seconds < 0.1 else 1)
    benchmark.pedantic(kernel.function, example.args, dict(example.kwargs), rounds=2)
    error = largest_difference(fast, plain)
    figures = {
        "times_faster": round(plain_seconds / fast_seconds, 2),
        "plain_cpu_seconds": round(plain_seconds, 4),
        "fast_cpu_seconds": round(fast_seconds, 4),
        "plain_extra_mib": round(plain_mib, 1),
        "fast_extra_mib": round(fast_mib, 1),
        "largest_difference": error,
    }
    if kernel.flops is not None:
        work = kernel.flops(*example.args, **example.kwargs)
        figures["fast_gflop_a_second"] = round(work / fast_seconds / 1e9, 1)
    benchmark.extra_info.update(figures)
    print(f"\n{kernel.name}, {example.name}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    assert error <= kernel.tolerance
