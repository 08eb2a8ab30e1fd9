"""One video of your own, a file or a folder of frames, and the masks it begins with, if any: run, never scored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.api.contracts import (
    DAVIS_2016_ZERO_SHOT,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    YOUTUBE_VIS,
    Benchmark,
)
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import ids_in, read_mask
from harness.api.oddities import MOST_IDS, Oddity, some
from harness.api.video import Sample
from harness.datasets.files import VOID, list_images
from harness.datasets.oddities import AS_STORED
from harness.datasets.own_trees import MANUAL
from harness.datasets.unlabelled import IMAGES, open_folder
from harness.datasets.video_files import SUFFIXES, open_video_file

NAME = "own-video"
WORDS = f"a video file ({', '.join(SUFFIXES[:4])}, ...), or a folder of frames ({', '.join(IMAGES)})"


def open_own(choice: str, root: Path | None, partial: bool) -> list[Sample]:
    """The video at ``root``, with the mask or the folder of masks ``choice``; DataError for what is wrong."""
    sample = _open_video(root)
    return [sample if not choice else _with_prompts(sample, _find_masks(sample, Path(choice)), Path(choice))]


def _open_video(root: Path | None) -> Sample:
    if root is None:
        raise DataError(f"{NAME} needs a video: found none", hint=f"--video PATH: {WORDS}")
    path = root.resolve()
    if path.is_file():
        return replace(open_video_file(path), name=path.stem)
    if not path.is_dir():
        raise DataError.at(root, found="no such file or folder", expected=WORDS)
    inner = [child.name for child in sorted(path.iterdir()) if child.is_dir()]
    if inner and not any(child.suffix.lower() in IMAGES for child in path.iterdir()):
        hint = f"give one of them, {root / inner[0]}, or harness run --bench unlabelled --data-root {root} for all"
        raise DataError.at(root, found=f"the folders {some(inner)}", expected="a folder of frames", hint=hint)
    return open_folder(path)


def _find_masks(sample: Sample, given: Path) -> Mapping[int, Path]:
    """Where the masks lie, by frame: one file is of the first frame, files of a folder are named as the frames are."""
    if given.is_file():
        return {0: given}
    if not given.is_dir():
        raise DataError.at(given, found="no such file or folder", expected="a mask PNG, or a folder of them")
    files = list_images(given, (".png",), "masks named as the frames are")
    places = {name: t for t, name in enumerate(sample.frame_names)}
    numbers = {int(name): t for name, t in places.items() if name.isdigit()}
    found, strange = {}, []
    for stem, path in files.items():
        place = places.get(stem, numbers.get(int(stem)) if stem.isdigit() else None)
        if place is None:
            strange.append(path.name)
        else:
            found[place] = path
    if strange:
        names = sample.frame_names
        raise DataError.at(
            given / strange[0],
            found=f"{len(strange)} masks of frames that the video has not: {some(strange)}",
            expected=f"names of its {sample.length} frames, {names[0]} to {names[-1]}",
            hint="name each mask as its frame is named",
        )
    return dict(sorted(found.items()))


def _with_prompts(sample: Sample, paths: Mapping[int, Path], given: Path) -> Sample:
    """The video from its first prompt on; of each mask those objects that no earlier one has."""
    prompts: dict[int, Prompt] = {}
    known: set[int] = set()
    oddities: list[Oddity] = []
    for frame, path in paths.items():
        prompt, odd = _read_prompt(path, (sample.height, sample.width), sample.name)
        new = prompt.ids - known
        if new:
            prompts[frame] = replace(prompt, ids=frozenset(new))
        elif prompt.ids:
            odd.append(Oddity("masks of objects that have one already", "only the first counts", path.name))
        known |= prompt.ids
        oddities += odd
    if not prompts:
        raise DataError.at(
            given, found="no object", expected="an id map: 0 background, 1, 2, ... for the objects to follow"
        )
    begin = min(prompts)
    if begin:
        advice = "no mask is written for them: a method goes forward from a mask"
        oddities.append(Oddity("frames before the first mask", advice, str(begin)))
    moved = {frame - begin: prompt for frame, prompt in prompts.items()}

    def digest() -> str:
        told = [f"{frame} {prompt.path.name} {sorted(prompt.ids)} {prompt.digest()}" for frame, prompt in moved.items()]
        return hashlib.sha256("\n".join([sample.digest(), str(begin), *told]).encode()).hexdigest()

    return replace(
        sample,
        length=sample.length - begin,
        frame_names=sample.frame_names[begin:],
        read_frame=lambda t: sample.read_frame(t + begin),
        read_prompt=lambda t: moved[t].read(),
        prompt_frames=tuple(moved),
        digest=digest,
        oddities=(*sample.oddities, *oddities),
    )


@dataclass(frozen=True)
class Prompt:
    """One mask and the objects that enter with it; ``is_binary``: every value that is not 0 is object 1."""

    path: Path
    ids: frozenset[int]
    is_binary: bool

    def read(self) -> np.ndarray:
        """The (H, W) id map of the objects that enter."""
        mask = read_mask(self.path, binary=self.is_binary)
        kept = np.zeros(256, np.uint8)
        kept[list(self.ids)] = list(self.ids)
        return kept[mask]

    def digest(self) -> str:
        """SHA-256 of what it shows."""
        return hashlib.sha256(self.read().tobytes()).hexdigest()


def _read_prompt(path: Path, size: tuple[int, int], video: str) -> tuple[Prompt, list[Oddity]]:
    mask = read_mask(path)
    if mask.shape != size:
        hint = "resize the mask with nearest neighbour, which keeps ids"
        raise DataError.at(
            path,
            found=f"{mask.shape[1]} x {mask.shape[0]} pixels",
            expected=f"{size[1]} x {size[0]}, the size of the frames of {video!r}",
            hint=AS_STORED if mask.shape == size[::-1] else hint,
        )
    ids = ids_in(mask)
    objects = ids - {0, VOID}
    if len(objects) > MOST_IDS:
        raise DataError.at(
            path,
            found=f"{len(objects)} levels of grey",
            expected="ids: 0 background, 1, 2, ... objects; or 0 and 255 for one object",
            hint="cut grey levels first, as mask > 127",
        )
    if objects or VOID not in ids:
        return Prompt(path, frozenset(objects), is_binary=False), []
    odd = Oddity("a mask of 0 and 255", "it is read as object 1; ids 1, 2, ... name several", path.name)
    return Prompt(path, frozenset({1}), is_binary=True), [odd]


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """What ``harness run --video`` runs on."""

    def choose(choice: str) -> Benchmark:
        return replace(
            alone,
            rules={"one-shot": DAVIS_2017},
            open=lambda root, partial: open_own(choice, root, partial),
        )

    alone = Benchmark(
        name=NAME,
        title="One video of your own: harness run --video FILE, with --first-mask PNG where the method takes one",
        rules={
            "object-zvos": DAVIS_2016_ZERO_SHOT,
            "instance-zvos": DAVIS_2017_UNSUPERVISED,
            "vis": YOUTUBE_VIS,
        },
        open=lambda root, partial: open_own("", root, partial),
        scored=False,
        layout=WORDS,
        manual=MANUAL,
        choose=choose,
    )
    return [alone]
