"""What is odd about masks made elsewhere but not wrong: numbers off by one, names that fit nothing, soft masks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.api.errors import DataError
from harness.api.file_names import find_alike, is_left_behind, natural_key, spelling_key
from harness.api.mask_files import ids_in, read_mask, read_mask_header
from harness.api.oddities import Oddity, some
from harness.planning.plan import Trial

EMPTY_OR_FULL = frozenset({0, 255})


def find_oddities(folder: Path, trial: Trial) -> Iterator[tuple[str, Oddity]]:
    """Pairs of video and oddity for a folder of masks that is known to be complete."""
    for oddity in _strange_folders(folder, trial):
        yield "", oddity
    for sample in trial.samples:
        place = find_alike(folder, sample.name)
        stems = _stems_in(place)
        known = {spelling_key(name) for name in sample.frame_names}
        others = sorted((stem for stem in stems if spelling_key(stem) not in known), key=natural_key)
        shift = find_shift(stems, sample.frame_names)
        if shift:
            yield sample.name, _tell_shift(shift)
        elif others and not sample.extra.get("masks_only"):  # where frames are not known, others may well be
            advice = "they are not scored; name masks as the frames are named"
            yield sample.name, Oddity("masks of frames that the video has not", advice, some(others))
        if trial.rule.objects == "single":
            yield from ((sample.name, oddity) for oddity in _soft_levels(place, stems))


def find_shift(stems: Sequence[str], frames: Sequence[str]) -> int:
    """By how much all numbers of the masks are off those of the frames; 0 where they are not, or are no numbers.

    >>> find_shift(["00001", "00002", "00003"], ["00000", "00001", "00002"])
    1
    """
    if not stems or len(stems) != len(frames) or not all(map(_is_number, (*stems, *frames))):
        return 0
    there, wanted = sorted(map(int, stems)), sorted(map(int, frames))
    shift = there[0] - wanted[0]
    return shift if [number + shift for number in wanted] == there else 0


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _tell_shift(shift: int) -> Oddity:
    by = f"{abs(shift)} too {'high' if shift > 0 else 'low'}"
    return Oddity(
        f"masks numbered {by}",
        "each is scored on the frame of its number, which looks like the wrong one: name masks as the frames are named",
    )


def _stems_in(folder: Path) -> list[str]:
    """The names, without ending, of the PNGs of a folder."""
    try:
        names = [os.path.splitext(name) for name in os.listdir(folder) if not is_left_behind(name)]
    except OSError:
        return []
    return [stem for stem, ending in names if ending.lower() == ".png"]


def _strange_folders(folder: Path, trial: Trial) -> list[Oddity]:
    """Folders with masks that no video of the benchmark is called by; where a part is scored, only if all are known."""
    known = {spelling_key(name) for name in (*trial.benchmark.expected, *(sample.name for sample in trial.samples))}
    if trial.partial_reason and not trial.benchmark.expected:
        return []
    strange = [
        name
        for name in sorted(os.listdir(folder), key=natural_key)
        if not is_left_behind(name) and spelling_key(name) not in known and _stems_in(folder / name)
    ]
    if not strange:
        return []
    what = f"{len(strange)} of the folders of masks belong to no video of {trial.benchmark.name}"
    return [Oddity(what, "they are not scored", some(strange), is_of_set=True)]


def _soft_levels(place: Path, stems: Sequence[str]) -> list[Oddity]:
    """Levels between 0 and 255 in the middle one of a video's grey masks, of which each counts as object."""
    path = find_alike(place, f"{sorted(stems, key=natural_key)[len(stems) // 2]}.png") if stems else place
    try:
        if read_mask_header(path).kind != "8-bit grey":
            return []
        ids = ids_in(read_mask(path))
    except DataError:  # told where it is scored
        return []
    levels = ids - EMPTY_OR_FULL
    if not levels or (max(ids) < 255 and len(levels) <= 32):
        return []
    return [
        Oddity(
            "levels of grey between 0 and 255 in masks of one object",
            "every value above 0 counts as object: cut soft masks first, as mask > 127",
            f"{path.name}: {len(levels)} levels",
        )
    ]
