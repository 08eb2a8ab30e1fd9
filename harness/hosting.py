"""A method in the process it lives in: built, driven mask by mask, timed; used by a run and by the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import torch

from harness.api.contracts import BuildContext, Method
from harness.api.errors import DataError, HarnessError, IncompletePredictions, PluginError
from harness.api.records import StageTime, VideoTiming
from harness.api.tasks import TASKS
from harness.api.timing import Stopwatch
from harness.environment import PeakMemory

WARM_UP_FRAMES = 3
"""Leading frames of the first video of a process that are left out of steady figures."""

FailureKind = Literal["crashed", "contract", "out-of-memory", "timed-out", "data", "incomplete"]

# PyTorch's CPU allocator raises a plain RuntimeError (c10/core/impl/alloc_cpu.cpp); older releases name the CUDA
# error torch.cuda.OutOfMemoryError only.
_CPU_ALLOCATOR = "DefaultCPUAllocator"
_OUT_OF_MEMORY: tuple[type[BaseException], ...] = (MemoryError, torch.cuda.OutOfMemoryError)


def kind_of(error: BaseException) -> FailureKind:
    """What kind of failure of a video this error is."""
    if isinstance(error, PluginError):
        return "contract"
    if isinstance(error, IncompletePredictions):
        return "incomplete"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, _OUT_OF_MEMORY) or (isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)):
        return "out-of-memory"
    return "crashed"


class Clocks:
    """Both clocks of one video, its stages and its peak memory; use as a context manager around the video."""

    def __init__(self, device: str, *, warm_up: int) -> None:
        self._watch = Stopwatch(device)
        self._memory = PeakMemory(device)
        self._warm_up = warm_up
        self._asked: list[float] = []

    def __enter__(self) -> Clocks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is held."""

    def next_mask(self, masks: Iterator[Any]) -> Any:
        """Time the next mask and return it in host memory; None at the end."""
        return self.time(lambda: next(masks, None), lambda mask: mask.cpu() if isinstance(mask, torch.Tensor) else mask)

    def time(self, work: Callable[[], Any], to_host: Callable[[Any], Any]) -> Any:
        """Time one piece of work: a lap of the model clock, and with ``to_host`` the end of the e2e clock."""
        start = time.perf_counter()
        with self._watch.lap():
            made = work()
        there = to_host(made)
        self._asked.append(time.perf_counter() - start)
        return there

    def timing(self, arrival: Mapping[int, float]) -> VideoTiming:
        """What was measured; ``arrival`` is what decoding and moving each frame took, in seconds."""
        reading = self._watch.read()
        once = len(self._asked) == 1  # tracks come once a video, after all of its frames
        e2e = [seconds + arrival.get(frame, 0.0) for frame, seconds in enumerate(self._asked)]
        return VideoTiming(
            model=reading.laps,
            e2e=[self._asked[0] + sum(arrival.values())] if once else e2e,
            warm_up=min(self._warm_up, len(self._asked)),
            stages={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.stages.items()},
            kernels={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.kernels.items()},
            peak_memory_mib=self._memory.read(),
        )


@dataclass
class Hosted:
    """A built method; ``device`` is where its frames and prompts must lie."""

    method: Any
    device: str
    seed: int
    _videos: int = field(default=0, init=False)

    @classmethod
    def build(cls, card: Method, context: BuildContext) -> Hosted:
        """Build the method; PluginError if it does not build or lacks what its card promises."""
        task = TASKS[context.task]
        torch.manual_seed(context.seed)
        try:
            method = card.build(context)
        except HarnessError:
            raise
        except Exception as error:
            raise PluginError(f"{card.name} did not build: {type(error).__name__}: {error}") from error
        if not isinstance(method, task.protocol):
            raise PluginError(f"{card.name} offers {task.name} on its card, but has no {task.entry}()")
        return cls(method, context.device, context.seed)

    def clocks(self) -> Clocks:
        """Begin a video: seeded anew, with its own clocks."""
        torch.manual_seed(self.seed)
        first = self._videos == 0
        self._videos += 1
        return Clocks(self.device, warm_up=WARM_UP_FRAMES if first else 0)

    def close(self) -> None:
        """Nothing is held."""
