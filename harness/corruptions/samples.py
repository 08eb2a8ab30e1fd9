"""A benchmark under a corruption: the same videos, tasks and rules, another name, and what is read made worse.

What is random follows from the seed, the video's name and the number of its frame alone: never from what was read
before, and not from the severity, so that a higher one is more of the same. Nothing is kept between frames, and no
frame depends on another one.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from harness.api.contracts import Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, DataProblems, UsageError
from harness.api.tasks import TASKS
from harness.api.video import Sample
from harness.corruptions.names import Setting
from harness.corruptions.table import PROTOCOL

FEWEST = 3
"""Frames that must be left: the first is given, and rules of DAVIS do not score the last."""


def corrupt_benchmark(benchmark: Benchmark, setting: Setting) -> Benchmark:
    """The benchmark under that corruption; UsageError where it has no first mask to change."""
    rules = benchmark.rules
    if setting.corruption.changes == "first mask":
        rules = {task: rule for task, rule in rules.items() if TASKS[task].prompted}
        if not rules:
            raise UsageError(
                f"{setting.corruption.name} changes the first mask; {benchmark.name} ({', '.join(benchmark.tasks)}) "
                "shows none to a method",
                hint="a benchmark of task one-shot, or another of harness ls corruptions",
            )
    choose = benchmark.choose

    def choose_in(choice: str) -> Benchmark:
        assert choose is not None
        return corrupt_benchmark(choose(choice), setting)

    return replace(
        benchmark,
        name=f"{benchmark.name}+{setting.suffix}",
        title=f"{benchmark.title}; {setting.corruption.summary} (severity {setting.severity})",
        rules=rules,
        open=functools.partial(_open, benchmark, setting),
        choose=choose_in if choose is not None else None,
    )


def _open(benchmark: Benchmark, setting: Setting, root: Path | None, partial: bool) -> Sequence[Sample]:
    try:
        return [corrupt_sample(sample, setting) for sample in benchmark.open(root, partial)]
    except DataProblems as error:
        error.usable = tuple(corrupt_sample(sample, setting) for sample in error.usable)
        raise


def corrupt_sample(sample: Sample, setting: Setting) -> Sample:
    """The video under that corruption: its frames, which of them there are, or its first mask; never its truth."""
    made = replace(sample, digest=functools.partial(_digest, sample, setting))
    changes = setting.corruption.changes
    if changes == "frames":
        return replace(made, read_frame=functools.partial(_read_frame, sample, setting))
    if changes == "first mask":
        if sample.read_prompt is None:
            return made
        return replace(made, read_prompt=functools.partial(_read_prompt, sample, setting))
    return keep_frames(made, choose_frames(sample, setting))


def draws_for(setting: Setting, video: str, frame: int) -> np.random.Generator:
    """The random numbers of one frame, the same at every severity.

    PCG64 from SHA-256 over protocol, corruption, seed, video and frame. So the same noise is stronger, the frames that
    are lost already stay lost, and an object's shift keeps its direction: severities are compared on equal draws.
    """
    told = repr((PROTOCOL, setting.corruption.name, setting.seed, video, frame))
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(told.encode()).digest(), "big")))


def _digest(sample: Sample, setting: Setting) -> str:
    return hashlib.sha256(repr((PROTOCOL, setting.suffix, sample.digest())).encode()).hexdigest()


def _read_frame(sample: Sample, setting: Setting, frame: int) -> np.ndarray:
    from harness.corruptions.pixels import FRAME_CORRUPTIONS

    draws = draws_for(setting, sample.name, frame)
    return FRAME_CORRUPTIONS[setting.corruption.name](sample.read_frame(frame), setting.value, draws)


def _read_prompt(sample: Sample, setting: Setting, frame: int) -> np.ndarray:
    from harness.corruptions.first_masks import MASK_CORRUPTIONS

    assert sample.read_prompt is not None
    draws = draws_for(setting, sample.name, frame)
    return MASK_CORRUPTIONS[setting.corruption.name](sample.read_prompt(frame), setting.value, draws)


def choose_frames(sample: Sample, setting: Setting) -> tuple[int, ...]:
    """The frames that are left; DataError where they are too few to be scored."""
    if setting.corruption.name == "rate":
        kept = set(range(0, sample.length, int(setting.value))) | set(sample.prompt_frames)
    else:
        fixed = {0, sample.length - 1, *sample.prompt_frames}
        free = [frame for frame in range(sample.length) if frame not in fixed]
        draws = draws_for(setting, sample.name, 0)
        lost = min(len(free), math.floor(setting.value * sample.length + 0.5))
        kept = set(range(sample.length)) - {free[place] for place in draws.permutation(len(free))[:lost]}
    if len(kept) < FEWEST:
        raise DataError(
            f"video {sample.name} has {sample.length} frames: {setting.suffix} leaves {len(kept)}, expected {FEWEST}",
            hint="a lower severity, or longer videos",
        )
    return tuple(sorted(kept))


def keep_frames(sample: Sample, kept: tuple[int, ...]) -> Sample:
    """The video without its other frames: these are neither shown nor scored, and no flow leads to the next one."""
    place = {frame: number for number, frame in enumerate(kept)}
    read_truth, read_prompt = sample.read_truth, sample.read_prompt
    truths = sample.truth_frames
    extra = dict(sample.extra)
    if "tracks" in extra:
        extra["tracks"] = KeptTracks(extra["tracks"], kept)
    return replace(
        sample,
        length=len(kept),
        frame_names=tuple(sample.frame_names[frame] for frame in kept),
        read_frame=lambda number: sample.read_frame(kept[number]),
        read_truth=None if read_truth is None else lambda number: read_truth(kept[number]),
        read_prompt=None if read_prompt is None else lambda number: read_prompt(kept[number]),
        prompt_frames=tuple(place[frame] for frame in sample.prompt_frames),
        read_flow=None,
        truth_frames=None if truths is None else tuple(place[frame] for frame in truths if frame in place),
        extra=extra,
    )


@dataclass(frozen=True)
class KeptTracks(Sequence[Mapping[str, Any]]):
    """True tracks on the kept frames alone; none is made before it is asked for."""

    tracks: Sequence[Mapping[str, Any]]
    kept: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tracks)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(place, slice):
            return [self._keep(track) for track in self.tracks[place]]
        return self._keep(self.tracks[place])

    def _keep(self, track: Mapping[str, Any]) -> Mapping[str, Any]:
        by_frame = ("segmentations", "areas", "bboxes")
        told = {name: [track[name][frame] for frame in self.kept] for name in by_frame if track.get(name)}
        return {**track, **told, **({"length": len(self.kept)} if "length" in track else {})}
