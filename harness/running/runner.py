"""One run, one video: frames go to the method, masks come back, are timed, checked, measured and stored.

``run`` is the story of a run, ``Session`` that of a video. A video that fails costs itself only: it becomes a
VideoFailure and the run goes on.
"""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.api.contracts import BuildContext, Measurement
from harness.api.errors import ContractError, DataError, UsageError
from harness.api.mask_files import ids_in, write_mask
from harness.api.records import Conditions, RunRecord, VideoFailure, VideoResult, VideoScores, VideoTiming
from harness.api.video import Horizon, Prompts, Sample, Video
from harness.catalog import Catalog
from harness.hosting.answers import checked_mask, checked_tracks
from harness.hosting.apart import RemoteClocks, RemoteHost
from harness.hosting.frames import FrameSource
from harness.hosting.here import Clocks, Hosted, kind_of
from harness.hosting.worker.child import FailedElsewhere
from harness.planning.plan import Plan
from harness.running.folder import MaskFolder, RunFolder, write_tracks
from harness.running.record import record_of

OnVideo = Callable[[VideoResult | VideoFailure, bool], None]
Progress = Callable[[str, int, int], None]
"""Called with (video, frames done, frames in all)."""


def run(
    plan: Plan,
    out: Path,
    catalog: Catalog,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
    on_video: OnVideo | None = None,
) -> RunRecord:
    """Run one method on one benchmark into the folder ``out`` and return the record, which is also written there.

    Finished videos of an interrupted run are reused unless ``fresh``. Failures are in the record; nothing finished
    is lost. ``on_video`` is called with each outcome and whether it was reused.
    """
    executor = catalog.executors.get(plan.request.executor)
    opener = Opener(plan, catalog, out, progress)
    with RunFolder(out) as folder:
        folder.claim(plan.key_parts, fresh=fresh)
        outcomes: dict[str, VideoResult | VideoFailure] = {}
        reused: list[str] = []
        for sample in plan.samples:
            stored = folder.finished(sample.name, plan.video_key(sample, sample.digest()))
            if stored is not None:
                outcomes[sample.name] = stored
                reused.append(sample.name)
                _tell(on_video, stored, reused=True)
        todo = [sample.name for sample in plan.samples if sample.name not in outcomes]
        for outcome in executor.execute(opener, todo):
            if isinstance(outcome, VideoResult):
                folder.append(outcome)
            outcomes[outcome.video] = outcome
            _tell(on_video, outcome, reused=False)
        ended = [outcomes[sample.name] for sample in plan.samples if sample.name in outcomes]
        record = record_of(plan, catalog, ended, reused, machine=opener.machine())
        folder.write_record(record)
    return record


def _begun_when_asked(entry: Callable[..., Iterable[Any]], given: tuple[object, ...]) -> Iterator[Any]:
    """The method's masks; the method is called with the first of them, so that all its work lies inside a lap."""
    yield from entry(*given)


def _tell(on_video: OnVideo | None, outcome: VideoResult | VideoFailure, *, reused: bool) -> None:
    if on_video is not None:
        on_video(outcome, reused)


def open_session(plan: Plan, catalog: Catalog, out: Path, progress: Progress | None) -> Session:
    """Build the method in this process; PluginError if it does not build or lacks what its card promises."""
    return Opener(plan, catalog, out, progress)()


@dataclass
class Opener:
    """Opens the sessions of a run, for its executor."""

    plan: Plan
    catalog: Catalog
    out: Path
    progress: Progress | None
    _apart: list[RemoteHost] = field(default_factory=list, init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the run, one for each session that may work at the same time."""
        return self.plan.request.devices

    def __call__(self, *, device: str | None = None, apart: bool = False) -> Session:
        """Build the method on the run's one device unless another is named; ``apart``: in a process of its own."""
        host = self._host_apart(device or self.devices[0]) if apart else self._host_here(device)
        return Session(self.plan, self.catalog, self.out, host, self.progress)

    def close(self) -> None:
        """End every session apart, also one that is just being opened."""
        for host in list(self._apart):
            host.close()

    def machine(self) -> Conditions | None:
        """What the clocks of the sessions apart ran on; None where none did, or nobody knows."""
        seen = [host.conditions for host in self._apart if host.conditions is not None]
        if not seen:
            return self.plan.elsewhere.conditions if self.plan.elsewhere else None
        devices = dict.fromkeys(conditions.device for conditions in seen)
        return seen[-1].model_copy(update={"device": " + ".join(devices)})

    def _host_here(self, device: str | None) -> Hosted:
        request = self.plan.request
        if self.plan.elsewhere or (device is None and len(self.devices) > 1):
            wish = f"--python {request.python}" if self.plan.elsewhere else f"{len(self.devices)} videos at a time"
            raise UsageError(f"executor {request.executor} cannot do {wish}", hint="--executor process")
        context = BuildContext(
            task=self.plan.task.name,
            config=self.plan.config,
            device=device or request.device,
            precision=request.precision,
            weights=self.plan.weights_path,
            seed=request.seed,
        )
        return Hosted.build(self.plan.method, context)

    def _host_apart(self, device: str) -> RemoteHost:
        if self.plan.method.replays:
            raise UsageError(
                f"{self.plan.method.name} shows masks by their real names, which a worker is not told",
                hint="--executor inline",
            )
        threads = self.plan.request.threads
        if threads is None and device == "cpu":
            threads = torch.get_num_threads()
            if len(self.devices) > 1:
                threads = max(1, min(threads, (os.cpu_count() or 1) // len(self.devices)))
        host = RemoteHost(self.plan, device, threads, self.out / "logs" / f"worker-{next(self._numbers)}.log")
        self._apart.append(host)
        host.open()
        return host


class Measured(NamedTuple):
    """What working through one video gave."""

    scores: dict[str, VideoScores]
    timing: VideoTiming
    masks: str
    objects: list[int]


@dataclass
class Session:
    """A built method working through videos; called with a video's name."""

    plan: Plan
    catalog: Catalog
    out: Path
    host: Hosted | RemoteHost
    progress: Progress | None = None

    @property
    def method(self) -> object:
        """What was built, or what stands in for it here."""
        return self.host.method

    def close(self) -> None:
        """Let go of the method."""
        self.host.close()

    def __call__(self, name: str) -> VideoResult | VideoFailure:
        """Run one video; whatever goes wrong in it becomes a VideoFailure."""
        sample = next(sample for sample in self.plan.samples if sample.name == name)
        try:
            return self._run(sample)
        except Exception as error:
            return VideoFailure(
                video=name,
                kind=error.kind if isinstance(error, FailedElsewhere) else kind_of(error),
                message=f"{self.plan.method.name}, video {name}: {error}"[:20000],
                traceback=(error.traceback if isinstance(error, FailedElsewhere) else traceback.format_exc())[-200000:],
            )

    def _run(self, sample: Sample) -> VideoResult:
        work = self._tracks if self.plan.task.name == "vis" else self._masks
        digest = sample.digest()
        shape = sample.height, sample.width, len(self._prompts(sample, Horizon(last=0)).ids)
        if not self.host.is_warm:
            self._warm_up(sample)
        with self.host.clocks(*shape, is_decoding=True) as clocks, FrameSource(sample, self.host.device) as frames:
            clocks.bytes_kept = frames.bytes_kept
            measured = work(sample, frames, clocks)
        return VideoResult(
            video=sample.name,
            key=self.plan.video_key(sample, digest),
            digest=digest,
            length=sample.length,
            height=sample.height,
            width=sample.width,
            objects=measured.objects,
            scores=measured.scores,
            timing=measured.timing,
            masks=measured.masks,
        )

    def _warm_up(self, sample: Sample) -> None:
        """Have scoring import and compile what it needs, before the method's memory is measured."""
        read_truth = sample.read_truth
        if self.plan.task.name == "vis" or read_truth is None:
            return
        for measurement in self._measurements(sample).values():
            for frame in range(min(2, sample.length)):
                truth = read_truth(frame)
                measurement.add(frame, np.zeros((sample.height, sample.width), np.uint8), truth)

    def _masks(self, sample: Sample, frames: FrameSource, clocks: Clocks | RemoteClocks) -> Measured:
        measurements = self._measurements(sample)
        folder = None if self.plan.method.replays else MaskFolder(self.out, sample.name)
        objects = set[int]()
        try:
            for frame, prediction in enumerate(self._predictions(sample, frames, clocks)):
                objects.update(ids_in(prediction))
                truth = sample.read_truth(frame) if sample.read_truth else None
                for measurement in measurements.values():
                    measurement.add(frame, prediction, truth)
                if folder is not None:
                    write_mask(folder.building / f"{sample.frame_names[frame]}.png", prediction)
                if self.progress is not None:
                    self.progress(sample.name, frame + 1, sample.length)
            scores = {name: measurement.finish() for name, measurement in measurements.items()}
            timing = clocks.timing(frames.seconds)
        except BaseException:
            if folder is not None:
                folder.discard()
            raise
        masks = folder.publish() if folder is not None else ""
        return Measured(scores, timing, masks, sorted(objects - {0}))

    def _predictions(self, sample: Sample, frames: FrameSource, clocks: Clocks | RemoteClocks) -> Iterator[np.ndarray]:
        """Yield the method's checked masks; the horizon moves before each is asked for, the clocks run around it."""
        method = self.plan.method
        lookahead = {"online": 0, "window": method.lookahead, "offline": sample.length}[method.causality]
        horizon = Horizon(last=lookahead)
        video, prompts = self._video(sample, frames, horizon), self._prompts(sample, horizon)
        entry = getattr(self.method, self.plan.task.entry)
        given = (video, prompts) if self.plan.task.prompted else (video,)
        masks = _begun_when_asked(entry, given)
        for frame in range(sample.length):
            horizon.last = frame + lookahead
            if not method.replays:  # saved masks need no frames
                frames.wait_for(frame + lookahead, rest=clocks.is_looking)
            yield checked_mask(clocks.next_mask(masks), frame, sample, self.plan, prompts)
        if next(masks, None) is not None:
            raise ContractError(f"{method.name} yielded more masks than the {sample.length} frames of the video")

    def _tracks(self, sample: Sample, frames: FrameSource, clocks: Clocks | RemoteClocks) -> Measured:
        frames.wait_for(sample.length)
        entry = getattr(self.method, self.plan.task.entry)
        video = self._video(sample, frames, Horizon())
        checked = clocks.time(lambda: entry(video), lambda tracks: checked_tracks(tracks, sample, self.plan))
        scores = {
            name: self.catalog.metrics.get(name).measure(sample, checked, self.plan.scoring)
            for name in (self.plan.scoring.metrics if self.plan.benchmark.scored else ())
        }
        timing = clocks.timing(frames.seconds)
        relative = write_tracks(self.out, sample.name, checked)
        return Measured(scores, timing, relative, [])

    def _video(self, sample: Sample, frames: FrameSource, horizon: Horizon) -> Video:
        named = self.plan.method.replays
        order = [other.name for other in self.plan.samples].index(sample.name)
        return Video(
            name=sample.name if named else f"video-{order:04d}",
            frame_names=sample.frame_names if named else (),
            length=sample.length,
            height=sample.height,
            width=sample.width,
            read=frames.read,
            horizon=horizon,
        )

    def _prompts(self, sample: Sample, horizon: Horizon) -> Prompts:
        if not self.plan.task.prompted:
            return Prompts({}, horizon=horizon)
        if sample.read_prompt is None:
            raise DataError(f"video {sample.name} of {self.plan.benchmark.name} has no first mask for task one-shot")
        masks = {t: torch.from_numpy(np.array(sample.read_prompt(t))) for t in sample.prompt_frames}
        return Prompts({t: mask.to(self.host.device) for t, mask in masks.items()}, horizon=horizon)

    def _measurements(self, sample: Sample) -> dict[str, Measurement]:
        if not self.plan.benchmark.scored or sample.read_truth is None:
            return {}
        metrics = ((name, self.catalog.metrics.get(name)) for name in self.plan.scoring.metrics)
        return {name: metric.start(sample, self.plan.scoring) for name, metric in metrics}
