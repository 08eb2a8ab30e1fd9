"""One method on one probe, asked as a run asks, with everything watched that a careless method may disturb."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Any

import numpy as np
import torch

from harness.api.dataclass import dataclass
from harness.api.foreign import describe_traceback, is_interrupt
from harness.api.process_state import State, describe_changes, note_state, restore_state
from harness.api.tasks import Task
from harness.api.timing import Reading
from harness.api.video import Prompts, Sample, Tracks, Video
from harness.hosting.conversation import CheckedConversation, Untimed, open_view
from harness.hosting.here import Clocks, Hosted
from harness.planning.plan import Plan

Modes = Mapping[str, object]


@dataclass
class Play:
    """What came of it; ``error`` is what ended it early."""

    masks: list[np.ndarray] = field(default_factory=list)
    """The checked masks, one a frame, copied when they were yielded."""
    tracks: Tracks | None = None
    error: BaseException | None = None
    trace: str = ""
    iterator: str = ""
    """The type of what the entry returned, where that is no iterator."""
    read_early: list[str] = field(default_factory=list)
    """What was read before the first mask was asked for."""
    private: set[str] = field(default_factory=set)
    """Private names of video and prompts that were reached for."""
    changed_frames: list[int] = field(default_factory=list)
    changed_prompts: list[int] = field(default_factory=list)
    changed_masks: list[int] = field(default_factory=list)
    modes: Modes = field(default_factory=dict)
    """Modes of torch that were not as before when a mask was handed over, and what they were then."""
    process: list[str] = field(default_factory=list)
    """What is everybody's in the process and was not as before when a mask was handed over."""
    laps: list[Reading] = field(default_factory=list)


def difference(one: Play, other: Play, *, frames: int | None = None) -> str | None:
    """Where two plays differ, in words; None where they are equal (up to ``frames``, or altogether)."""
    for frame, (first, second) in enumerate(zip(one.masks[:frames], other.masks[:frames], strict=False)):
        if not np.array_equal(first, second):
            pixels = int((first != second).sum()) if first.shape == second.shape else first.size
            return f"{pixels} of {first.size} pixels of mask {frame}"
    if frames is None and len(one.masks) != len(other.masks):
        return f"{len(one.masks)} and {len(other.masks)} masks"
    if one.tracks != other.tracks:
        return "the tracks"
    return None


class Player:
    """Plays samples with a built method under the plan's rules.

    ``name`` is what the video is called. ``pause`` is called between two masks, outside every lap, and makes each lap
    be read. ``around`` gives a context for asking for the mask of a frame; every frame then lies on the device before.
    """

    def __init__(
        self,
        plan: Plan,
        method: Any,
        *,
        name: str = "video-0000",
        pause: Callable[[], None] | None = None,
        around: Callable[[int], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.plan = plan
        self.name = name
        self.pause = pause
        self.around = around
        self._host = Hosted(method, plan.request.device, plan.request.seed)

    def play(self, sample: Sample, *, until: int | None = None) -> Play:
        """Play ``sample``, or its first ``until`` frames; whatever the method raises is in the result."""
        play, before, process = Play(), modes(), note_state()
        watched = _Watched(sample, self.plan, self.name, play)
        listener = _Listener(self._host.method, self.plan.task, watched, before, process, self.around)
        if self.around is not None:
            watched.load()
        try:
            with (
                self._begin(sample) as clocks,
                CheckedConversation(listener, self.plan, sample, watched.view, clocks, watched) as talk,
            ):
                if self.plan.task.returns == "tracks":
                    play.tracks = talk.ask_checked_tracks()
                    self._end_lap(play, clocks)
                else:
                    for mask in talk.ask_masks(until=until):
                        play.masks.append(mask.copy())
                        self._end_lap(play, clocks)
        except BaseException as error:
            if is_interrupt(error):
                raise
            play.trace = describe_traceback(error)
            play.error = error.with_traceback(None)
        finally:
            restore(before)
            restore_state(process)
        watched.compare()
        return play

    def _begin(self, sample: Sample) -> AbstractContextManager[Clocks | Untimed]:
        """Clocks only where laps are looked at: a method that behaves under a clock differs then from its real run."""
        if self.pause is not None:
            return self._host.clocks(sample.height, sample.width, 0)
        torch.manual_seed(self.plan.request.seed)
        return nullcontext(Untimed())

    def _end_lap(self, play: Play, clocks: Clocks | Untimed) -> None:
        if self.pause is not None and isinstance(clocks, Clocks):
            play.laps.append(clocks.read_laps())
            self.pause()


class _Listener:
    """Stands in the method's place and notes what passes between it and the harness."""

    def __init__(
        self,
        method: Any,
        task: Task,
        watched: _Watched,
        before: Modes,
        process: State,
        around: Callable[[int], AbstractContextManager[None]] | None,
    ) -> None:
        self._method_entry = getattr(method, task.entry)
        self._watched = watched
        self._before = before
        self._process = process
        self._around = around
        setattr(self, task.entry, self._give_tracks if task.returns == "tracks" else self._give_masks)

    def _give_tracks(self, *given: Any) -> Any:
        tracks = self._method_entry(*given)
        self._note_changes()
        return tracks

    def _note_changes(self) -> None:
        play = self._watched.play
        play.modes = play.modes or find_changed(self._before)
        play.process = play.process or describe_changes(self._process)

    def _give_masks(self, *given: Any) -> Iterator[Any]:
        play, masks = self._watched.play, self._method_entry(*given)
        play.read_early = list(self._watched.reads)
        if not isinstance(masks, Iterator):
            play.iterator = type(masks).__name__
        masks = iter(masks)
        try:
            for frame in itertools.count():
                is_due = frame < len(self._watched.view.video)
                with self._around(frame) if self._around and is_due else nullcontext():
                    mask = next(masks, _END)
                self._note_changes()
                if mask is _END:
                    return
                self._watched.yielded.append(mask)
                yield mask
        finally:
            end = getattr(masks, "close", None)
            if end is not None:
                end()


_END = object()


def modes() -> Modes:
    """The state of torch that belongs to the caller."""
    return {
        "inference mode": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
        "autocast on CPU": torch.is_autocast_enabled("cpu"),
        "autocast on CUDA": torch.is_autocast_enabled("cuda"),
        "default dtype": torch.get_default_dtype(),
        "CPU threads": torch.get_num_threads(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "TF32 in cuDNN": torch.backends.cudnn.allow_tf32,
        "cuDNN benchmark": torch.backends.cudnn.benchmark,
        "cuDNN deterministic": torch.backends.cudnn.deterministic,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "default device": torch.get_default_device(),
        "anomaly detection": torch.is_anomaly_enabled(),
    }


def find_changed(before: Modes) -> dict[str, object]:
    """What is otherwise now than ``before``."""
    return {name: value for name, value in modes().items() if value != before[name]}


def restore(before: Modes) -> None:
    """Put back what a method may have changed for good."""
    torch.set_default_dtype(before["default dtype"])  # type: ignore[arg-type]
    torch.set_num_threads(int(str(before["CPU threads"])))
    torch.set_float32_matmul_precision(str(before["float32 matmul precision"]))
    torch.backends.cudnn.allow_tf32 = bool(before["TF32 in cuDNN"])
    torch.backends.cudnn.benchmark = bool(before["cuDNN benchmark"])
    torch.backends.cudnn.deterministic = bool(before["cuDNN deterministic"])
    torch.use_deterministic_algorithms(bool(before["deterministic algorithms"]))
    if torch.get_default_device() != before["default device"]:
        device = str(before["default device"])
        torch.set_default_device(None if device == "cpu" else device)
    torch.autograd.set_detect_anomaly(bool(before["anomaly detection"]))
    torch.set_grad_enabled(bool(before["gradients"]))


class _Watched:
    """A video's frames and prompts, with what was read of them and what became of them."""

    def __init__(self, sample: Sample, plan: Plan, name: str, play: Play) -> None:
        self.play = play
        self.reads: list[str] = []
        self.yielded: list[Any] = []
        self.seconds: dict[int, float] = {}
        self._sample = sample
        self._device = plan.request.device
        self._frames: dict[int, torch.Tensor] = {}
        kinds = (_GuardedVideo, _GuardedPrompts)
        self.view = open_view(plan, sample, self._read_noted, self._device, name=name, kinds=kinds)
        for guarded in (self.view.video, self.view.prompts):
            object.__setattr__(guarded, "_reached_for", play.private)

    def wait_for(self, frame: int, *, rest: bool = False) -> None:
        """Nothing is read ahead: what the method reads is noted."""

    def read(self, frame: int) -> torch.Tensor:
        """Frame ``frame``; every frame that was read is kept, to be compared."""
        if frame not in self._frames:
            self._frames[frame] = torch.from_numpy(np.array(self._sample.read_frame(frame))).to(self._device)
        return self._frames[frame]

    def _read_noted(self, frame: int) -> torch.Tensor:
        self.reads.append(f"frame {frame}")
        return self.read(frame)

    def load(self) -> None:
        """Put every frame on the device now."""
        for frame in range(self._sample.length):
            self.read(frame)

    def compare(self) -> None:
        """Note every frame, prompt and mask that is not what it was when it was handed over."""
        self.view.horizon.last = None
        for frame, tensor in self._frames.items():
            if not np.array_equal(tensor.cpu().numpy(), self._sample.read_frame(frame)):
                self.play.changed_frames.append(frame)
        for frame, tensor in self.view.prompts.items():
            assert self._sample.read_prompt is not None
            if not np.array_equal(tensor.cpu().numpy(), self._sample.read_prompt(frame)):
                self.play.changed_prompts.append(frame)
        for frame, (mask, kept) in enumerate(zip(self.yielded, self.play.masks, strict=False)):
            if not np.array_equal(mask.cpu().numpy(), kept):
                self.play.changed_masks.append(frame)


class _Guarded:
    """Notes who reaches for a private name from outside ``harness.api.video``."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__" or (name.startswith("_") and not name.endswith("__")):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller != "harness.api.video":
                reached: set[str] = object.__getattribute__(self, "_reached_for")
                reached.add(f"{type(self).__name__.removeprefix('_Guarded').lower()}.{name} (from {caller})")
        return super().__getattribute__(name)


class _GuardedVideo(_Guarded, Video):
    """A video that notes who looks inside it."""


class _GuardedPrompts(_Guarded, Prompts):
    """Prompts that note who looks inside them."""
