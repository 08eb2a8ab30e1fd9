"""What every dataset on disk shares: listing folders safely, reading frames strictly, and one video as a Sample."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import track_json
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, DataProblems
from harness.api.file_names import is_left_behind, natural_key
from harness.api.kept_digests import ask_disk, find_digest
from harness.api.mask_files import LARGEST_IMAGE, MAX_PIXELS, read_mask, read_runs
from harness.api.mask_runs import MaskRuns
from harness.api.plain_files import LARGEST_TEXT, decode_text, open_plain, read_plain
from harness.api.records import is_safe_video_name
from harness.api.true_runs import TruthReader
from harness.api.video import Sample
from harness.datasets.jpeg import read_segments
from harness.datasets.oddities import AS_STORED, find_oddities

if TYPE_CHECKING:
    from PIL import Image

PARTIAL_HINT = "complete the data, or pass --allow-partial: the record is then marked partial and never ranked"
VOID = 255
FORMATS = ("JPEG", "PNG", "BMP", "PPM")
"""What frames and masks of datasets are, whatever their names say; Pillow would start Ghostscript for an EPS file."""


def open_root(root: Path | None, benchmark: str, layout: str) -> Path:
    """Return the resolved data folder; raise DataError with the expected layout where there is none."""
    hint = f"pass --data-root DIR, or see `harness data fetch {benchmark}`; expected layout: {layout}"
    if root is None:
        raise DataError(f"{benchmark} is read from disk: found no data root, expected a folder", hint=hint)
    if not root.is_dir():
        refuse_dangling(root, f"the data root of {benchmark}")
        found = "a file" if root.exists() else "no such folder"
        raise DataError.at(root, found=found, expected=f"the data root of {benchmark}", hint=hint)
    return root.resolve()


def advise_tree(layout: str) -> str:
    """The next step where a folder is not the tree that is read."""
    return f"a tree like this is needed: {layout}"


def check_names(names: Iterable[str], source: Path) -> None:
    """Refuse video names that are not plain folder names ("..", separators): they would lead out of the data root."""
    for name in names:
        if not is_safe_video_name(name):
            raise DataError.at(
                source, found=f"the video name {name!r}", expected="a plain folder name", hint="correct the list"
            )


def refuse_dangling(path: Path, expected: str) -> None:
    """DataError where the path, or a folder above it, is a link that leads nowhere or in a circle."""
    link = next((place for place in (path, *path.parents) if place.is_symlink() and not place.exists()), None)
    if link is not None:
        found = f"a link to {os.readlink(link)}, which is not there"
        raise DataError.at(link, found=found, expected=expected, hint="mount or restore what it leads to, or link anew")


def list_folder(folder: Path, what: str) -> dict[str, Path]:
    """The entries of a folder but what systems leave behind, name -> path, sorted by name; links are followed.

    DataError if the folder is absent, or holds a link to nothing, or what is neither file nor folder.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not is_left_behind(entry.name)), key=lambda e: e.name)
    except FileNotFoundError as error:
        refuse_dangling(folder, what)
        raise DataError.at(folder, found="no such folder", expected=what) from error
    except OSError as error:
        raise DataError.at(folder, found=f"no readable folder ({error.strerror})", expected=what) from error
    for entry in found:
        if not (entry.is_file() or entry.is_dir()):  # reading a pipe would wait for ever
            refuse_dangling(folder / entry.name, what)
            raise DataError.at(folder / entry.name, found="a pipe, socket or device", expected=what)
    paths = {path.name: path for path in folder.iterdir()}  # quicker by half than joining each name to the folder
    return {entry.name: paths[entry.name] if entry.name in paths else folder / entry.name for entry in found}


def list_images(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """The images of a folder, stem -> path in the order of their numbers; DataError for none, or two of one stem."""
    entries = list_folder(folder, what)
    parts = [(*os.path.splitext(name), path) for name, path in entries.items()]
    found = [(stem, path) for stem, suffix, path in parts if suffix.lower() in suffixes]
    if not _are_numbers_of_one_length([stem for stem, _ in found]):
        found.sort(key=lambda image: natural_key(image[0]))
    images = dict(found)
    if len(images) < len(found):
        twice = [path.name for stem, path in found if images[stem] != path]
        raise DataError.at(folder, found=f"{twice[0]} and {images[Path(twice[0]).stem].name}", expected="one of them")
    if not images:
        raise DataError.at(folder, found=_in_words(entries, "files"), expected=f"{what} ({', '.join(suffixes)})")
    return images


def _are_numbers_of_one_length(stems: Sequence[str]) -> bool:
    """Names whose order as texts is their order as numbers."""
    return len({len(stem) for stem in stems}) < 2 and all(stem.isascii() and stem.isdigit() for stem in stems)


def _in_words(names: Iterable[str], what: str) -> str:
    listed = list(names)
    shown = ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    return f"no {what}" if not listed else f"{len(listed)} {what}: {shown}"


def check_same_frames(frames: Mapping[str, Path], masks: Mapping[str, Path], folder: Path, mask_folder: Path) -> None:
    """Every frame needs its mask and every mask its frame; names what is missing on either side."""
    without_mask = [name for name in frames if name not in masks]
    without_frame = [name for name in masks if name not in frames]
    hint = "extract the official archive again"
    if without_mask:
        raise DataError.at(
            mask_folder,
            found=_in_words(without_mask, "frames without mask"),
            expected=f"{len(frames)} masks",
            hint=hint,
        )
    if without_frame:
        raise DataError.at(
            folder, found=_in_words(without_frame, "masks without frame"), expected=f"{len(masks)} frames", hint=hint
        )


FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame of a JPEG (ITU T.81, table B.1): after a length and a precision come rows and columns."""


@contextmanager
def _open(path: Path, *, whole: bool = False) -> Iterator[Image.Image]:
    """``whole``: from its bytes, which end where they end; of a file, Pillow asks for as much as a chunk claims."""
    from PIL import Image

    try:
        with open_plain(path, largest=LARGEST_IMAGE) as file:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(io.BytesIO(file.read()) if whole else file, formats=FORMATS)
            with image:
                if image.width * image.height > MAX_PIXELS:
                    found = f"an image of {image.width} x {image.height}"
                    raise DataError.at(path, found=found, expected=f"at most {MAX_PIXELS} pixels")
                yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        if isinstance(error, FileNotFoundError):
            told = "no such file"
        found = told or f"a truncated or corrupt image ({error})"
        raise DataError.at(path, found=found, expected="a whole image", hint="extract it again") from error


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image; DataError if it is none."""
    size = _jpeg_size(path)
    if size is not None:
        return size
    with _open(path) as image:
        return image.height, image.width


def _jpeg_size(path: Path) -> tuple[int, int] | None:
    """The size a plain JPEG claims, without Pillow (half of the start of a score is its import); None: let it look."""
    for kind, content in read_segments(path):
        if kind in FRAME_HEADERS and len(content) >= 5:
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            return (height, width) if 0 < height * width <= MAX_PIXELS else None
    return None


def read_image(path: Path, mode: str) -> np.ndarray:
    """Decode a whole image strictly: ``mode`` "RGB" gives (H, W, 3), "L" gives (H, W); uint8, without its alpha."""
    with _open(path, whole=True) as image:
        if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "1"):
            raise DataError.at(path, found=f"an image of kind {image.mode}", expected="an RGB or grey image")
        return np.array(image if image.mode == mode else image.convert(mode))


def read_lines(path: Path) -> list[str]:
    """The lines of a text of at most a MiB, whatever system wrote it; DataError where it cannot be read."""
    try:
        return decode_text(read_plain(path, largest=LARGEST_TEXT), errors="replace").splitlines()
    except OSError as error:
        raise DataError.at(path, found=f"no readable file ({error.strerror})", expected="a text") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file; DataError where it is missing or malformed."""
    return track_json.read_json(path, "a JSON file")


def read_binary_mask(path: Path) -> np.ndarray:
    """A mask PNG with every non-zero value as object 1."""
    return read_mask(path, binary=True)


def check_size(path: Path, found: tuple[int, ...], expected: tuple[int, int], video: str) -> None:
    """Refuse an image that is not of its video's (height, width)."""
    if found != expected:
        hint = "masks and frames of one video have one size; extract the official archive again"
        raise DataError.at(
            path,
            found=f"{found[1]} x {found[0]} pixels",
            expected=f"{expected[1]} x {expected[0]}, the size of the first frame of {video!r}",
            hint=AS_STORED if found == expected[::-1] else hint,
        )


MaskReader = Callable[[Path], np.ndarray]
_READ_RUNS: dict[MaskReader, Callable[[Path], MaskRuns]] = {
    read_mask: read_runs,
    read_binary_mask: functools.partial(read_runs, binary=True),
}
"""What reads the same masks as runs."""


@dataclass(frozen=True)
class VideoFiles:
    """The files of one video and how its masks are read; the methods are what a Sample calls.

    ``truths`` and ``prompts`` map a frame to its mask files; several files of one frame are merged: object 1 is
    where any of them is not 0. ``prompt_ids`` says which objects a prompt introduces (all of its mask, where absent).
    ``facts`` is everything else that may change a result (tracks, categories), as text for the digest.
    """

    name: str
    frames: tuple[Path, ...]
    size: tuple[int, int]
    truths: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    prompts: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    prompt_ids: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    read: MaskReader = read_mask
    has_truth: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    facts: str = ""
    _seen: dict[Path, int] = field(default_factory=dict, compare=False, repr=False)
    """What each file was when it was first read: its size, time of change and number on the disk."""

    def sample(self) -> Sample:
        """The video as the rest of the harness knows it."""
        return Sample(
            name=self.name,
            length=len(self.frames),
            height=self.size[0],
            width=self.size[1],
            frame_names=tuple(path.stem for path in self.frames),
            read_frame=self.frame,
            digest=self.digest,
            read_truth=TruthReader(self.truth, self.true_runs) if self.has_truth else None,
            read_prompt=self.prompt if self.prompts else None,
            prompt_frames=tuple(sorted(self.prompts)),
            truth_frames=tuple(sorted(self.truths)) if self.has_truth else None,
            extra=self.extra,
            oddities=find_oddities(self.frames, self.extra.get("frames_before_first_prompt", ())),
        )

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, 3) uint8 RGB."""
        self._refuse_changed(self.frames[index])
        image = read_image(self.frames[index], "RGB")
        check_size(self.frames[index], image.shape[:2], self.size, self.name)
        return image

    def truth(self, index: int) -> np.ndarray | None:
        """The id map of frame ``index``, 255 void; None where it is not annotated."""
        return self._mask(self.truths[index]) if index in self.truths else None

    def true_runs(self, index: int) -> MaskRuns | None:
        """``truth`` as runs of one id."""
        paths, read = self.truths.get(index, ()), _READ_RUNS.get(self.read)
        if read is None or len(paths) != 1:
            truth = self.truth(index)
            return None if truth is None else MaskRuns.of(truth)
        self._refuse_changed(paths[0])
        runs = read(paths[0])
        check_size(paths[0], runs.shape, self.size, self.name)
        return runs

    def prompt(self, index: int) -> np.ndarray:
        """The objects that enter at frame ``index``; void is background in it, as in the official toolkit."""
        mask = self._mask(self.prompts[index])
        kept = np.zeros(256, np.uint8)
        ids = list(self.prompt_ids[index] if index in self.prompt_ids else range(1, VOID))
        kept[ids] = ids
        return kept[mask]

    def _mask(self, paths: tuple[Path, ...]) -> np.ndarray:
        for path in paths:
            self._refuse_changed(path)
        masks = [self.read(path) for path in paths]
        for mask, path in zip(masks, paths, strict=True):
            check_size(path, mask.shape, self.size, self.name)
        return masks[0] if len(masks) == 1 else np.any(masks, axis=0).astype(np.uint8)

    def digest(self) -> str:
        """SHA-256 over the facts, and the names and bytes of all frames, truths and prompts.

        One that was made before of files that have not changed since is kept (``kept_digests``). DataError where a file
        has changed since it was first read: results stand for the bytes they were made from.
        """
        head = f"{self.name} {len(self.frames)} {len(self.facts)}\n{self.facts}\n"
        named = [(kind, path) for kind, files in self._everything() for path in files]
        return find_digest(head, named, lambda: self._make_digest(head, named), ask=self._refuse_changed)

    def _make_digest(self, head: str, named: Sequence[tuple[str, Path]]) -> str:
        total = hashlib.sha256(head.encode())
        for kind, path in named:
            try:
                content = read_plain(path, largest=LARGEST_IMAGE)
            except OSError as error:
                raise DataError.at(path, found=f"no readable file ({error.strerror})", expected=kind) from error
            self._refuse_changed(path)
            total.update(f"{kind} {path.name} {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()

    def _refuse_changed(self, path: Path) -> os.stat_result | None:
        """Remember what the file is, or compare it with what it was; None: it is not there, which its reader tells."""
        found = ask_disk(path)
        if found is None:
            return None
        now = hash((found.st_size, found.st_mtime_ns, found.st_ino))
        if self._seen.setdefault(path, now) != now:
            raise DataError.at(
                path,
                found=f"other data than were read of video {self.name} before",
                expected="data that stay as they are while they are worked on",
                hint="run the same command again once the data are at rest",
            )
        return found

    def _everything(self) -> Iterable[tuple[str, Sequence[Path]]]:
        yield "frame", self.frames
        for kind, masks in (("truth", self.truths), ("prompt", self.prompts)):
            for index in sorted(masks):
                yield f"{kind} {index}", masks[index]


def open_all(
    names: Sequence[str],
    absence: Callable[[str], DataError | None],
    open_one: Callable[[str], Sample],
    root: Path,
    *,
    partial: bool,
    size: int = 0,
) -> list[Sample]:
    """Open every video in order and raise all problems at once; ``partial`` forgives videos that are absent.

    ``absence(name)`` says why a video is not there, or None. A video that is there but broken is always an error.
    ``size`` is how many videos there must be, where the names are only what the tree itself lists.
    """
    missing = {name: reason for name in names if (reason := absence(name)) is not None}
    expected = max(size, len(names))
    found = len(names) - len(missing)
    absences = list(missing.values()) if not partial or not found else []
    summary = f"{root}: found {found} of {expected} videos" if absences else ""
    if len(names) < size and not partial:
        absences.append(DataError.at(root, found=f"{len(names)} videos", expected=f"all {size}", hint=PARTIAL_HINT))
    samples, broken = [], []
    for name in names:
        if name in missing:
            continue
        try:
            samples.append(open_one(name))
        except DataError as error:
            broken.append(error)
    if broken or absences:
        raise DataProblems([*broken, *absences], samples, summary=summary)  # no option forgives what is broken
    return samples


def absent(folder: Path, what: str, found: str = "no such folder") -> DataError:
    """The error about a video that is not there, or behind a link that leads nowhere."""
    try:
        refuse_dangling(folder, what)
    except DataError as error:
        return error
    return DataError.at(folder, found=found, expected=what, hint=PARTIAL_HINT)
