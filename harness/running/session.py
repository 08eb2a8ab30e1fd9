"""A built method working through the videos of a run, one at a time: what goes wrong in one costs that one only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.contracts import BuildContext
from harness.api.dataclass import dataclass
from harness.api.errors import CannotWrite
from harness.api.foreign import describe_error, describe_traceback, is_interrupt, make_storable
from harness.api.mask_files import encode_mask
from harness.api.records import VideoFailure, VideoResult, VideoTiming
from harness.api.video import Sample
from harness.files import is_disk_full, write_whole
from harness.hosting.apart import WorkerHost
from harness.hosting.conversation import CheckedConversation, converse
from harness.hosting.here import Hosted, kind_of
from harness.hosting.worker.process import WorkerFailed
from harness.planning.plan import Plan
from harness.running.digests import OnNote, hash_video, ignore_note
from harness.running.folder import MaskFolder, write_tracks
from harness.running.measure import Evaluation, make_result, measure_tracks, measure_video, warm_up
from harness.running.oddities import Oddities

Progress = Callable[[str, int, int], None]
"""Called with (video, frames done, frames in all)."""


@dataclass
class Session:
    """One built method; ``metrics`` are those of the rule, none where the truth is not public."""

    plan: Plan
    metrics: dict[str, Any]
    out: Path
    host: Hosted | WorkerHost
    progress: Progress | None = None
    on_note: OnNote = ignore_note
    oddities: Oddities = field(default_factory=Oddities)

    @property
    def method(self) -> object:
        """What was built, or what stands in for it here."""
        return self.host.method

    def close(self) -> None:
        """Let go of the method."""
        self.host.close()

    def work_through(self, video: str) -> VideoResult | VideoFailure:
        """Run one video; whatever goes wrong in it becomes a VideoFailure, but for a full disk: that stops the run."""
        sample = next(sample for sample in self.plan.samples if sample.name == video)
        try:
            return self._run(sample)
        except BaseException as error:
            if is_interrupt(error) or isinstance(error, CannotWrite):
                raise
            if is_disk_full(error):
                raise CannotWrite(f"{self.plan.method.name}, video {video}: {describe_error(error)}") from error
            return self._describe_failure(video, error)

    def _describe_failure(self, video: str, error: BaseException) -> VideoFailure:
        kind, trace = kind_of(error), describe_traceback(error)
        if isinstance(error, WorkerFailed):
            kind, trace = error.kind, make_storable(error.traceback)
        return VideoFailure(
            video=video,
            kind=kind,
            message=f"{self.plan.method.name}, video {video}: {describe_error(error)}"[:20000],
            traceback=trace[-200000:],
        )

    def _run(self, sample: Sample) -> VideoResult:
        work = self._make_tracks if self.plan.task.returns == "tracks" else self._make_masks
        if not self.host.is_warm and self.plan.task.returns == "masks":
            warm_up(sample, self.metrics, self.plan.rule)
        measured, timing, masks = work(sample)
        self.oddities.add(sample.name, measured.oddities)
        digest = hash_video(sample, self.on_note)
        made = make_result(self.plan, sample, measured, digest, timing=timing, masks=masks)
        return made.check()  # what cannot be stored costs its video: where it is stored it would cost the run

    def converse(self, sample: Sample) -> AbstractContextManager[CheckedConversation]:
        """Begin a video."""
        return converse(self.host, self.plan, sample)

    def _make_masks(self, sample: Sample) -> tuple[Evaluation, VideoTiming, str]:
        with MaskFolder(self.out, sample.name) as folder:
            with self.converse(sample) as talk:
                measured = self._measure(sample, self._store(sample, talk.ask_masks(), folder))
                timing = talk.timing()
            return measured, timing, folder.publish()

    def _measure(self, sample: Sample, masks: Iterator[tuple[int, np.ndarray]]) -> Evaluation:
        metrics = self.metrics if sample.read_truth else {}
        return measure_video(sample, masks, metrics, self.plan.rule)

    def _store(
        self, sample: Sample, masks: Iterator[np.ndarray], folder: MaskFolder
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Write each mask to its file as it comes by, and tell of it once it is measured."""
        for frame, mask in enumerate(masks):
            write_whole(folder.building / f"{sample.frame_names[frame]}.png", encode_mask(mask))
            yield frame, mask
            self._tell(sample, frame)

    def _tell(self, sample: Sample, frame: int) -> None:
        if self.progress is not None:
            self.progress(sample.name, frame + 1, sample.length)

    def _make_tracks(self, sample: Sample) -> tuple[Evaluation, VideoTiming, str]:
        with self.converse(sample) as talk:
            tracks = talk.ask_checked_tracks()
            timing = talk.timing()
        measured = measure_tracks(sample, tracks, self.metrics, self.plan.rule)
        return measured, timing, write_tracks(self.out, sample.name, tracks)


def build_here(plan: Plan, device: str) -> Hosted:
    """The plan's method, built in this process; PluginError if it does not build or lacks what its card promises."""
    request = plan.request
    context = BuildContext(
        task=plan.task.name,
        config=plan.config,
        device=device,
        precision=request.precision,
        weights=plan.weights_path,
        seed=request.seed,
        providers=plan.providers,
    )
    return Hosted.build(plan.method, context)
