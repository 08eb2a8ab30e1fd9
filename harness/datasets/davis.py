"""DAVIS 2016, 2017 and 2019 (unsupervised) at 480p, read from the official folder trees."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from harness.api.contracts import (
    COCO_CLASS_AGNOSTIC,
    DAVIS_2016,
    DAVIS_2016_ZERO_SHOT,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    Archive,
    Benchmark,
)
from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.hookspecs import hookimpl
from harness.api.mask_files import ids_in, read_mask, read_mask_header
from harness.api.video import Sample
from harness.datasets.files import (
    VOID,
    VideoFiles,
    absent,
    advise_tree,
    check_names,
    check_same_frames,
    check_size,
    image_size,
    list_images,
    open_all,
    open_root,
    read_binary_mask,
    read_lines,
)

LICENCE = "CC BY-NC 4.0 (some sequences from YouTube, under their own terms; see SOURCES.md of the data)"
HOMEPAGE = "https://davischallenge.org"
RESOLUTION = "480p"
_SHARE = "https://data.vision.ee.ethz.ch/csergi/share/davis"
# Checksums: fperazzi/davis-2017 data/get_davis.sh (2016), tensorflow/datasets davis/checksums.tsv (2017 trainval).
ARCHIVE_2016 = Archive(
    "https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip", "md5:464ebb594dcbc34e012487f4cd0f8213", "DAVIS/"
)
ARCHIVE_2017 = Archive(
    f"{_SHARE}/DAVIS-2017-trainval-480p.zip",
    "sha256:e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
    "DAVIS/",
)
ARCHIVE_2017_TEST = Archive(f"{_SHARE}/DAVIS-2017-test-dev-480p.zip", strip="DAVIS/")
ARCHIVE_UNSUPERVISED = Archive(f"{_SHARE}/DAVIS-2017-Unsupervised-trainval-480p.zip", strip="DAVIS/")
ARCHIVE_UNSUPERVISED_TEST = Archive(f"{_SHARE}/DAVIS-2019-Unsupervised-test-dev-480p.zip", strip="DAVIS/")


@functools.cache
def official_sequences() -> Mapping[str, Any]:
    """Facts of the 120 sequences of DAVIS 2016 and 2017: split, year, frames, objects, eval_t, attributes."""
    return json.loads((Path(__file__).parent / "davis_sequences.json").read_text())["sequences"]


@dataclass(frozen=True)
class Split:
    """One split of one edition: where its list and masks lie, and how many frames each official sequence has.

    An empty ``sequences`` means that the official names, ``size`` of them, are taken from the list in the tree.
    ``any_resolution``: a tree without 480p is read at the only resolution it has; for learning, not for comparing.
    """

    benchmark: str
    lists: tuple[str, ...]
    masks: str = "Annotations"
    kind: Literal["binary", "ids"] = "ids"
    truth: Literal["all", "first", "none"] = "all"
    sequences: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    any_resolution: bool = False

    @property
    def layout(self) -> str:
        """The folders, in words."""
        masks = {"all": f"{self.masks}/480p/<sequence>/00000.png, ", "none": ""}
        first = f"{self.masks}/480p/<sequence>/00000.png (first frame only), "
        return f"JPEGImages/480p/<sequence>/00000.jpg, {masks.get(self.truth, first)}{' or '.join(self.lists)}"


def read_names(path: Path) -> tuple[str, ...]:
    """The sequences a list names, in its order: one a line, or pairs "/JPEGImages/480p/bear/00000.jpg /Anno..."."""
    names: dict[str, None] = {}
    for line in read_lines(path):
        if not line.strip():
            continue
        first = line.split()[0].replace("\\", "/")
        parts = first.strip("/").split("/")
        if parts[0] == "JPEGImages" and len(parts) >= 3:
            first = parts[-2]
        names[first] = None
    check_names(names, path)
    return tuple(names)


def open_split(split: Split, root: Path | None, partial: bool) -> list[Sample]:
    """The sequences of a split, in official order; DataError for everything that is missing or malformed."""
    root = open_root(root, split.benchmark, split.layout)
    path = _find_list(split, root)
    listed = read_names(path)
    unknown = [name for name in listed if split.sequences and name not in split.sequences]
    if unknown or not listed:
        raise DataError.at(
            path,
            found=f"the sequences {', '.join(unknown[:5])}" if unknown else "no sequences",
            expected=f"names of the official sequences of {split.benchmark}",
            hint="restore the official list of the archive",
        )
    names = tuple(split.sequences) or listed
    resolution = _resolution(split, root)
    frames = root / "JPEGImages" / resolution

    def absence(name: str) -> DataError | None:
        if not (frames / name).is_dir():
            return absent(frames / name, f"the frames of {name!r}")
        if name not in listed:
            return absent(path, f"a line with {name!r}", "no such line")
        return None

    def open_one(name: str) -> Sample:
        return _open_sequence(split, root, name, resolution)

    return open_all(names, absence, open_one, root, partial=partial, size=split.size)


def _resolution(split: Split, root: Path) -> str:
    """The folder frames and masks lie in: 480p, or for a split of any resolution the only one there is."""
    if not split.any_resolution or (root / "JPEGImages" / RESOLUTION).is_dir():
        return RESOLUTION
    there = [path.name for path in sorted(root.glob("JPEGImages/*/")) if (root / split.masks / path.name).is_dir()]
    return there[0] if len(there) == 1 else RESOLUTION


def _find_list(split: Split, root: Path) -> Path:
    for place in split.lists:
        if (root / place).is_file():
            return root / place
    there = sorted(str(path.relative_to(root)) for path in root.glob("ImageSets/*/*.txt"))
    nested = root / "DAVIS"
    raise DataError.at(
        root,
        found=f"lists {', '.join(there)}" if there else "no list of sequences",
        expected=" or ".join(split.lists),
        hint=f"pass --data-root {nested}" if nested.is_dir() else advise_tree(split.layout),
    )


def _open_sequence(split: Split, root: Path, name: str, resolution: str) -> Sample:
    folder = root / "JPEGImages" / resolution / name
    mask_folder = root / split.masks / resolution / name
    frames = list_images(folder, (".jpg",), f"the frames of {name!r}")
    _check_numbering(folder, list(frames), split.sequences.get(name))
    size = image_size(next(iter(frames.values())))
    masks = {}
    if split.truth != "none":
        masks = list_images(mask_folder, (".png",), f"the masks of {name!r}")
        first = next(iter(frames))
        if first not in masks:
            raise DataError.at(mask_folder / f"{first}.png", found="no such file", expected="the first frame's mask")
        _check_first_mask(split, masks[first], size, name)
    if split.truth == "all":
        check_same_frames(frames, masks, folder, mask_folder)
    facts = official_sequences().get(name, {})
    return VideoFiles(
        name=name,
        frames=tuple(frames.values()),
        size=size,
        truths={t: (masks[stem],) for t, stem in enumerate(frames)} if split.truth == "all" else {},
        prompts={0: (masks[next(iter(frames))],)} if masks else {},
        read=read_binary_mask if split.kind == "binary" else read_mask,
        has_truth=split.truth == "all",
        extra=_facts_of(split, facts),
    ).sample()


def _facts_of(split: Split, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a sequence; a binary mask is that of one object where the 2017 edition has one."""
    extra = {key: facts[key] for key in ("attributes", "eval_t") if facts.get("year") == 2016}
    return extra | {"is_merged": True} if split.kind == "binary" and facts.get("objects") != 1 else extra


def _check_numbering(folder: Path, stems: list[str], official: int | None) -> None:
    expected = official or len(stems)
    there = set(stems)
    gaps = [f"{t:05d}" for t in range(expected) if f"{t:05d}" not in there]
    if gaps or len(stems) != expected:
        found = f"{len(stems)} frames" + (f", without {', '.join(gaps[:3])}" if gaps else "")
        raise DataError.at(
            folder, found=found, expected=f"{expected} frames from 00000", hint="extract the official archive again"
        )


def _check_first_mask(split: Split, path: Path, size: tuple[int, int], name: str) -> None:
    header = read_mask_header(path)
    check_size(path, (header.height, header.width), size, name)
    if split.kind == "binary":
        return
    found = ids_in(read_mask(path))
    if found <= {0, VOID} and (split.masks == "Annotations" or header.kind == "8-bit grey"):
        is_2016 = header.kind == "8-bit grey" or VOID in found
        raise DataError.at(
            path,
            found="a 0/255 mask as of DAVIS 2016" if is_2016 else "a mask without objects",
            expected="object ids 1, 2, ... as of DAVIS 2017",
            hint=f"pass the root of a DAVIS 2017 tree, or run a davis16 benchmark instead of {split.benchmark}",
        )


def _official(name: str, *years: int) -> dict[str, int]:
    facts = official_sequences().items()
    return {key: value["frames"] for key, value in facts if value["split"] == name and value["year"] in years}


def _benchmark(split: Split, title: str, rules: Mapping[Any, Any], archive: Archive) -> Benchmark:
    return Benchmark(
        name=split.benchmark,
        title=title,
        rules=rules,
        open=functools.partial(open_split, split),
        expected=tuple(split.sequences),
        size=split.size,
        scored=split.truth == "all",
        licence=LICENCE,
        homepage=HOMEPAGE,
        layout=split.layout,
        archives=(archive,),
    )


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """The official splits of DAVIS."""
    benchmarks = []
    for name, title in (("val", "validation"), ("train", "training")):
        lists_2016 = (f"ImageSets/2016/{name}.txt", f"ImageSets/480p/{name}.txt")
        split = Split(
            f"davis16-{name}",
            lists_2016,
            kind="binary",
            sequences=_official(name, 2016),
            any_resolution=name == "train",
        )
        rules = {"one-shot": DAVIS_2016, "object-zvos": DAVIS_2016_ZERO_SHOT}
        benchmarks.append(_benchmark(split, f"DAVIS 2016 {title}", rules, ARCHIVE_2016))
    for name, title in (("val", "validation"), ("train", "training")):
        split = Split(
            f"davis17-{name}",
            (f"ImageSets/2017/{name}.txt",),
            sequences=_official(name, 2016, 2017),
            any_resolution=name == "train",
        )
        benchmarks.append(_benchmark(split, f"DAVIS 2017 {title}", {"one-shot": DAVIS_2017}, ARCHIVE_2017))
    test = Split(
        "davis17-test-dev", ("ImageSets/2017/test-dev.txt",), truth="first", sequences=_official("test-dev", 2017)
    )
    benchmarks.append(_benchmark(test, "DAVIS 2017 test-dev", {"one-shot": DAVIS_2017}, ARCHIVE_2017_TEST))
    scorings_unsup = {"instance-zvos": DAVIS_2017_UNSUPERVISED}
    for name, part, rules, title in (
        ("davis17-unsup-val", "val", scorings_unsup, "DAVIS 2017 unsupervised, validation"),
        ("davis17-unsup-train", "train", scorings_unsup, "DAVIS 2017 unsupervised, training"),
        ("davis17-frames-val", "val", {"vis": COCO_CLASS_AGNOSTIC}, "DAVIS 2017 validation, each frame an image"),
    ):
        unsup = Split(
            name,
            (f"ImageSets/2017/{part}.txt",),
            masks="Annotations_unsupervised",
            sequences=_official(part, 2016, 2017),
            any_resolution=part == "train",
        )
        benchmarks.append(_benchmark(unsup, title, rules, ARCHIVE_UNSUPERVISED))
    unsup_test = Split("davis17-unsup-test-dev", ("ImageSets/2019/test-dev.txt",), truth="none", size=30)
    title = "DAVIS 2019 unsupervised, test-dev"
    benchmarks.append(_benchmark(unsup_test, title, scorings_unsup, ARCHIVE_UNSUPERVISED_TEST))
    return benchmarks
