"""One run, one video: frames go to the method, masks come back, are timed, checked, measured and stored.

``run`` is the story of a run, ``Session`` that of a video. A video that fails costs itself only: it becomes a
VideoFailure and the run goes on.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.api.contracts import BuildContext, Measurement
from harness.api.errors import ContractError, DataError, HarnessError, IncompletePredictions, PluginError
from harness.api.mask_files import ids_in, write_mask
from harness.api.records import RunRecord, StageTime, VideoFailure, VideoResult, VideoScores, VideoTiming
from harness.api.timing import Stopwatch
from harness.api.video import Horizon, Prompts, Sample, Video
from harness.catalog import Catalog
from harness.environment import PeakMemory
from harness.frames import FrameSource
from harness.plan import Plan
from harness.promises import checked_mask, checked_tracks
from harness.results import MaskFolder, RunFolder
from harness.summary import record_of
from harness.track_files import write_tracks

WARM_UP_FRAMES = 3
"""Leading frames of the first video of a process that are left out of steady figures."""

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
        for outcome in executor.execute(partial(open_session, plan, catalog, out, progress), todo):
            if isinstance(outcome, VideoResult):
                folder.append(outcome)
            outcomes[outcome.video] = outcome
            _tell(on_video, outcome, reused=False)
        record = record_of(plan, catalog, [outcomes[s.name] for s in plan.samples if s.name in outcomes], reused)
        folder.write_record(record)
    return record


def _tell(on_video: OnVideo | None, outcome: VideoResult | VideoFailure, *, reused: bool) -> None:
    if on_video is not None:
        on_video(outcome, reused)


def open_session(plan: Plan, catalog: Catalog, out: Path, progress: Progress | None) -> Session:
    """Build the method and get ready for videos; PluginError if it does not build or lacks what its card promises."""
    torch.manual_seed(plan.request.seed)
    context = BuildContext(
        task=plan.task.name,
        config=plan.config,
        device=plan.request.device,
        precision=plan.request.precision,
        weights=plan.weights_path,
        seed=plan.request.seed,
    )
    try:
        method = plan.method.build(context)
    except HarnessError:
        raise
    except Exception as error:
        raise PluginError(f"{plan.method.name} did not build: {type(error).__name__}: {error}") from error
    if not isinstance(method, plan.task.protocol):
        raise PluginError(f"{plan.method.name} offers {plan.task.name} on its card, but has no {plan.task.entry}()")
    return Session(plan, catalog, out, method, progress)


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
    method: Any
    progress: Progress | None = None
    _videos_done: int = field(default=0, init=False)

    def __call__(self, name: str) -> VideoResult | VideoFailure:
        """Run one video; whatever goes wrong in it becomes a VideoFailure."""
        sample = next(sample for sample in self.plan.samples if sample.name == name)
        try:
            return self._run(sample)
        except Exception as error:
            return VideoFailure(
                video=name,
                kind=_failure_kind(error),
                message=f"{self.plan.method.name}, video {name}: {error}"[:20000] or type(error).__name__,
                traceback=traceback.format_exc()[-200000:],
            )
        finally:
            self._videos_done += 1

    def _run(self, sample: Sample) -> VideoResult:
        torch.manual_seed(self.plan.request.seed)
        memory = PeakMemory(self.plan.request.device)
        work = self._tracks if self.plan.task.name == "vis" else self._masks
        digest = sample.digest()
        with FrameSource(sample, self.plan.request.device) as frames:
            measured = work(sample, frames)
        return VideoResult(
            video=sample.name,
            key=self.plan.video_key(sample, digest),
            digest=digest,
            length=sample.length,
            height=sample.height,
            width=sample.width,
            objects=measured.objects,
            scores=measured.scores,
            timing=measured.timing.model_copy(update={"peak_memory_mib": memory.read()}),
            masks=measured.masks,
        )

    def _masks(self, sample: Sample, frames: FrameSource) -> Measured:
        measurements = self._measurements(sample)
        folder = None if self.plan.method.replays else MaskFolder(self.out, sample.name)
        watch, e2e, objects = Stopwatch(self.plan.request.device), list[float](), set[int]()
        try:
            for frame, prediction in enumerate(self._predictions(sample, frames, watch, e2e)):
                objects.update(ids_in(prediction))
                truth = sample.read_truth(frame) if sample.read_truth else None
                for measurement in measurements.values():
                    measurement.add(frame, prediction, truth)
                if folder is not None:
                    write_mask(folder.building / f"{sample.frame_names[frame]}.png", prediction)
                if self.progress is not None:
                    self.progress(sample.name, frame + 1, sample.length)
            scores = {name: measurement.finish() for name, measurement in measurements.items()}
        except BaseException:
            if folder is not None:
                folder.discard()
            raise
        masks = folder.publish() if folder is not None else ""
        return Measured(scores, self._timing(watch, e2e), masks, sorted(objects - {0}))

    def _predictions(
        self, sample: Sample, frames: FrameSource, watch: Stopwatch, e2e: list[float]
    ) -> Iterator[np.ndarray]:
        """Yield the method's checked masks; the horizon moves before each is asked for, the clocks run around it."""
        method = self.plan.method
        lookahead = {"online": 0, "window": method.lookahead, "offline": sample.length}[method.causality]
        horizon = Horizon(last=lookahead)
        video, prompts = self._video(sample, frames, horizon), self._prompts(sample, horizon)
        entry = getattr(self.method, self.plan.task.entry)
        masks = iter(entry(video, prompts) if self.plan.task.prompted else entry(video))
        for frame in range(sample.length):
            horizon.last = frame + lookahead
            if not method.replays:  # saved masks need no frames
                frames.wait_for(frame + lookahead)
            mask, seconds = _next_mask(masks, watch)
            e2e.append(seconds + frames.seconds.get(frame, 0.0))
            yield checked_mask(mask, frame, sample, self.plan, prompts)
        if next(masks, None) is not None:
            raise ContractError(f"{method.name} yielded more masks than the {sample.length} frames of the video")

    def _tracks(self, sample: Sample, frames: FrameSource) -> Measured:
        frames.wait_for(sample.length)
        watch = Stopwatch(self.plan.request.device)
        start = time.perf_counter()
        with watch.lap():
            tracks = self.method.segment_tracks(self._video(sample, frames, Horizon()))
        checked = checked_tracks(tracks, sample, self.plan)
        seconds = time.perf_counter() - start + sum(frames.seconds.values())
        scores = {
            name: self.catalog.metrics.get(name).measure(sample, checked, self.plan.scoring)
            for name in (self.plan.scoring.metrics if self.plan.benchmark.scored else ())
        }
        relative = write_tracks(self.out, sample.name, checked)
        return Measured(scores, self._timing(watch, [seconds]), relative, [])

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
        return Prompts({t: mask.to(self.plan.request.device) for t, mask in masks.items()}, horizon=horizon)

    def _measurements(self, sample: Sample) -> dict[str, Measurement]:
        if not self.plan.benchmark.scored or sample.read_truth is None:
            return {}
        metrics = ((name, self.catalog.metrics.get(name)) for name in self.plan.scoring.metrics)
        return {name: metric.start(sample, self.plan.scoring) for name, metric in metrics}

    def _timing(self, watch: Stopwatch, e2e: list[float]) -> VideoTiming:
        reading = watch.read()
        return VideoTiming(
            model=reading.laps,
            e2e=e2e,
            warm_up=0 if self._videos_done else min(WARM_UP_FRAMES, len(e2e)),
            stages={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.stages.items()},
            kernels={name: StageTime(calls=n, seconds=s) for name, (n, s) in reading.kernels.items()},
        )


def _next_mask(masks: Iterator[Any], watch: Stopwatch) -> tuple[Any, float]:
    """The next mask in host memory, and the seconds from asking for it until it lay there."""
    start = time.perf_counter()
    with watch.lap():
        mask = next(masks, None)
    if isinstance(mask, torch.Tensor):
        mask = mask.to("cpu")
    return mask, time.perf_counter() - start


def _failure_kind(error: Exception) -> Any:
    if isinstance(error, PluginError):
        return "contract"
    if isinstance(error, IncompletePredictions):
        return "incomplete"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out-of-memory"
    return "crashed"
