"""A method in the process it lives in: built, driven mask by mask, timed; used by a run and by the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field
from types import TracebackType
from typing import Any, Literal

import torch

from harness.api.contracts import BuildContext, Method
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, IncompletePredictions, MethodFailed, PluginError
from harness.api.foreign import blame
from harness.api.records import StageTime, VideoTiming
from harness.api.tasks import TASKS, works_by_video
from harness.api.timing import Reading, Stopwatch
from harness.hosting.added_memory import AddedMemory, Building
from harness.hosting.frames import hands_for
from harness.machine import LapMemory, allows_tf32, work_on

WARM_UP_FRAMES = 3
"""Leading frames that are left out of steady figures, of the first video of each size and number of objects that a
process meets: what is compiled and tuned for a size is so in them."""

FailureKind = Literal["crashed", "contract", "out-of-memory", "timed-out", "data", "incomplete"]

# PyTorch's CPU allocator raises a plain RuntimeError (c10/core/impl/alloc_cpu.cpp); older releases name the CUDA
# error torch.cuda.OutOfMemoryError only.
_CPU_ALLOCATOR = "DefaultCPUAllocator"
_OUT_OF_MEMORY: tuple[type[BaseException], ...] = (MemoryError, torch.cuda.OutOfMemoryError)


def kind_of(error: BaseException) -> FailureKind:
    """What kind of failure of a video this error is."""
    if isinstance(error, MethodFailed) and error.__cause__ is not None:
        return kind_of(error.__cause__)
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
    """Both clocks of one video, its stages and the memory it takes; use as a context manager around the video.

    Inside it ``device`` is torch's current one, and fp32 is rounded to TF32 only where ``tf32`` says so.
    ``bytes_kept`` may be set to what tells how much the harness itself keeps on the device, ``cpu_seconds_apart`` to
    what tells the CPU time of its own threads. On CUDA memory is what the allocator tells of each lap, on a CPU what
    ``memory`` measures.
    """

    def __init__(self, device: str, *, warm_up: int, memory: AddedMemory, tf32: bool = False) -> None:
        self.bytes_kept: Callable[[], int] = lambda: 0
        self.cpu_seconds_apart: Callable[[], float] = lambda: 0.0
        self._device = device
        self._tf32 = tf32
        self._watch = Stopwatch(device)
        self._allocated = LapMemory(device) if device.startswith("cuda") else None
        self._memory = memory
        self._warm_up = warm_up
        self._asked: list[float] = []
        self._apart: list[float] = []
        self._held = ExitStack()

    @property
    def is_looking(self) -> bool:
        """Whether memory is looked at exactly in the next lap: the reader of frames should rest while it runs.

        These are the laps 0, 1, 2 and 3, 4, 8, 16, ...: few, because pages given back before have to come anew.
        """
        lap = len(self._asked)
        return self._allocated is None and (lap <= self._warm_up or lap & (lap - 1) == 0)

    def __enter__(self) -> Clocks:
        self._held.enter_context(work_on(self._device, tf32=self._tf32))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give torch its device and its arithmetic back."""
        self._held.close()

    def time(self, work: Callable[[], Any], to_host: Callable[[Any], Any]) -> Any:
        """Time one piece of work: a lap of the model clock, and with ``to_host`` the end of the e2e clock."""
        if self._allocated is None:
            self._memory.begin(self.bytes_kept(), quiet=self.is_looking)
        else:
            self._allocated.begin(self.bytes_kept())
        start = time.perf_counter()
        apart = self.cpu_seconds_apart()
        with self._watch.lap():
            made = work()
        self._apart.append(self.cpu_seconds_apart() - apart)
        there = to_host(made)
        self._asked.append(time.perf_counter() - start)
        if self._allocated is None:
            self._memory.end()
        else:
            self._allocated.end(self.bytes_kept())
        return there

    def read_laps(self) -> Reading:
        """What the stopwatch measured since it was last read; waits for the device."""
        return self._watch.read()

    def timing(self, arrival: Mapping[int, float]) -> VideoTiming:
        """What was measured; ``arrival`` is what decoding and moving each frame took, in seconds."""
        reading = self.read_laps()
        cpu_laps = zip(reading.cpu_laps, self._apart[-len(reading.cpu_laps) :], strict=False)
        return VideoTiming(
            model=reading.laps,
            model_cpu=[max(0.0, spent - apart) for spent, apart in cpu_laps],  # two clocks, read one after the other
            e2e=add_arrival(self._asked, arrival),
            warm_up=min(self._warm_up, len(self._asked)),
            stages={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.stages.items()},
            kernels={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.kernels.items()},
            added_memory_mib=(self._allocated or self._memory).read(),
        )


def add_arrival(asked: Sequence[float], arrival: Mapping[int, float]) -> list[float]:
    """The e2e clock: seconds from asking to host memory, with what the frame took to arrive (docs/timing.md).

    One answer to a whole video (its tracks) came after all of its frames.
    """
    if len(asked) == 1:
        return [asked[0] + sum(arrival.values())]
    return [seconds + arrival.get(frame, 0.0) for frame, seconds in enumerate(asked)]


@dataclass
class Hosted:
    """A built method; ``device`` is where its frames and prompts must lie."""

    method: Any
    device: str
    seed: int
    tf32: bool = False
    by_video: bool = False
    """Whether a whole video is worked through before its first mask, or its tracks: then a whole one is warm-up."""
    built_mib: float = 0.0
    """What building the method left in memory."""
    _met: set[tuple[int, ...]] = field(default_factory=set, init=False)

    @classmethod
    def build(cls, card: Method, context: BuildContext) -> Hosted:
        """Build the method; PluginError if it does not build or lacks what its card promises."""
        task = TASKS[context.task]
        torch.manual_seed(context.seed)
        with (
            blame(f"{card.name} did not build", PluginError),
            work_on(context.device, tf32=allows_tf32(context.config)),
            Building() as building,
        ):
            method = card.build(context)
        if not isinstance(method, task.protocol):
            raise PluginError(f"{card.name} offers {task.name} on its card, but has no {task.entry}()")
        return cls(
            method,
            context.device,
            context.seed,
            allows_tf32(context.config),
            works_by_video(task.name, card.causality),
            building.mib,
        )

    @property
    def is_warm(self) -> bool:
        """Whether a video has been begun before."""
        return bool(self._met)

    @property
    def hands(self) -> int:
        """How many threads may decode a video for it."""
        return hands_for(self.device)

    def clocks(self, height: int, width: int, objects: int, *, is_decoding: bool = False) -> Clocks:
        """Begin a video of that size and number of objects: seeded anew, with its own clocks.

        ``is_decoding``: another thread of this process decodes frames of that size meanwhile.
        """
        torch.manual_seed(self.seed)
        shape = height, width, objects
        is_new = not self.is_warm if self.by_video else shape not in self._met
        self._met.add(shape)
        warm_up = WARM_UP_FRAMES if is_new else 0
        memory = AddedMemory(
            self.built_mib,
            warm_up=0 if self.by_video else warm_up,
            frame_bytes=3 * height * width if is_decoding else 0,
        )
        return Clocks(self.device, warm_up=warm_up, memory=memory, tf32=self.tf32)

    def close(self) -> None:
        """Nothing is held."""
