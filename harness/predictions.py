"""Masks made elsewhere, looked over before anything is scored: nothing missing, nothing of the wrong size or kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.api.contracts import Scoring
from harness.api.errors import DataError, HarnessError, IncompletePredictions
from harness.api.mask_files import read_mask_header
from harness.api.video import Sample

SHOWN = 5


def look_over(folder: Path, samples: Sequence[Sample], scoring: Scoring) -> None:
    """Check that every scored frame of every video has a mask of the right size, from the files' headers alone.

    Raises IncompletePredictions that counts what is missing and names the first few, or DataError for the first file
    that is no id map or has another size.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; expected one folder of PNG masks a video")
    missing = [path for sample in samples for path in scored_files(folder, sample, scoring) if not path.is_file()]
    if missing:
        raise _incomplete(folder, samples, missing)
    for sample in samples:
        for path in scored_files(folder, sample, scoring):
            header = read_mask_header(path)
            if (header.height, header.width) != (sample.height, sample.width):
                raise DataError(
                    f"{path}: mask of {header.height} x {header.width} (rows x columns), "
                    f"expected {sample.height} x {sample.width} as the video's frames",
                    hint="resize the masks with nearest neighbour",
                )


def scored_files(folder: Path, sample: Sample, scoring: Scoring) -> Iterator[Path]:
    """The files that are opened: one a frame, without the first and last where the rule leaves them out."""
    names = sample.frame_names[1:-1] if scoring.frames == "inner" else sample.frame_names
    return (folder / sample.name / f"{name}.png" for name in names)


def _incomplete(folder: Path, samples: Sequence[Sample], missing: Sequence[Path]) -> HarnessError:
    absent = [sample.name for sample in samples if not (folder / sample.name).is_dir()]
    what = f"{len(absent)} of {len(samples)} videos have no folder in {folder}: {', '.join(absent[:SHOWN])}"
    if not absent:
        names = ", ".join(str(path.relative_to(folder)) for path in missing[:SHOWN])
        what = f"{len(missing)} masks are missing in {folder}: {names}"
    more = " ..." if max(len(absent), 0 if absent else len(missing)) > SHOWN else ""
    return IncompletePredictions(
        what + more,
        hint="add what is missing, or score a subset with --videos NAME,NAME (a partial record)",
    )
