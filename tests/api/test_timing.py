"""Stopwatch, stages and kernels: what is recorded and when; on CPU here, on CUDA where there is one."""

import threading
import warnings

import pytest
import torch

from harness.api.timing import Example, Stopwatch, kernel, stage


def double_plainly(x: torch.Tensor) -> torch.Tensor:
    return x + x


@kernel(
    example=lambda device: [Example("small", (torch.arange(4.0, device=device),))],
    reference=double_plainly,
    flops=lambda x: x.numel(),
    bytes=lambda x: 2 * x.numel() * x.element_size(),
)
def double(x: torch.Tensor) -> torch.Tensor:
    """Return twice x."""
    return x * 2


def test_each_lap_is_one_reading_in_order():
    watch = Stopwatch("cpu")
    for _ in range(3):
        with watch.lap():
            pass
    assert len(watch.read().laps) == 3


def test_laps_are_not_negative():
    watch = Stopwatch("cpu")
    with watch.lap():
        sum(range(1000))
    assert watch.read().laps[0] > 0


def test_a_lap_on_a_cpu_also_has_the_cpu_time_of_the_process(monkeypatch):
    spent = iter([1_000_000_000, 1_250_000_000, 4_000_000_000, 4_500_000_000])
    monkeypatch.setattr("harness.api.timing.time.process_time_ns", lambda: next(spent))
    watch = Stopwatch("cpu")
    for _ in range(2):
        with watch.lap():
            pass
    assert watch.read().cpu_laps == [0.25, 0.5]
    assert watch.read().cpu_laps == []


def test_reading_empties_the_stopwatch():
    watch = Stopwatch("cpu")
    with watch.lap(), stage("work"):
        pass
    watch.read()
    second = watch.read()
    assert (second.laps, second.stages, second.kernels) == ([], {}, {})


def test_stages_of_one_name_are_summed_over_laps():
    watch = Stopwatch("cpu")
    for _ in range(2):
        with watch.lap():
            for _ in range(3):
                with stage("affinity"):
                    pass
    assert watch.read().stages["affinity"][0] == 6


def test_a_lap_contains_its_stages():
    watch = Stopwatch("cpu")
    with watch.lap():
        with stage("first"):
            sum(range(1000))
        with stage("second"):
            sum(range(1000))
    reading = watch.read()
    assert reading.stages["first"][1] + reading.stages["second"][1] <= reading.laps[0]


def test_an_outer_stage_contains_an_inner_one():
    watch = Stopwatch("cpu")
    with watch.lap(), stage("outer"), stage("inner"):
        sum(range(1000))
    reading = watch.read()
    assert 0 < reading.stages["inner"][1] <= reading.stages["outer"][1]


def test_a_stage_outside_a_lap_is_not_recorded():
    watch = Stopwatch("cpu")
    with stage("before"):
        pass
    with watch.lap():
        pass
    with stage("after"):
        pass
    assert watch.read().stages == {}


def test_a_lap_that_raises_is_not_counted_and_stops_recording():
    watch = Stopwatch("cpu")
    with pytest.raises(ZeroDivisionError), watch.lap():
        1 / 0  # noqa: B018
    with stage("after"):
        pass
    reading = watch.read()
    assert (reading.laps, reading.stages) == ([], {})


def test_an_inner_stopwatch_does_not_take_the_outer_ones_stages():
    outer, inner = Stopwatch("cpu"), Stopwatch("cpu")
    with outer.lap():
        with inner.lap(), stage("inside"):
            pass
        with stage("outside"):
            pass
    assert set(inner.read().stages) == {"inside"}
    assert set(outer.read().stages) == {"outside"}


def test_another_thread_does_not_write_into_a_running_lap():
    watch = Stopwatch("cpu")

    def decode():
        with stage("decode"):
            pass

    with watch.lap():
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    assert watch.read().stages == {}


def test_a_kernel_is_the_function_it_wraps():
    x = torch.tensor([1.0, 2.0])
    assert double(x).tolist() == [2.0, 4.0]
    assert double.name == double.__name__ == "double"
    assert double.__doc__ == "Return twice x."


def test_a_kernel_equals_its_reference_on_its_example():
    (example,) = double.example("cpu")
    found = double(*example.args, **example.kwargs)
    expected = double.reference(*example.args, **example.kwargs)
    assert (found - expected).abs().max().item() <= double.tolerance


def test_a_kernel_knows_its_work_and_traffic():
    (example,) = double.example("cpu")
    assert double.flops(*example.args) == 4
    assert double.bytes(*example.args) == 2 * 4 * 4


def test_a_kernel_is_timed_in_a_lap_and_only_there():
    watch = Stopwatch("cpu")
    x = torch.ones(4)
    double(x)
    with watch.lap():
        double(x)
        double(x)
    calls, seconds = watch.read().kernels["double"]
    assert calls == 2
    assert seconds > 0


def test_a_kernel_can_carry_another_name():
    named = kernel(example=lambda device: [], reference=double_plainly, name="twice")(double_plainly)
    watch = Stopwatch("cpu")
    with watch.lap():
        named(torch.ones(1))
    assert set(watch.read().kernels) == {"twice"}


@pytest.mark.gpu
def test_a_cuda_lap_contains_the_work_of_its_stages_on_the_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = torch.randn(2048, 2048, device="cuda")
    watch = Stopwatch("cuda:0")
    with watch.lap():
        for _ in range(3):
            with stage("products"):
                x = x @ x.mT / 2048
    reading = watch.read()
    calls, seconds = reading.stages["products"]
    assert calls == 3
    assert 0 < seconds <= reading.laps[0]


@pytest.mark.gpu
def test_no_host_synchronisation_happens_while_a_cuda_lap_runs():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    watch = Stopwatch("cuda:0")
    x = torch.ones(8, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that it may overlook some
        torch.cuda.set_sync_debug_mode("error")
    try:
        with watch.lap(), stage("add"):
            double(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.read().kernels["double"][0] == 1


@pytest.mark.gpu
def test_what_a_stopwatch_keeps_of_stages_does_not_grow_with_their_number():
    watch = Stopwatch("cpu")
    with watch.lap():
        for _ in range(1000):
            with stage("often"):
                pass
    assert len(watch._marks) == 1  # the lap
    assert watch.read().stages["often"][0] == 1000
    assert watch.read().stages == {}  # read once


def test_cuda_marks_follow_the_current_stream():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    watch = Stopwatch("cuda:0")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side), watch.lap():
        torch.randn(2048, 2048, device="cuda").sum()
    assert watch.read().laps[0] > 0
