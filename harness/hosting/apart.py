"""Stands in for a method that lives in a worker: a session drives it like any other; it starts new workers at need."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from pydantic import ValidationError

from harness.api import errors
from harness.api.dataclass import dataclass
from harness.api.errors import CannotWrite, CausalityError, ContractError, HarnessError
from harness.api.records import Conditions, VideoTiming
from harness.api.video import Prompts, Video
from harness.catalog import Catalog
from harness.hosting.frames import hands_for
from harness.hosting.here import add_arrival
from harness.hosting.worker.description import elsewhere_from
from harness.hosting.worker.log import Log
from harness.hosting.worker.messages import Message
from harness.hosting.worker.process import WorkerFailed, WorkerProcess
from harness.hosting.worker.values import stand_in, tracks_from
from harness.machine import resolve_device
from harness.planning.config import as_json
from harness.planning.plan import Elsewhere, Plan, resolve
from harness.planning.request import Request


def plan_request(request: Request, catalog: Catalog) -> Plan:
    """The plan of a request, whose method lives here or in the environment of ``request.python``."""
    if request.python is None:
        names = [resolve_device(name.strip()) for name in request.device.split(",")]
        return resolve(replace(request, device=",".join(names)), catalog)
    request = replace(request, python=request.python.expanduser().absolute())  # a link into a venv stays one
    return resolve(request, catalog, describe(request))


def describe(request: Request) -> Elsewhere:
    """The method a request means in the environment of ``request.python``; raises what the worker there raised."""
    assert request.python is not None
    ask = {
        "do": "describe",
        "plugin": request.plugin,
        "preset": request.preset,
        "overrides": list(request.overrides),
        "devices": list(request.devices),
        "precision": request.precision,
    }
    with contextlib.closing(WorkerProcess(request.python, Log(None), seconds=request.first_frame_seconds)) as process:
        answer = _ask_as_here(process, ask, request.first_frame_seconds, f"{request.plugin} in {request.python}")
    return elsewhere_from(answer, request.python, request.preset)


@dataclass
class WorkerHost:
    """One worker at a time on one device; a worker that failed is replaced before the next video.

    It has every task's entry, of which the worker's method has the one that is asked for.
    """

    plan: Plan
    worker_device: str
    threads: int | None
    log: Path
    device: str = field(default="cpu", init=False)
    """Where the session must put frames and prompts: into host memory, the worker moves them on."""
    conditions: Conditions | None = field(default=None, init=False)
    """What the worker's clocks ran on, as of its last video."""
    _process: WorkerProcess | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _is_in_video: bool = field(default=False, init=False)
    _changes: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def hands(self) -> int:
        """How many threads may decode a video here for the worker's device."""
        return hands_for(self.worker_device, at_once=len(self.plan.request.devices))

    @property
    def method(self) -> WorkerHost:
        """What has the entries."""
        return self

    def open(self) -> None:
        """Start a worker and have it build the method, unless there is one; raises what the worker raised."""
        if self._process is not None:
            return
        request = self.plan.request
        process = WorkerProcess(request.python, Log(self.log), seconds=request.first_frame_seconds)
        with self._changes:
            self._process = process
            if self._closed:
                process.kill()
        name = self.plan.method.name
        try:
            _ask_as_here(process, _build(self.plan, self.worker_device, self.threads), self._limit(0), f"{name} build")
        except BaseException:
            self._discard()
            raise

    @property
    def is_warm(self) -> bool:
        """Nothing here shares a process with the method, so nothing has to be warm."""
        return True

    def clocks(self, height: int, width: int, objects: int, *, is_decoding: bool = False) -> WorkerClocks:
        """Begin a video; the worker is told its shape with it."""
        return WorkerClocks(self)

    def pause(self) -> None:
        """Let the worker take nothing of the machine until ``resume``; nothing may be asked meanwhile."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.resume()

    def stay_on(self, cores: Collection[int]) -> None:
        """Let the worker that is there run on these cores of the machine only."""
        if self._process is not None:
            self._process.stay_on(cores)

    def close(self) -> None:
        """End the worker; a conversation in another thread fails."""
        with self._changes:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Any]:
        """The masks of task one-shot."""
        return self._masks(video, prompts)

    def segment_object(self, video: Video) -> Iterator[Any]:
        """The masks of task object-zvos."""
        return self._masks(video, Prompts({}))

    def segment_instances(self, video: Video) -> Iterator[Any]:
        """The masks of task instance-zvos."""
        return self._masks(video, Prompts({}))

    def segment_tracks(self, video: Video) -> Any:
        """The tracks of task vis."""
        self._start(video, 0)
        self._send_frames(video, 0)
        length, limit = len(video), self._limit(0)
        found: list[Message] = []
        answer = self._ask(
            {"do": "tracks", "horizon": length - 1},
            limit + (length - 1) * self.plan.request.frame_seconds,
            "tracks",
            serve=lambda frame: self._serve(video, frame),
            collect=found,
        )
        tracks = answer.get("tracks")
        return tracks_from(found) if tracks == "sent" else stand_in(tracks if isinstance(tracks, dict) else {})

    def _masks(self, video: Video, prompts: Prompts) -> Iterator[Any]:
        self._start(video, len(prompts.ids))
        sent, prompted, frame = 0, set[int](), 0
        while True:
            for late in [t for t in prompts if t not in prompted]:
                self._send({"do": "prompt", "frame": late}, prompts[late])
                prompted.add(late)
            sent = self._send_frames(video, sent)
            answer = self._ask(
                {"do": "next", "horizon": video.reached, "beyond": frame >= len(video)},
                self._limit(frame),
                f"frame {frame}",
                serve=lambda wanted: self._serve(video, wanted),
            )
            mask = answer.get("mask")
            if mask == "none":
                return
            yield torch.from_numpy(self._slots.mask.copy()) if mask == "here" else stand_in(_object(mask))
            frame += 1

    def _start(self, video: Video, objects: int) -> None:
        self.open()
        process = self._require_process()
        process.mark()
        process.slots.fit(video.height, video.width)
        self._is_in_video = True
        size = {"length": len(video), "height": video.height, "width": video.width, "objects": objects}
        self._ask({"do": "start", "name": video.name, **size}, self._limit(0), "start of the video")

    def _send_frames(self, video: Video, sent: int) -> int:
        for frame in range(sent, video.reached + 1):
            self._send({"do": "frame", "frame": frame}, video[frame])
        return max(sent, video.reached + 1)

    def _send(self, ask: Message, pixels: torch.Tensor) -> None:
        slot = self._slots.frame if ask["do"] == "frame" else self._slots.prompt
        slot[:] = pixels.numpy()
        self._ask(ask, self._limit(0), f"{ask['do']} {ask['frame']} to the worker")

    def _serve(self, video: Video, frame: int) -> Message:
        """Put a frame that the worker's method reads once more into the slot; the horizon is that of the run."""
        try:
            self._slots.frame[:] = video[frame].numpy()
        except (CausalityError, IndexError) as error:
            return {"refused": str(error), "hint": getattr(error, "hint", None)}
        return {"frame": frame}

    def timing(self, decoded: Mapping[int, float]) -> VideoTiming:
        """The worker's clocks of the video, with what decoding took here."""
        answer = self._ask({"do": "timing"}, self._limit(0), "clocks")
        try:
            timing = VideoTiming.model_validate(answer.get("timing"))
            self.conditions = Conditions.model_validate(answer.get("conditions"))
        except ValidationError as error:
            raise ContractError(f"the worker's clocks make no sense: {error}") from error
        return timing.model_copy(update={"e2e": add_arrival(timing.e2e, decoded)})

    def stop(self) -> None:
        """The video is over; a worker that cannot let go of it is replaced."""
        if self._process is None or not self._is_in_video:
            return
        self._is_in_video = False
        try:
            self._ask({"do": "stop"}, self.plan.request.frame_seconds, "end of the video")
        except WorkerFailed:
            self._discard()

    def _limit(self, frame: int) -> float:
        return self.plan.request.frame_seconds if frame else self.plan.request.first_frame_seconds

    @property
    def _slots(self) -> Any:
        return self._require_process().slots

    def _require_process(self) -> WorkerProcess:
        process = self._process
        if process is None:
            raise WorkerFailed("the worker was closed", kind="crashed")
        return process

    def _ask(self, ask: Message, seconds: float, what: str, **more: Any) -> Message:
        """Ask the worker; one that failed otherwise than by a broken promise is replaced: it may be poisoned."""
        try:
            return self._require_process().ask(ask, seconds=seconds, what=what, **more)
        except WorkerFailed as error:
            if error.family == CannotWrite.__name__:
                raise CannotWrite(error.message) from error
            if error.kind != "contract" or not error.family:
                self._discard()
            raise
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        with self._changes:
            process, self._process = self._process, None
        if process is not None:
            process.close()


class WorkerClocks:
    """The clocks of one video run in the worker; here the video only begins and ends."""

    is_looking = False
    """Memory is looked at in the worker, where no frames are decoded."""

    def __init__(self, host: WorkerHost) -> None:
        self.bytes_kept: Callable[[], int] = lambda: 0  # frames lie in host memory here
        self.cpu_seconds_apart: Callable[[], float] = lambda: 0.0  # and are decoded here
        self._host = host

    def __enter__(self) -> WorkerClocks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._host.stop()

    def time(self, work: Callable[[], Any], to_host: Callable[[Any], Any]) -> Any:
        """What the worker answers, timed there."""
        return to_host(work())

    def timing(self, arrival: Mapping[int, float]) -> VideoTiming:
        """What the worker measured, and the decoding."""
        return self._host.timing(arrival)


def _object(found: Any) -> Message:
    return found if isinstance(found, dict) else {}


def _build(plan: Plan, device: str, threads: int | None) -> Message:
    return {
        "do": "build",
        "entry_point": plan.entry_point,
        "module": plan.module,
        "plugin": plan.method.name,
        "code_sha256": plan.plugin.code_sha256,
        "task": plan.task.name,
        "preset": plan.request.preset,
        "overrides": list(plan.request.overrides),
        "config": as_json(plan.config),
        "device": device,
        "precision": plan.request.precision,
        "weights": str(plan.weights_path.absolute()) if plan.weights_path else None,
        "seed": plan.request.seed,
        "threads": threads,
    }


def _ask_as_here(process: WorkerProcess, ask: Message, seconds: float, what: str) -> Message:
    """Ask; a HarnessError of the worker is raised as if it had happened here."""
    try:
        return process.ask(ask, seconds=seconds, what=what)
    except WorkerFailed as error:
        family = getattr(errors, error.family, None)
        if isinstance(family, type) and issubclass(family, HarnessError) and family is not errors.DataProblems:
            raise family(error.message, hint=error.hint) from error
        raise
