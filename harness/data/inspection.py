"""A benchmark's data looked through: every frame, truth and prompt is read, and every problem kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.api.contracts import Benchmark
from harness.api.errors import DataError, DataProblems, HarnessError, MethodFailed
from harness.api.video import Sample
from harness.guarded import open_guarded


@dataclass
class Findings:
    """What reading everything has shown."""

    videos: int = 0
    frames: int = 0
    truths: int = 0
    prompts: int = 0
    tracks: int = 0
    problems: list[HarnessError] = field(default_factory=list)


def read_everything(
    benchmark: Benchmark, root: Path | None, *, partial: bool, on_video: Callable[[Sample], None]
) -> Findings:
    """Open the benchmark and read every frame, truth and prompt of what could be opened, past every problem.

    ``on_video`` is told each video before it is read.
    """
    found = Findings()
    samples: Sequence[Sample] = ()
    try:
        samples = open_guarded(benchmark, root, partial=partial)
    except DataProblems as error:
        samples = error.usable
        found.problems.extend(error.problems)
    except (DataError, MethodFailed) as error:
        found.problems.append(error)
    for sample in samples:
        on_video(sample)
        found.videos += 1
        found.tracks += len(sample.extra.get("tracks", ()))
        found.problems.extend({problem.message: problem for problem in _problems_of(sample, found)}.values())
    return found


def _problems_of(sample: Sample, found: Findings) -> Iterator[HarnessError]:
    for t in range(sample.length):
        try:
            sample.read_frame(t)
            found.frames += 1
        except (DataError, MethodFailed) as error:
            yield error
        if sample.read_truth is None:
            continue
        try:
            found.truths += sample.read_truth(t) is not None
        except (DataError, MethodFailed) as error:
            yield error
    for t in sample.prompt_frames if sample.read_prompt else ():
        try:
            found.prompts += sample.read_prompt is not None and sample.read_prompt(t) is not None
        except (DataError, MethodFailed) as error:
            yield error


def is_whole(benchmark: Benchmark, root: Path) -> bool:
    """Whether the benchmark opens without a problem (counts and first masks; ``check`` reads everything)."""
    try:
        open_guarded(benchmark, root, partial=False)
    except DataError:
        return False
    return True
