"""J on videos kept out of training: python -m harness_selfsup.recipe.held_out --data DIR FILE.safetensors ...

The method itself runs, on a few frames of each video; masks are read here and nowhere else in the recipe.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from harness import BuildContext, DataError, Prompts, Video
from harness_selfsup.config import CORRECT, Config
from harness_selfsup.method import build

HELD_OUT = ("motorbike", "rollerblade", "surf")


@click.command()
@click.argument("weights", nargs=-1, required=True)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--temperature", "temperatures", type=float, multiple=True, default=(1.0,), show_default=True)
@click.option("--frames", type=int, default=12, show_default=True, help="At most so many of a video.")
@click.option("--every", type=int, default=3, show_default=True, help="Take every so-manieth frame.")
def main(weights: tuple[str, ...], data: Path, temperatures: tuple[float, ...], frames: int, every: int) -> None:
    """Print J by video, for each file (``copy``: the first mask copied; ``untrained``: no weights) and temperature."""
    videos = {name: read_video(data, name, frames, every) for name in HELD_OUT}
    click.echo("weights\ttemperature\t" + "\t".join([*HELD_OUT, "mean"]))
    for file in weights:
        for temperature in temperatures if file != "copy" else (1.0,):
            config = replace(CORRECT, temperature=temperature)
            found = [similarity(file, config, *video) for video in videos.values()]
            row = "\t".join(f"{value:.3f}" for value in [*found, float(np.mean(found))])
            click.echo(f"{file}\t{temperature:g}\t{row}")


def read_video(root: Path, name: str, frames: int, every: int) -> tuple[torch.Tensor, NDArray[np.uint8]]:
    """Every ``every``-th frame, at most ``frames``: (T, H, W, 3) uint8 RGB and the masks (T, H, W), 0 and 1."""
    images = sorted(root.glob(f"JPEGImages/*/{name}/*.jpg"))[::every][:frames]
    masks = sorted(root.glob(f"Annotations/*/{name}/*.png"))[::every][:frames]
    if len(images) < 3 or len(images) != len(masks):
        raise DataError(
            f"{root}: every {every}th frame of video {name!r} is {len(images)} frames and {len(masks)} masks; "
            "expected 3 or more, as many of both",
            hint="give --data the folder that holds JPEGImages and Annotations",
        )
    rgb = [np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1] for path in images]
    truth = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for path in masks]
    return torch.from_numpy(np.stack(rgb)), np.stack(truth).astype(np.uint8)


def similarity(file: str, config: Config, frames: torch.Tensor, truth: NDArray[np.uint8]) -> float:
    """The mean J of the frames between the first and the last; two empty masks count as 1."""
    masks = np.repeat(truth[:1], len(truth), 0) if file == "copy" else propagate_masks(file, config, frames, truth[0])
    inner = slice(1, -1)
    intersection = (masks & truth)[inner].sum((1, 2))
    union = (masks | truth)[inner].sum((1, 2))
    return float(np.where(union == 0, 1.0, intersection / np.maximum(union, 1)).mean())


def propagate_masks(file: str, config: Config, frames: torch.Tensor, first: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The masks (T, H, W) that the method gives."""
    weights = None if file == "untrained" else Path(file)
    method = build(BuildContext("one-shot", config, "cpu", "fp32", weights, 0))
    height, width = first.shape
    video = Video(name="held-out", length=len(frames), height=height, width=width, read=frames.__getitem__)
    masks = method.propagate(video, Prompts({0: torch.from_numpy(first)}))
    return np.stack([mask.numpy() for mask in masks])


if __name__ == "__main__":
    main()
