"""Benching: rates by hand, forms and errors measured, what goes wrong told and not raised; the clip of methods."""

import time

import numpy as np
import pytest
import torch

from harness.api.contracts import Method
from harness.api.errors import UsageError
from harness.api.timing import Example, kernel
from harness.benching import kernels as benching
from harness.benching.clip import Clip, benchmark_of, ids_of
from harness.benching.kernels import ExtraMemory, Wish, bench_kernels, largest_difference, round_arguments
from harness.benching.machine import measure_limits
from harness.benching.report import KernelReport, Limits, Spread, rates_of
from harness.catalog import Catalog

LIMITS = Limits(gflop_a_second={"fp32": 100.0}, copy_gb_a_second=10.0)


@pytest.fixture
def quick(monkeypatch):
    """The machine is not measured, caches are left alone."""
    monkeypatch.setattr(benching, "measure_limits", lambda device, precision: LIMITS)
    monkeypatch.setattr(benching, "cache_cooler", lambda device: lambda: None)


def small_and_large(device):
    return [Example(f"{n} numbers", (torch.full((n,), 1 / 3),)) for n in (4, 8)]


def plain_square(x):
    return x * x


def card(function, reference=plain_square, name="square", **changes):
    made = kernel(example=small_and_large, reference=reference, name=name, **changes)(function)
    return Method(name="toy", tasks=("one-shot",), build=lambda context: None, kernels=lambda: (made,))


def only_row(method, **wishes):
    (row,) = bench_kernels([method], Wish(sizes="small", rounds=3, **wishes)).rows
    return row


def test_arithmetic_bounds_a_kernel_of_high_intensity():
    # 2e9 operations over 1e8 bytes: 20 a byte, so 200 GFLOP/s by bandwidth, 100 by arithmetic: 0.02 s at best.
    rates = rates_of(LIMITS, 0.04, 2e9, 1e8)
    assert rates.gflop_a_second == pytest.approx(50)
    assert rates.gb_a_second == pytest.approx(2.5)
    assert rates.intensity == pytest.approx(20)
    assert rates.attainable_gflop_a_second == {"fp32": pytest.approx(100)}
    assert rates.share == {"fp32": pytest.approx(0.5)}


def test_bandwidth_bounds_a_kernel_of_low_intensity():
    # 2 operations a byte at 10 GB/s: 20 GFLOP/s at most; done at 5.
    rates = rates_of(LIMITS, 0.04, 2e8, 1e8)
    assert rates.attainable_gflop_a_second == {"fp32": pytest.approx(20)}
    assert rates.share == {"fp32": pytest.approx(0.25)}


def test_a_kernel_without_operations_is_held_against_bandwidth_alone():
    rates = rates_of(LIMITS, 0.04, None, 1e8)
    assert rates.gflop_a_second is None
    assert rates.attainable_gflop_a_second == {}
    assert rates.share == {"fp32": pytest.approx(0.25)}
    assert rates_of(LIMITS, 0.04, None, None).share == {}


def test_a_spread_is_median_and_quartiles():
    spread = Spread.of([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (spread.low, spread.median, spread.high, spread.rounds) == (2.0, 3.0, 4.0, 5)


def test_the_machine_multiplies_and_copies():
    limits = measure_limits("cpu", "fp32")
    assert list(limits.gflop_a_second) == ["fp32"]
    assert limits.gflop_a_second["fp32"] > 0.1
    assert limits.copy_gb_a_second > 0.01


def test_errors_are_against_float64_and_the_difference_is_between_the_forms(quick):
    row = only_row(card(lambda x: x * x + 0.25, tolerance=1.0, flops=lambda x: 4.0, bytes=lambda x: 32.0))
    rounding = abs(float(torch.tensor(1 / 3)) ** 2 - float(torch.tensor(1 / 3) ** 2))
    assert row.plain.error == pytest.approx(rounding, abs=1e-12)
    assert row.plain.error > 0
    assert row.fast.error == pytest.approx(0.25, abs=1e-7)
    assert row.difference == pytest.approx(0.25, abs=1e-7)
    assert row.fast.seconds.rounds == 3
    assert (row.flops, row.bytes, row.rates.intensity) == (4.0, 32.0, 0.125)
    assert not row.problem


def test_beyond_its_tolerance_a_kernel_fails(quick):
    row = only_row(card(lambda x: x * x + 0.25, tolerance=0.1))
    assert row.problem == "the forms differ by 0.25, expected at most 0.1"
    assert bench_kernels([card(lambda x: x * x + 0.25, tolerance=0.1)], Wish(rounds=1)).failed


def test_a_kernel_that_gives_nan_fails(quick):
    assert "NaN" in only_row(card(lambda x: x * torch.nan)).problem


def test_a_kernel_that_raises_is_told_and_its_reference_is_still_measured(quick):
    row = only_row(card(lambda x: x @ torch.ones(5)))
    assert row.problem.startswith("fast form: RuntimeError")
    assert row.fast is None
    assert row.plain.seconds.median > 0


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, (torch.bfloat16, torch.bfloat16, torch.bfloat16)),
        ((0, "scores"), (torch.bfloat16, torch.float32, torch.bfloat16)),
        ((), (torch.float32, torch.float32, torch.float32)),
    ],
)
def test_an_example_names_what_follows_the_precision(named, expected):
    three = torch.ones(3)
    args, kwargs = round_arguments(Example("three", (three, (three,)), {"scores": three}, named), torch.bfloat16)
    assert (args[0].dtype, args[1][0].dtype, kwargs["scores"].dtype) == expected


def test_in_reduced_precision_the_error_is_measured_and_no_verdict(quick):
    row = only_row(card(lambda x: (x * x).float(), tolerance=1e-9), precision="bf16")
    third = float(torch.tensor(1 / 3).bfloat16())
    squared = float(torch.tensor(third * third).bfloat16())
    assert row.fast.error == pytest.approx(abs(squared - float(torch.tensor(1 / 3)) ** 2), rel=1e-6)
    assert not row.problem


def test_a_reference_that_cannot_run_in_float64_is_noted(quick):
    def single_only(x):
        return x @ torch.ones(len(x), len(x))

    row = only_row(card(single_only, single_only))
    assert row.fast.error is None
    assert row.notes[0].startswith("no error: the reference does not run in float64: RuntimeError")
    assert not row.problem


def test_a_reference_that_falls_back_to_float32_is_noted(quick):
    row = only_row(card(plain_square, lambda x: (x * x).float()))
    assert row.notes == ["no error: the reference, given float64, answers in torch.float32"]


def test_a_reference_too_large_for_float64_is_not_started(quick, monkeypatch):
    monkeypatch.setattr(benching, "free_mib", lambda device: 1.0)
    monkeypatch.setattr(ExtraMemory, "read", lambda self: 3.0)
    row = only_row(card(plain_square))
    assert row.notes == ["no error: the reference in float64 needs some 6 MiB, 1 MiB are free"]


def test_a_reference_without_memory_is_no_fault_of_the_kernel(quick):
    def vast(x):
        raise MemoryError("a matrix of 9 TiB")

    row = only_row(card(plain_square, vast))
    assert not row.problem
    assert row.notes[0] == "plain form: MemoryError: a matrix of 9 TiB"


def test_work_that_cannot_be_counted_is_a_problem(quick):
    assert "flops or bytes: ZeroDivisionError" in only_row(card(plain_square, flops=lambda x: 1 / 0)).problem


def test_small_is_the_first_example_and_all_is_every_one(quick):
    method = card(plain_square)
    assert [row.example for row in bench_kernels([method], Wish(sizes="small", rounds=1)).rows] == ["4 numbers"]
    everything = bench_kernels([method, method], Wish(rounds=1)).rows
    assert [row.example for row in everything] == ["4 numbers", "8 numbers"]  # a kernel of two cards is benched once


def test_kernels_of_no_card_come_last_under_a_name_of_their_own(quick):
    both = card(plain_square)
    (shared,) = both.kernels()
    assert [row.plugin for row in bench_kernels([], Wish(sizes="small", rounds=1), shared=[shared]).rows] == ["ops"]
    rows = bench_kernels([both], Wish(sizes="small", rounds=1), shared=[shared]).rows
    assert [row.plugin for row in rows] == ["toy"]  # benched once, under the card that lists it


def test_a_name_that_no_card_has_is_refused():
    with pytest.raises(UsageError, match=r"toy has no kernel 'sqare' \(did you mean 'square'"):
        bench_kernels([card(plain_square)], Wish(kernels=("sqare",)))
    empty = Method(name="bare", tasks=("one-shot",), build=lambda context: None)
    with pytest.raises(UsageError, match="bare: found no kernel on the card"):
        bench_kernels([empty], Wish())


def test_times_are_those_of_the_work(quick):
    def slow(x):
        time.sleep(0.02)
        return x * x

    row = only_row(card(plain_square, slow))
    assert row.plain.seconds.low >= 0.02
    assert row.plain.cpu_seconds.median < 0.02  # sleeping costs no processor time


def test_extra_memory_is_that_of_the_work_also_after_it_was_freed_before():
    for _ in range(2):
        memory = ExtraMemory("cpu")
        del memory
        extra = ExtraMemory("cpu")
        torch.ones(16 * 2**20, dtype=torch.uint8)
        assert 15 < extra.read() < 24


def test_the_report_is_json_that_can_be_read_again(quick):
    report = bench_kernels([card(plain_square)], Wish(rounds=1))
    assert KernelReport.model_validate_json(report.model_dump_json(by_alias=True)) == report
    assert report.conditions.load_average is not None


def test_differences_of_nested_answers():
    one = {"a": (torch.tensor([1.0, torch.inf]), [torch.tensor([1, 2])])}
    other = {"a": (torch.tensor([1.5, torch.inf]), [torch.tensor([1, 4])])}
    assert largest_difference(one, other) == 2.0
    assert largest_difference(torch.ones(2), torch.ones(3)) is None
    assert largest_difference(torch.tensor([torch.nan]), torch.tensor([torch.nan])) == 0.0


def test_a_real_kernel_on_its_smallest_example_is_right_in_float64_too(quick):
    method = Catalog.load().methods.get("tvos")
    (row,) = bench_kernels([method], Wish(kernels=("propagate",), sizes="small", rounds=2)).rows
    assert not row.problem
    assert row.fast.error < row.tolerance
    assert row.rates.intensity > 1


# The clip


@pytest.mark.parametrize("clip", [Clip(32, 48, 40, 1), Clip(80, 16, 40, 20), Clip(17, 31, 3, 4)])
def test_every_object_is_in_every_frame_and_moves(clip):
    masks = [ids_of(clip, frame) for frame in range(clip.frames)]
    assert all(mask.shape == (clip.height, clip.width) for mask in masks)
    assert all(set(np.unique(mask)) == set(range(clip.objects + 1)) for mask in masks)
    assert (masks[0] != masks[1]).any()
    sizes = [np.bincount(mask.ravel())[1:].tolist() for mask in masks]
    assert all(size == sizes[0] for size in sizes)  # nothing is cut off


def test_the_clip_is_a_benchmark_for_every_task_whose_frames_change():
    bench = benchmark_of(Clip(32, 48, 3))
    (sample,) = bench.open(None, False)
    frames = [sample.read_frame(frame) for frame in range(3)]
    assert {frame.shape for frame in frames} == {(32, 48, 3)}
    assert (frames[0] != frames[1]).any()
    assert set(bench.tasks) == {"one-shot", "object-zvos", "instance-zvos", "vis"}


@pytest.mark.parametrize("size", [{"height": 8}, {"frames": 1}, {"objects": 0}, {"objects": 9, "height": 32}])
def test_a_clip_too_small_is_refused(size):
    with pytest.raises(UsageError, match="found a clip of"):
        Clip(**size)


@pytest.mark.gpu
def test_on_a_gpu_events_time_the_work_and_the_tensor_cores_are_measured():
    report = bench_kernels([card(plain_square, bytes=lambda x: 8.0 * len(x))], Wish(device="cuda:0", rounds=3))
    assert set(report.limits.gflop_a_second) == {"fp32", "tf32", "bf16"}
    assert all(row.fast.cpu_seconds is None and row.fast.seconds.median > 0 for row in report.rows)
    assert not report.failed
