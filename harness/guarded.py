"""A dataset's samples behind a guard: what its readers give is checked like a method's masks, wherever it is read.

A benchmark is code from elsewhere as a method is: a frame of the wrong shape is DataError, and whatever else a reader
raises is the benchmark's own failure, named as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.contracts import Benchmark
from harness.api.errors import DataError, DataProblems, MethodFailed, PluginError
from harness.api.foreign import blame
from harness.api.mask_runs import MaskRuns
from harness.api.oddities import Oddity
from harness.api.true_runs import TruthReader
from harness.api.video import Sample

_DIGEST = re.compile("([0-9a-f]{64})?")
"""What a record takes."""


def open_guarded(benchmark: Benchmark, root: Path | None, *, partial: bool) -> list[Sample]:
    """The benchmark's samples, guarded; also those that a DataProblems calls usable."""
    where = f"benchmark {benchmark.name}"
    try:
        with blame(f"{where} could not be opened", MethodFailed, hint="harness --debug shows where"):
            samples = list(benchmark.open(root, partial))
    except DataProblems as error:
        error.usable = tuple(guard(sample, where) for sample in error.usable)
        raise
    return [guard(sample, where) for sample in samples]


def guard(sample: Sample, where: str) -> Sample:
    """The sample with readers that check what they give; ``where`` names the benchmark."""
    if not isinstance(sample, Sample):
        raise PluginError(f"{where} opened a {type(sample).__name__}, expected harness.Sample")
    where = f"{where}, video {sample.name!r:.100}"
    _check_numbers(sample, where)
    if not all(isinstance(oddity, Oddity) for oddity in sample.oddities):
        raise PluginError(f"{where}: oddities holds {sample.oddities!r:.100}, expected harness.Oddity each")
    size = (sample.height, sample.width)
    return replace(
        sample,
        read_frame=_check_reader(sample.read_frame, where, "frame", (*size, 3)),
        read_truth=_check_truth(sample.read_truth, where, size) if sample.read_truth else None,
        read_prompt=_check_reader(sample.read_prompt, where, "prompt", size) if sample.read_prompt else None,
        read_flow=_check_reader(sample.read_flow, where, "flow", (*size, 2), np.float32) if sample.read_flow else None,
        digest=_blame_digest(sample.digest, where),
    )


def _check_numbers(sample: Sample, where: str) -> None:
    for name in ("length", "height", "width"):
        number = getattr(sample, name)
        if type(number) is not int or number < 1:
            raise DataError(f"{where}: {name} is {number!r:.100}, expected a whole number of 1 or more")
    if len(sample.frame_names) != sample.length:
        raise DataError(f"{where}: {len(sample.frame_names)} names of frames, expected {sample.length}")
    late = [frame for frame in (*sample.prompt_frames, *(sample.truth_frames or ())) if not 0 <= frame < sample.length]
    if late:
        raise DataError(f"{where}: a prompt or truth of frame {late[0]}, expected 0 to {sample.length - 1}")


def _check_truth(read: Callable[[int], Any], where: str, size: tuple[int, int]) -> Callable[[int], Any]:
    if not isinstance(read, TruthReader):
        return _check_reader(read, where, "truth", size)

    def read_checked_runs(frame: int) -> MaskRuns | None:
        place = f"{where}, truth of frame {frame}"
        with blame(place, MethodFailed):
            found: Any = read.read_runs(frame)
        if found is not None and not (isinstance(found, MaskRuns) and found.shape == size):
            told = f"{found.shape}" if isinstance(found, MaskRuns) else f"a {type(found).__name__}"
            raise DataError(f"{place}: read_runs gave {told}, expected MaskRuns of {size}")
        return found

    return TruthReader(_check_reader(read.read, where, "truth", size), read_checked_runs)


def _check_reader(
    read: Callable[[int], Any], where: str, what: str, shape: tuple[int, ...], kind: type[np.generic] = np.uint8
) -> Callable[[int], Any]:
    def read_checked(frame: int) -> Any:
        place = f"{where}, {what} of frame {frame}"
        with blame(place, MethodFailed):
            found = read(frame)
        if found is None and what == "truth":
            return None
        if not isinstance(found, np.ndarray) or found.dtype != kind or found.shape != shape:
            is_array = isinstance(found, np.ndarray)
            told = f"{found.shape} of {found.dtype}" if is_array else f"a {type(found).__name__}"
            raise DataError(f"{place}: read_{what} gave {told}, expected {shape} of {kind.__name__}")
        return found

    return read_checked


def _blame_digest(digest: Callable[[], str], where: str) -> Callable[[], str]:
    def digest_blamed() -> str:
        with blame(f"{where}, digest", MethodFailed):
            found = digest()
        if not (isinstance(found, str) and _DIGEST.fullmatch(found)):
            raise DataError(f"{where}: digest gave {found!r:.100}, expected the 64 hexadecimal digits of a SHA-256")
        return found

    return digest_blamed
