"""A session on another machine: opened from a recipe, refused where it would not be equal; it writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

import numpy as np
import torch

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, UsageError
from harness.api.execution import MaskFiles
from harness.api.mask_files import encode_mask
from harness.api.oddities import Oddity
from harness.api.records import VideoResult, VideoTiming
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.hosting.apart import plan_request
from harness.machine import allows_tf32, conditions
from harness.planning.plan import Plan
from harness.running.folder import encode_tracks, find_differences, masks_of, tracks_of
from harness.running.measure import Evaluation, measure_tracks, metrics_of
from harness.running.recipe import Answer, read_recipe
from harness.running.session import Session, build_here


def open_away(text: str) -> Away:
    """Build the method of a recipe in this process; a HarnessError where it would not be the method of that run.

    What is equal: code of the harness and of the plugin, weights, constants, torch, threads, kind of processor and GPU.
    """
    request, recipe = read_recipe(text)
    torch.set_num_threads(recipe["threads"])
    try:
        os.chdir(recipe["folder"])  # so that a relative path is what it was where it was typed
    except OSError as error:
        raise DataError.at(recipe["folder"], found=f"{error.strerror}", expected="the folder of the run") from error
    catalog = Catalog.load()
    plan = plan_request(request, catalog)
    _refuse_other(plan, recipe["key_parts"])
    metrics = metrics_of(plan.rule, catalog, plan.task.returns) if plan.benchmark.scored else {}
    return Away(_SendingSession(plan, metrics, Path(os.devnull), build_here(plan, request.device)))


def _refuse_other(plan: Plan, wanted: dict[str, object]) -> None:
    if differs := find_differences(plan.key_parts, wanted):
        told = "; ".join(
            f"{key}: here {plan.key_parts.get(key)!r:.300}, there {wanted.get(key)!r:.300}" for key in differs
        )
        raise UsageError(
            f"this node would not make what the run's machine makes: {told}",
            hint="the same installation, weights and kind of machine on every node",
        )


@dataclass
class Away:
    """One built method; what it makes of a video is sent as JSON, with the files of its masks."""

    session: _SendingSession

    def work_through(self, video: str) -> tuple[str, MaskFiles]:
        """Run the video. Clocks are kept where the worker had a GPU of its own, and on no CPU that others may use."""
        outcome = self.session.work_through(video)
        plan = self.session.plan
        device = plan.request.devices[0]
        if isinstance(outcome, VideoResult) and device == "cpu":
            outcome = outcome.model_copy(update={"timing": VideoTiming()})
        told = conditions(
            device,
            plan.request.precision,
            resolutions=[],
            objects=[],
            executor=plan.request.executor,
            tf32=allows_tf32(plan.config),
        )
        answer = Answer(outcome=outcome, oddities=list(self.session.odd), conditions=told)
        return answer.model_dump_json(by_alias=True), self.session.files if isinstance(outcome, VideoResult) else []


@dataclass
class _SendingSession(Session):
    """A session that keeps the files of a video for who sends them."""

    files: list[tuple[str, bytes]] = field(default_factory=list, init=False)
    odd: tuple[Oddity, ...] = field(default=(), init=False)

    def _run(self, sample: Sample) -> VideoResult:
        self.files, self.odd = [], ()
        return super()._run(sample)

    def _make_masks(self, sample: Sample) -> tuple[Evaluation, VideoTiming, str]:
        with self.converse(sample) as talk:
            measured = self._measure(sample, self._keep(sample, talk.ask_masks()))
            timing = talk.timing()
        self.odd = measured.oddities
        return measured, timing, masks_of(sample.name)

    def _keep(self, sample: Sample, masks: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        for frame, mask in enumerate(masks):
            self.files.append((f"{sample.frame_names[frame]}.png", encode_mask(mask)))
            yield frame, mask

    def _make_tracks(self, sample: Sample) -> tuple[Evaluation, VideoTiming, str]:
        with self.converse(sample) as talk:
            tracks = talk.ask_checked_tracks()
            timing = talk.timing()
        measured = measure_tracks(sample, tracks, self.metrics, self.plan.rule)
        place = tracks_of(sample.name)
        self.files = [(Path(place).name, encode_tracks(tracks))]
        return measured, timing, place
