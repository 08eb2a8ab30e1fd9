"""Our own videos as a benchmark: a folder a video, with the frames in one folder and the masks in another."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import DAVIS_2017, Benchmark, DataError, Sample, hookimpl, natural_key
from harness.api.mask_files import read_mask

VIDEOS = ("harbour", "market")
LAYOUT = "<video>/frames/*.jpg and <video>/masks/*.png of the same names, for " + " and ".join(VIDEOS)


def open_videos(root: Path | None, partial: bool) -> list[Sample]:
    """The videos below ``root`` in official order; DataError for what is missing, unless ``partial`` allows it."""
    there = [name for name in VIDEOS if root and (root / name).is_dir()]
    if root is None or not there or (len(there) < len(VIDEOS) and not partial):
        raise DataError.at(root or "ours-val", found=f"the videos {there}", expected=LAYOUT)
    return [open_video(root / name) for name in there]


def open_video(folder: Path) -> Sample:
    """One video; every frame has its mask. Only the first frame is read now, the rest when it is asked for."""
    frames, masks = list_images(folder / "frames", "jpg"), list_images(folder / "masks", "png")
    names = tuple(path.stem for path in frames)
    unpaired = sorted(set(names) ^ {path.stem for path in masks})
    if unpaired or not frames:
        found = f"{len(frames)} frames, {len(masks)} masks, unpaired: {unpaired[:5]}"
        raise DataError.at(folder, found=found, expected="one mask a frame, of the same name")
    height, width, _ = read_frame(frames[0]).shape
    size = (height, width)
    return Sample(
        name=folder.name,
        length=len(frames),
        height=height,
        width=width,
        frame_names=names,
        read_frame=lambda t: of_size(read_frame(frames[t]), size, frames[t]),
        read_truth=lambda t: of_size(read_mask(masks[t]), size, masks[t]),
        read_prompt=lambda t: of_size(read_mask(masks[t]), size, masks[t]),
        prompt_frames=(0,),
        digest=lambda: digest([*frames, *masks]),
    )


def list_images(folder: Path, ending: str) -> list[Path]:
    """Images in the order of their numbers, 2 before 10; not what macOS keeps beside each (``._00000.jpg``)."""
    return sorted(folder.glob(f"[!.]*.{ending}"), key=lambda path: natural_key(path.name))


def read_frame(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise DataError.at(path, found=f"no readable frame ({error})", expected="a JPEG") from error


def of_size(image: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """The image, if it has the size of the video."""
    if image.shape[:2] != size:
        raise DataError.at(path, found=f"{image.shape[:2]} rows and columns", expected=f"{size}, as the first frame")
    return image


def digest(paths: list[Path]) -> str:
    """SHA-256 over the names and bytes of all files: whatever changes a result changes this."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    """Offer the validation videos, scored as DAVIS 2017 and by a metric of our own."""
    rule = replace(DAVIS_2017, version="ours/1", metrics=("j_and_f", "precision_recall"))
    return [
        Benchmark(
            name="ours-val",
            title="Our videos, validation",
            rules={"one-shot": rule},
            open=open_videos,
            expected=VIDEOS,
            licence="ours",
            layout=LAYOUT,
            manual="ask us for the videos",
        )
    ]
