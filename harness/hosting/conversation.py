"""One conversation with a method: a video asked mask by mask, the horizon moved, the clocks run, every answer checked.

A run, the conformance kit, the learning curve and the worker process speak with methods in no other way. The worker
asks alone (``Conversation``); what it gets is checked in the run (``CheckedConversation``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch

from harness.api.contracts import Method
from harness.api.dataclass import dataclass
from harness.api.errors import ContractError, DataError, MethodFailed
from harness.api.foreign import blame, is_interrupt
from harness.api.learning import Snapshot
from harness.api.mask_files import ids_in
from harness.api.records import VideoTiming
from harness.api.tasks import Task
from harness.api.video import Horizon, Prompts, Sample, Tracks, Video
from harness.hosting.answers import check_mask, check_tracks
from harness.hosting.frames import MOST_KEPT, FrameSource
from harness.planning.plan import Plan


class Timekeeper(Protocol):
    """What runs around each answer."""

    bytes_kept: Callable[[], int]
    """May be set to what tells how much the harness itself keeps on the device."""
    cpu_seconds_apart: Callable[[], float]
    """May be set to what tells the CPU time of the harness's own threads, which is not the method's."""

    @property
    def is_looking(self) -> bool:
        """Whether memory is looked at exactly in the next lap: the reader of frames should rest while it runs."""
        ...

    def time(self, work: Callable[[], Any], to_host: Callable[[Any], Any]) -> Any:
        """Time ``work``, then move what it gave by ``to_host`` and return that."""
        ...

    def timing(self, arrival: Mapping[int, float]) -> VideoTiming:
        """What was measured; ``arrival`` is what decoding and moving each frame took, in seconds."""
        ...


class Untimed:
    """A timekeeper without clocks, for what is weighed and not timed."""

    is_looking = False

    def __init__(self) -> None:
        self.bytes_kept: Callable[[], int] = lambda: 0
        self.cpu_seconds_apart: Callable[[], float] = lambda: 0.0

    def time(self, work: Callable[[], Any], to_host: Callable[[Any], Any]) -> Any:
        """Do the work."""
        return to_host(work())

    def timing(self, arrival: Mapping[int, float]) -> VideoTiming:
        """Nothing was measured."""
        return VideoTiming()


class Frames(Protocol):
    """Where a video's frames come from."""

    seconds: dict[int, float]

    def wait_for(self, frame: int, *, rest: bool = False) -> None:
        """Block until frames up to ``frame`` lie on the device; raises what reading them raised.

        With ``rest`` nothing is decoded from then on, until the next call.
        """
        ...

    def read(self, frame: int) -> torch.Tensor:
        """Frame ``frame`` as a (H, W, 3) uint8 tensor on the device."""
        ...


class FramesWhenRead:
    """Frames made when they are asked for, of which none is kept."""

    def __init__(self, sample: Sample, device: str) -> None:
        self.seconds: dict[int, float] = {}
        self._sample = sample
        self._device = device

    def wait_for(self, frame: int, *, rest: bool = False) -> None:
        """Nothing is made ahead."""

    def read(self, frame: int) -> torch.Tensor:
        """Frame ``frame`` as a (H, W, 3) uint8 tensor on the device."""
        return torch.from_numpy(np.array(self._sample.read_frame(frame))).to(self._device)


class Host(Protocol):
    """A built method, here or in a worker."""

    device: str
    """Where its frames and prompts must lie."""

    @property
    def method(self) -> Any:
        """What has the task's entry."""
        ...

    @property
    def hands(self) -> int:
        """How many threads may decode a video for it."""
        ...

    def clocks(
        self, height: int, width: int, objects: int, *, is_decoding: bool = False
    ) -> AbstractContextManager[Timekeeper]:
        """Begin a video of that size and number of objects; ``is_decoding``: its frames are decoded meanwhile."""
        ...


@dataclass(frozen=True)
class View:
    """What a method sees of one video: its frames and prompts, as far as the horizon lets it."""

    video: Video
    prompts: Prompts
    horizon: Horizon


def open_view(
    plan: Plan,
    sample: Sample,
    read: Callable[[int], torch.Tensor],
    device: str,
    *,
    name: str,
    frame_names: tuple[str, ...] = (),
    kinds: tuple[type[Video], type[Prompts]] | None = None,
) -> View:
    """The view of a video under a made-up ``name``; DataError where a prompted task finds no first mask."""
    make_video, make_prompts = kinds or (Video, Prompts)
    horizon = Horizon(last=lookahead(plan.method, sample.length))
    arrays: dict[int, np.ndarray] = {}
    if plan.task.prompted:
        if sample.read_prompt is None:
            raise DataError(f"video {sample.name} of {plan.benchmark.name} has no first mask for task one-shot")
        arrays = {frame: np.array(sample.read_prompt(frame)) for frame in sample.prompt_frames}
    video = make_video(
        name=name,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        read=read,
        horizon=horizon,
        frame_names=frame_names,
    )
    masks = {frame: torch.from_numpy(array).to(device) for frame, array in arrays.items()}
    ids = {frame: ids_in(array) for frame, array in arrays.items()}
    return View(video, make_prompts(masks, horizon=horizon, ids=ids), horizon)


def lookahead(card: Method, length: int) -> int:
    """How many frames beyond the present one the card allows to be read."""
    return {"online": 0, "window": card.lookahead, "offline": length}[card.causality]


class Conversation:
    """A method being asked about one video; as a context manager it ends the method's generator."""

    def __init__(self, method: Any, task: Task, view: View, clocks: Timekeeper) -> None:
        self.view = view
        self.clocks = clocks
        self._entry: Callable[..., Any] = getattr(method, task.entry)
        self._given = (view.video, view.prompts) if task.prompted else (view.video,)
        self._masks = _begin_when_asked(self._entry, self._given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except BaseException as worse:
            if error is None or is_interrupt(worse):
                raise

    def close(self) -> None:
        """End the method's generator: one that waits inside a ``with`` would keep torch's modes changed."""
        self._masks.close()

    def ask_mask(self, reach: int) -> Any:
        """The next mask in host memory, None at the end; one lap, in which frames up to ``reach`` may be read."""
        self.view.horizon.last = reach
        return self.clocks.time(lambda: next(self._masks, None), _move_to_host)

    def ask_beyond(self, reach: int) -> Any:
        """What comes after the last mask, outside the clocks: None, unless the method yields too many."""
        self.view.horizon.last = reach
        return next(self._masks, None)

    def ask_tracks(self, reach: int, to_host: Callable[[Any], Any]) -> Any:
        """The tracks of the whole video as ``to_host`` makes them of the method's own; one lap of the clocks."""
        self.view.horizon.last = reach
        return self.clocks.time(lambda: self._entry(*self._given), to_host)


def _begin_when_asked(entry: Callable[..., Iterable[Any]], given: tuple[object, ...]) -> Generator[Any, None, None]:
    """The method's masks; the method is called with the first of them, so that all its work lies inside a lap."""
    yield from entry(*given)


def _move_to_host(mask: Any) -> Any:
    return mask.cpu() if isinstance(mask, torch.Tensor) else mask


class CheckedConversation(Conversation):
    """The same where the rules are known: frames are waited for, and an answer that breaks a promise is refused."""

    def __init__(self, method: Any, plan: Plan, sample: Sample, view: View, clocks: Timekeeper, frames: Frames) -> None:
        super().__init__(method, plan.task, view, clocks)
        self._method = method
        self._plan = plan
        self._sample = sample
        self._frames = frames
        self._ahead = lookahead(plan.method, sample.length)

    def ask_masks(self, *, until: int | None = None) -> Iterator[np.ndarray]:
        """The mask of each frame (before ``until``) as a (H, W) uint8 array, checked as it comes."""
        length = self._sample.length
        for frame in range(length if until is None else min(until, length)):
            self._frames.wait_for(frame + self._ahead, rest=self.clocks.is_looking)
            yield self.check(self.ask_mask(frame + self._ahead), frame)
        if until is None and self.ask_beyond(length - 1 + self._ahead) is not None:
            name = self._plan.method.name
            raise ContractError(f"{name} yielded more masks than the {length} frames of the video")

    def ask_checked_tracks(self) -> Tracks:
        """The tracks of the video, with run-length coded masks in host memory."""
        self._frames.wait_for(self._sample.length)
        checked: Tracks = self.ask_tracks(
            self._sample.length, lambda tracks: check_tracks(tracks, self._sample, self._plan)
        )
        return checked

    def ask_snapshots(self, every: int) -> Iterator[Snapshot]:
        """What the method shows after every so many of its iterations, with checked masks; it may see every frame."""
        where = f"{self._plan.method.name}, video {self._sample.name}"
        self.view.horizon.last = None
        last = -1
        shots = iter(self._method.snapshots(self.view.video, self.view.prompts, every))
        while (snapshot := _next_snapshot(shots, f"{where}, after iteration {last}")) is not None:
            last = _check_order(snapshot, last, where)
            yield Snapshot(last, self._check_masks(snapshot, where))
        if last < 1:
            raise ContractError(f"{where}: no snapshot after iteration {last}; expected that of 0, and later ones")

    def _check_masks(self, snapshot: Snapshot, where: str) -> list[Any]:
        sample, found = self._sample, snapshot.masks
        if len(found) != sample.length:
            raise ContractError(
                f"{where}, iteration {snapshot.iteration}: {len(found)} masks, expected one a frame ({sample.length})"
            )
        return [self.check(_move_to_host(mask), frame) for frame, mask in enumerate(found)]

    def check(self, mask: Any, frame: int) -> np.ndarray:
        """The mask as a (H, W) uint8 array; ContractError where it is not what the task promises."""
        return check_mask(mask, frame, self._sample, self._plan, self.view.prompts)

    def timing(self) -> VideoTiming:
        """Both clocks of what was asked, with what decoding and moving the frames took."""
        return self.clocks.timing(self._frames.seconds)


def _next_snapshot(shots: Iterator[Any], where: str) -> Any:
    """The next of what the method yields, None at the end; whatever it raises becomes MethodFailed."""
    with blame(where, MethodFailed, hint="harness --debug shows where"):
        return next(shots, None)


def _check_order(snapshot: Any, last: int, where: str) -> int:
    """The snapshot's iteration; ContractError where it does not follow ``last`` (-1: none yet)."""
    if not isinstance(snapshot, Snapshot):
        raise ContractError(f"{where}: snapshots() yielded {type(snapshot).__name__}, expected harness.Snapshot")
    if (snapshot.iteration != 0) if last < 0 else (snapshot.iteration <= last):
        expected = "0, that of what is learnt from" if last < 0 else f"one after {last}"
        raise ContractError(f"{where}: a snapshot of iteration {snapshot.iteration}, expected {expected}")
    return snapshot.iteration


@contextmanager
def converse(host: Host, plan: Plan, sample: Sample) -> Iterator[CheckedConversation]:
    """Begin a video with a built method: its clocks, its frames and its view, under a made-up name."""
    order = [other.name for other in plan.samples].index(sample.name)
    most = None if plan.method.causality == "offline" else MOST_KEPT
    frames = FrameSource(sample, host.device, hands=host.hands, most=most)
    view = open_view(plan, sample, frames.read, host.device, name=f"video-{order:04d}")
    shape = sample.height, sample.width, len(view.prompts.ids)
    with host.clocks(*shape, is_decoding=True) as clocks, frames:
        clocks.bytes_kept, clocks.cpu_seconds_apart = frames.bytes_kept, frames.cpu_seconds
        with CheckedConversation(host.method, plan, sample, view, clocks, frames) as talk:
            yield talk
