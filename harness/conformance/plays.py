"""One method on one probe, as the runner would have it, with everything watched that a careless method may disturb."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from harness.api.contracts import Method
from harness.api.errors import ContractError
from harness.api.timing import Reading, Stopwatch
from harness.api.video import Horizon, Prompts, Sample, Tracks, Video
from harness.hosting.answers import checked_mask, checked_tracks
from harness.planning.plan import Plan

Modes = Mapping[str, object]


@dataclass
class Play:
    """What came of it; ``error`` is what ended it early."""

    masks: list[np.ndarray] = field(default_factory=list)
    """The checked masks, one a frame, copied when they were yielded."""
    tracks: Tracks | None = None
    error: Exception | None = None
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
        self.method = method
        self.name = name
        self.pause = pause
        self.around = around
        self._watch = Stopwatch(plan.request.device)

    def play(self, sample: Sample, *, until: int | None = None) -> Play:
        """Play ``sample``, or its first ``until`` frames; whatever the method raises is in the result."""
        play = Play()
        watched = _Watched(sample, self.plan, self.name, play)
        torch.manual_seed(self.plan.request.seed)
        before = modes()
        if self.around is not None:
            watched.load()
        try:
            if self.plan.task.name == "vis":
                self._tracks(play, watched, before)
            else:
                self._masks(play, watched, before, sample.length if until is None else until)
        except Exception as error:
            play.error, play.trace = error.with_traceback(None), traceback.format_exc()
        finally:
            restore(before)
        watched.compare()
        return play

    def _tracks(self, play: Play, watched: _Watched, before: Modes) -> None:
        tracks, reading = self._timed(lambda: self.method.segment_tracks(watched.video))
        play.laps.append(reading)
        play.modes = left_over(before)
        play.tracks = checked_tracks(tracks, watched.sample, self.plan)

    def _masks(self, play: Play, watched: _Watched, before: Modes, until: int) -> None:
        masks = self._entered(play, watched)
        try:
            for frame in range(until):
                watched.reach(frame)
                with self.around(frame) if self.around else nullcontext():
                    mask, reading = self._timed(lambda: next(masks, None))
                play.laps.append(reading)
                play.modes = play.modes or left_over(before)
                on_host = mask.to("cpu") if isinstance(mask, torch.Tensor) else mask
                play.masks.append(checked_mask(on_host, frame, watched.sample, self.plan, watched.prompts).copy())
                watched.yielded.append(mask)
                if self.pause is not None:
                    self.pause()
            if until == watched.sample.length and next(masks, None) is not None:
                name = self.plan.method.name
                raise ContractError(f"{name} yielded more masks than the {until} frames; expected one a frame")
        finally:
            close(masks)  # a generator that waits inside a ``with`` would keep torch's modes changed

    def _entered(self, play: Play, watched: _Watched) -> Iterator[Any]:
        watched.reach(0)
        masks = enter(self.plan, self.method, watched.video, watched.prompts)
        play.read_early = list(watched.reads)
        if not isinstance(masks, Iterator):
            play.iterator = type(masks).__name__
        return iter(masks)

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, Reading]:
        if self.pause is None:
            return work(), Reading([])
        with self._watch.lap():
            found = work()
        return found, self._watch.read()


def enter(plan: Plan, method: Any, video: Video, prompts: Prompts) -> Any:
    """Call the task's entry as the runner does."""
    entry = getattr(method, plan.task.entry)
    return entry(video, prompts) if plan.task.prompted else entry(video)


def close(masks: Iterator[Any]) -> None:
    """End a generator that is not wanted any more."""
    ending = getattr(masks, "close", None)
    if ending is not None:
        ending()


def lookahead(method: Method, length: int) -> int:
    """How many frames beyond the present one the card allows to be read."""
    return {"online": 0, "window": method.lookahead, "offline": length}[method.causality]


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
    }


def left_over(before: Modes) -> dict[str, object]:
    """What is otherwise now than ``before``."""
    return {name: value for name, value in modes().items() if value != before[name]}


def restore(before: Modes) -> None:
    """Put back what a method may have changed for good."""
    torch.set_default_dtype(before["default dtype"])  # type: ignore[arg-type]
    torch.set_num_threads(int(str(before["CPU threads"])))
    torch.set_float32_matmul_precision(str(before["float32 matmul precision"]))
    torch.backends.cudnn.allow_tf32 = bool(before["TF32 in cuDNN"])
    torch.set_grad_enabled(bool(before["gradients"]))


class _Watched:
    """A video and its prompts, with what was read of them and what became of them."""

    def __init__(self, sample: Sample, plan: Plan, name: str, play: Play) -> None:
        self.sample = sample
        self._play = play
        self._device = plan.request.device
        self._ahead = lookahead(plan.method, sample.length)
        self._horizon = Horizon(last=self._ahead)
        self._frames: dict[int, torch.Tensor] = {}
        self._prompts: dict[int, torch.Tensor] = {}
        self.reads: list[str] = []
        self.yielded: list[Any] = []
        if plan.task.prompted and sample.read_prompt is not None:
            self._prompts = {frame: self._on_device(sample.read_prompt(frame)) for frame in sample.prompt_frames}
        self.video = _GuardedVideo(
            name=name,
            length=sample.length,
            height=sample.height,
            width=sample.width,
            read=self._read,
            horizon=self._horizon,
        )
        self.prompts = _GuardedPrompts(self._prompts, horizon=self._horizon)
        for guarded in (self.video, self.prompts):
            object.__setattr__(guarded, "_reached_for", play.private)

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self._device)

    def _read(self, frame: int) -> torch.Tensor:
        self.reads.append(f"frame {frame}")
        if frame not in self._frames:
            self._frames[frame] = self._on_device(self.sample.read_frame(frame))
        return self._frames[frame]

    def load(self) -> None:
        """Put every frame on the device now."""
        for frame in range(self.sample.length):
            self._frames[frame] = self._on_device(self.sample.read_frame(frame))

    def reach(self, frame: int) -> None:
        """Move the horizon to where the mask of ``frame`` is asked for."""
        self._horizon.last = frame + self._ahead

    def compare(self) -> None:
        """Note every frame, prompt and mask that is not what it was when it was handed over."""
        for frame, tensor in self._frames.items():
            if not np.array_equal(tensor.cpu().numpy(), self.sample.read_frame(frame)):
                self._play.changed_frames.append(frame)
        for frame, tensor in self._prompts.items():
            assert self.sample.read_prompt is not None
            if not np.array_equal(tensor.cpu().numpy(), self.sample.read_prompt(frame)):
                self._play.changed_prompts.append(frame)
        for frame, (mask, kept) in enumerate(zip(self.yielded, self._play.masks, strict=True)):
            if not np.array_equal(mask.cpu().numpy(), kept):
                self._play.changed_masks.append(frame)


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
