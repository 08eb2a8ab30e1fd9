"""A benchmark's data looked through: every frame, truth and prompt is read, and every problem kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path

import numpy as np

from harness.api.contracts import Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, DataProblems, HarnessError, MethodFailed
from harness.api.mask_files import ids_in
from harness.api.oddities import Oddity, find_grey_levels, find_holes, find_void_alone
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
    oddities: list[tuple[str, Oddity]] = field(default_factory=list)
    """Pairs of video and what is odd about it, without being a problem."""


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
    rules = benchmark.rules.values()
    has_ids = any(rule.objects != "single" and rule.matching == "ids" and rule.void == "background" for rule in rules)
    for sample in samples:
        on_video(sample)
        found.videos += 1
        found.tracks += len(sample.extra.get("tracks", ()))
        odd = {oddity.what: oddity for oddity in sample.oddities}
        look = _Looker(odd, has_ids=has_ids)
        found.problems.extend({problem.message: problem for problem in _problems_of(sample, found, look)}.values())
        found.oddities.extend((sample.name, oddity) for oddity in odd.values())
    return found


def _problems_of(sample: Sample, found: Findings, look: _Looker) -> Iterator[HarnessError]:
    """What reading raises, past each problem; the masks are shown to ``look``."""
    for t in range(sample.length):
        try:
            if not sample.extra.get("masks_only"):
                sample.read_frame(t)
                found.frames += 1
        except (DataError, MethodFailed) as error:
            yield error
        if sample.read_truth is None:
            continue
        try:
            truth = sample.read_truth(t)
            found.truths += truth is not None
            look.at(truth, is_first=t == 0)
        except (DataError, MethodFailed) as error:
            yield error
    for t in sample.prompt_frames if sample.read_prompt else ():
        try:
            prompt = None if sample.read_prompt is None else sample.read_prompt(t)
            found.prompts += prompt is not None
            look.at(prompt, is_first=sample.prompt_frames == (0,))
        except (DataError, MethodFailed) as error:
            yield error


@dataclass(frozen=True)
class _Looker:
    """Puts what is odd about ids into ``odd``, by what it is; ``has_ids``: a rule tells objects by their ids."""

    odd: dict[str, Oddity]
    has_ids: bool

    def at(self, mask: np.ndarray | None, *, is_first: bool) -> None:
        """Holes matter in a first mask, which names all objects; levels of grey in any."""
        ids = set() if mask is None else ids_in(mask)
        found = find_grey_levels(ids)
        if is_first:
            found += find_holes(ids)
            found += find_void_alone(ids) if self.has_ids else []
        for oddity in found:
            self.odd.setdefault(oddity.what, oddity)


def is_whole(benchmark: Benchmark, root: Path) -> bool:
    """Whether the benchmark opens without a problem (counts and first masks; ``check`` reads everything)."""
    try:
        open_guarded(benchmark, root, partial=False)
    except DataError:
        return False
    return True
