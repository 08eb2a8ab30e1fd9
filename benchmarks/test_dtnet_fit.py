"""The fit of a target model at the paper's size, beside the same by double backward; the ratio is printed.

CPU seconds of the process, both in turn, the least of a few: pytest benchmarks/test_dtnet_fit.py -s
"""

import time

import pytest
import torch

from harness_dtnet.kernels import fit_examples, fit_targets
from harness_dtnet.target.plain import fit_plain

STEPS = (5, 10, 10, 10, 10)


def cpu_seconds(function, example) -> float:
    begun = time.process_time()
    function(*example.args, iterations=STEPS, penalty=example.kwargs["penalty"])
    return time.process_time() - begun


@pytest.mark.parametrize("targets", [1, 3])
def test_fit_of_targets(benchmark, targets):
    example = fit_examples("cpu")[-1]
    given = [tensor.repeat(targets, *[1] * (tensor.ndim - 1)) for tensor in example.args]
    benchmark.pedantic(
        fit_targets, given, {"iterations": STEPS, "penalty": example.kwargs["penalty"]}, rounds=2, warmup_rounds=1
    )


def test_ratio_to_double_backward():
    example = fit_examples("cpu")[-1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pairs = [(cpu_seconds(fit_targets, example), cpu_seconds(fit_plain, example)) for _ in range(2)]
    finally:
        torch.set_num_threads(threads)
    fast, plain = (min(seconds) for seconds in zip(*pairs, strict=True))
    print(f"\nfit {fast:.2f} CPU s, double backward {plain:.2f} CPU s: {plain / fast:.1f} times")
    assert plain > fast
