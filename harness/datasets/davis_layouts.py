"""Anybody's sequences in the folders of DAVIS: any list or none, any numbers and resolution, masks for some frames."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from harness.api.contracts import (
    DAVIS_2016,
    DAVIS_2016_ZERO_SHOT,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    Benchmark,
    Rule,
)
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.file_names import natural_key
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import ids_in, read_mask, read_mask_header
from harness.api.oddities import Oddity
from harness.api.tasks import TaskName
from harness.api.video import Sample
from harness.datasets.davis import RESOLUTION, official_sequences
from harness.datasets.files import (
    VOID,
    VideoFiles,
    absent,
    advise_tree,
    check_size,
    image_size,
    list_folder,
    list_images,
    open_all,
    open_root,
    read_binary_mask,
    refuse_dangling,
)
from harness.datasets.own_trees import find_list, offer
from harness.datasets.unlabelled import IMAGES


@dataclass(frozen=True)
class Layout:
    """One edition's folders: where its masks lie, what they hold, and whether methods are shown the first."""

    benchmark: str
    masks: tuple[str, ...] = ("Annotations",)
    kind: Literal["binary", "ids"] = "ids"
    prompted: bool = True

    @property
    def words(self) -> str:
        """The folders, in words."""
        return (
            f"JPEGImages/480p/<sequence>/00000.jpg (or another resolution, or none), {self.masks[0]}/480p/<sequence>/"
            f"00000.png, and for {self.benchmark}:LIST a list such as ImageSets/2017/LIST.txt"
        )


def open_layout(layout: Layout, choice: str, root: Path | None, partial: bool) -> list[Sample]:
    """The sequences of the list that was chosen, in its order, or all there are; DataError for what is wrong."""
    root = open_root(root, layout.benchmark, layout.words)
    frames = find_frames(root, layout.words)
    masks = _find_masks(root, layout, frames.name)
    names = find_list(root, choice) if choice else _all_folders(frames)

    def absence(name: str) -> DataError | None:
        return None if (frames / name).is_dir() else absent(frames / name, f"the frames of {name!r}")

    def open_one(name: str) -> Sample:
        return _open_sequence(layout, name, frames / name, masks / name)

    return open_all(names, absence, open_one, root, partial=partial)


def find_frames(root: Path, words: str) -> Path:
    """The folder that holds the videos' folders: JPEGImages, or the resolution in it; ``words``: what is needed."""
    base = root / "JPEGImages"
    hint = advise_tree(words)
    if not base.exists():
        refuse_dangling(base, "folders of frames")
        raise DataError.at(base, found="no such folder", expected="folders of frames", hint=hint)
    folders = [path for path in list_folder(base, "folders of frames").values() if path.is_dir()]
    if (base / RESOLUTION).is_dir():
        return base / RESOLUTION
    if any(_holds_images(folder) for folder in folders):
        return base
    if len(folders) == 1:
        return folders[0]
    found = f"the folders {', '.join(folder.name for folder in folders[:5])}" if folders else "no folder"
    expected = f"one folder of frames a video, {RESOLUTION}, or one other resolution"
    raise DataError.at(base, found=found, expected=expected, hint=hint)


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGES for path in list_folder(folder, "frames").values())


def _find_masks(root: Path, layout: Layout, resolution: str) -> Path:
    base = next((root / name for name in layout.masks if (root / name).is_dir()), root / layout.masks[0])
    return base / resolution if (base / resolution).is_dir() else base


def _all_folders(frames: Path) -> tuple[str, ...]:
    folders = [name for name, path in list_folder(frames, "folders of frames").items() if path.is_dir()]
    return tuple(sorted(folders, key=natural_key))


def _open_sequence(layout: Layout, name: str, folder: Path, mask_folder: Path) -> Sample:
    frames = list_images(folder, IMAGES, f"the frames of {name!r}")
    masks: Mapping[str, Path] = {}
    if layout.prompted or mask_folder.is_dir():
        masks = list_images(mask_folder, (".png",), f"the masks of {name!r}")
    lost = [stem for stem in masks if stem not in frames]
    if lost:
        found = f"{len(lost)} masks without frame: {', '.join(lost[:5])}"
        raise DataError.at(mask_folder, found=found, expected="masks that are named as the frames are")
    stems = list(frames)
    early: list[str] = []
    if layout.prompted:
        begin = next(t for t, stem in enumerate(stems) if stem in masks)
        early, stems = stems[:begin], stems[begin:]
    size = image_size(frames[stems[0]])
    if masks:
        _check_first_mask(layout, masks[stems[0]] if layout.prompted else next(iter(masks.values())), size, name)
    has_truth = len(masks) > int(layout.prompted)
    extra: dict[str, Any] = {"frames_before_first_prompt": tuple(early)} if early else _official_facts(name, len(stems))
    sample = VideoFiles(
        name=name,
        frames=tuple(frames[stem] for stem in stems),
        size=size,
        truths={t: (masks[stem],) for t, stem in enumerate(stems) if stem in masks} if has_truth else {},
        prompts={0: (masks[stems[0]],)} if layout.prompted else {},
        read=read_binary_mask if layout.kind == "binary" else read_mask,
        has_truth=has_truth,
        extra=extra,
    ).sample()
    return replace(sample, oddities=(*sample.oddities, *_find_gaps(stems, masks, early, has_truth=has_truth)))


def _official_facts(name: str, length: int) -> dict[str, Any]:
    """Attributes and ``eval_t`` of a sequence of DAVIS 2016 that lies in somebody's own tree."""
    facts = official_sequences().get(name, {})
    if facts.get("year") != 2016 or facts["frames"] != length:
        return {}
    return {key: facts[key] for key in ("attributes", "eval_t")}


def _find_gaps(stems: list[str], masks: Mapping[str, Path], early: list[str], *, has_truth: bool) -> list[Oddity]:
    found = []
    if early:
        advice = "no method is asked for them, and they are not scored"
        found.append(Oddity("frames before the first mask", advice, f"{len(early)}"))
    if has_truth and len(masks) < len(stems):
        advice = "frames without a mask are not scored; for a mask lost by accident, put it back"
        found.append(Oddity("masks for a part of the frames", advice, f"{len(masks)} of {len(stems)}"))
    return found


def _check_first_mask(layout: Layout, path: Path, size: tuple[int, int], name: str) -> None:
    header = read_mask_header(path)
    check_size(path, (header.height, header.width), size, name)
    if layout.kind == "binary" or not layout.prompted:
        return
    found = ids_in(read_mask(path))
    if found <= {0, VOID}:
        raise DataError.at(
            path,
            found="a mask of 0 and 255" if VOID in found else "a mask without objects",
            expected="object ids 1, 2, ... as of DAVIS 2017",
            hint="masks of one object, 0 and 255, are read by davis16-layout" if VOID in found else None,
        )


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Any tree in a layout of DAVIS."""
    unsupervised = ("Annotations_unsupervised", "Annotations")
    title = "Your own sequences in the layout of DAVIS"
    rows: tuple[tuple[Layout, str, Mapping[TaskName, Rule]], ...] = (
        (
            Layout("davis16-layout", kind="binary"),
            f"{title} 2016",
            {"one-shot": DAVIS_2016, "object-zvos": DAVIS_2016_ZERO_SHOT},
        ),
        (Layout("davis17-layout"), f"{title} 2017", {"one-shot": DAVIS_2017}),
        (
            Layout("davis17-unsup-layout", masks=unsupervised, prompted=False),
            f"{title} 2017 unsupervised",
            {"instance-zvos": DAVIS_2017_UNSUPERVISED},
        ),
    )
    return [
        offer(layout.benchmark, title, rules, functools.partial(open_layout, layout), layout.words)
        for layout, title, rules in rows
    ]
