"""The clocks: Stopwatch (CUDA events on a GPU, perf_counter_ns and process_time_ns on CPU), named stages, and kernels.

No host synchronisation happens while a clock runs: on CUDA, events are recorded on the current stream and read once,
when ``Stopwatch.read`` is called after the work. See docs/timing.md for what each clock includes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import Any, Generic, ParamSpec, TypeVar

from harness.api.dataclass import dataclass

P = ParamSpec("P")
R = TypeVar("R")

_running: ContextVar[Stopwatch | None] = ContextVar("harness_stopwatch", default=None)


@dataclass(frozen=True)
class Reading:
    """What a stopwatch measured: seconds of each lap, and (calls, seconds) of each stage and kernel."""

    laps: list[float]
    cpu_laps: list[float] = field(default_factory=list)
    """CPU seconds that the process spent on each lap, all threads together; none on CUDA."""
    stages: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    kernels: Mapping[str, tuple[int, float]] = field(default_factory=dict)


class Stopwatch:
    """Measures laps, stages and kernels on one device.

    >>> watch = Stopwatch("cpu")
    >>> with watch.lap():
    ...     with stage("sum"):
    ...         _ = sum(range(1000))
    >>> reading = watch.read()
    >>> len(reading.laps), reading.stages["sum"][0]
    (1, 1)

    On ``"cuda..."`` the marks are CUDA events of the current stream; on ``"cpu"`` they are ``perf_counter_ns``, and a
    lap also has the CPU time of the process, which grows with what is computed and not with what else runs.
    A stage that runs outside a lap is not recorded.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._marks: list[tuple[str, str, Any, Any]] = []
        self._on_cpu = not device.startswith("cuda")
        self._mark = time.perf_counter_ns if self._on_cpu else self._cuda_mark
        self._cpu_laps: list[float] = []
        self._sums = _no_sums()

    def _cuda_mark(self) -> Any:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Time what runs inside as one lap; stages and kernels inside are recorded too."""
        token = _running.set(self)
        spent = time.process_time_ns()
        start = self._mark()
        try:
            yield
            self._marks.append(("lap", "", start, self._mark()))
            if self._on_cpu:
                self._cpu_laps.append((time.process_time_ns() - spent) / 1e9)
        finally:
            _running.reset(token)

    @contextmanager
    def _section(self, kind: str, name: str) -> Iterator[None]:
        start = self._mark()
        yield
        end = self._mark()
        if self._on_cpu:  # summed as it comes: a long video has many
            _add(self._sums, kind, name, self._seconds(start, end))
        else:
            self._marks.append((kind, name, start, end))

    def _seconds(self, start: Any, end: Any) -> float:
        if isinstance(start, int):
            return (end - start) / 1e9
        return start.elapsed_time(end) / 1e3

    def read(self) -> Reading:
        """Wait for the device once and return all laps, stages and kernels since the last read."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)
        laps: list[float] = []
        sums, self._sums = self._sums, _no_sums()
        for kind, name, start, end in self._marks:
            seconds = self._seconds(start, end)
            if kind == "lap":
                laps.append(seconds)
            else:
                _add(sums, kind, name, seconds)
        self._marks.clear()
        cpu_laps, self._cpu_laps = self._cpu_laps, []
        return Reading(laps, cpu_laps, sums["stage"], sums["kernel"])


def _no_sums() -> dict[str, dict[str, tuple[int, float]]]:
    return {"stage": {}, "kernel": {}}


def _add(sums: dict[str, dict[str, tuple[int, float]]], kind: str, name: str, seconds: float) -> None:
    calls, total = sums[kind].get(name, (0, 0.0))
    sums[kind][name] = (calls + 1, total + seconds)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name a part of a method's work; costs nothing measurable when no stopwatch runs."""
    watch = _running.get()
    if watch is None:
        yield
    else:
        with watch._section("stage", name):
            yield


@contextmanager
def untimed() -> Iterator[None]:
    """Let no stopwatch see what runs inside: what a CUDA graph captures must hold none of its marks."""
    token = _running.set(None)
    try:
        yield
    finally:
        _running.reset(token)


@dataclass(frozen=True)
class Example:
    """Arguments a kernel can be benched and checked with.

    ``rounded`` names the arguments, by place or keyword, that a method hands over in the precision it runs in; the
    others (labels, scores, positions) stay as they are whatever it is. None: every floating tensor is rounded.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    rounded: tuple[int | str, ...] | None = None


class Kernel(Generic[P, R]):
    """A hot function as one object: called, timed inside a run, benched alone, compared with its plain reference."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        example: Callable[[str], Sequence[Example]],
        reference: Callable[P, R],
        flops: Callable[P, float] | None,
        bytes: Callable[P, float] | None,
        tolerance: float,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.example = example
        self.reference = reference
        self.flops = flops
        self.bytes = bytes
        self.tolerance = tolerance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        watch = _running.get()
        if watch is None:
            return self.function(*args, **kwargs)
        with watch._section("kernel", self.name):
            return self.function(*args, **kwargs)


def kernel(
    *,
    example: Callable[[str], Sequence[Example]],
    reference: Callable[P, R],
    flops: Callable[P, float] | None = None,
    bytes: Callable[P, float] | None = None,
    tolerance: float = 1e-4,
    name: str = "",
) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make a hot function a Kernel.

    ``example(device)`` gives arguments on that device (small ones first); ``reference`` is the plain form with the
    same signature, which every test compares within ``tolerance`` (largest absolute difference); ``flops`` and
    ``bytes`` take the same arguments and give the work and the least traffic to memory, for the roofline.
    """

    def wrap(function: Callable[P, R]) -> Kernel[P, R]:
        return Kernel(
            function,
            name=name or function.__name__,
            example=example,
            reference=reference,
            flops=flops,
            bytes=bytes,
            tolerance=tolerance,
        )

    return wrap
