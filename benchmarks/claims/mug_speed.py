"""What a frame of MuG costs beside its plain forms: python -m benchmarks.claims.mug_speed --data DAVIS.

CPU seconds of one thread, fast and plain by turns in one process, the least of a few: what else runs hardly counts.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.claims.mug_granularities import reader_of
from harness import BuildContext, Video
from harness.catalog import Catalog
from harness.machine import PeakMemory
from harness_mug import WEIGHTS
from harness_mug.config import OBJECT, ObjectConfig
from harness_mug.kernels import REFERENCES, aggregate, aggregate_plain
from harness_mug.method import Foreground, foreground_of

SIZES = {"preset small, frames to 448x256": OBJECT, "frames to 848x480": replace(OBJECT, stretch=(480, 848))}
GRIDS = ((16, 28), (30, 53), (60, 107))
"""Cells of preset small, of 480 lines at its sixteenth, and at an eighth."""


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--video", default="dog", show_default=True)
@click.option("--frames", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
def main(data: Path, video: str, frames: int, repeats: int) -> None:
    """Print both forms of whole frames, and of attention alone with its memory."""
    torch.set_num_threads(1)
    samples = Catalog.load().benchmarks.get("davis16-val").open(data, True)
    sample = next(each for each in samples if each.name == video)
    shown = Video(name="v", length=sample.length, height=sample.height, width=sample.width, read=reader_of(sample))
    click.echo("| | network, fast | plain | CRF, fast | plain | times faster | without CRF | same pixels |")
    click.echo("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, config in SIZES.items():
        click.echo(compare(name, config, shown, frames, repeats))
    click.echo("\n| attention, cells | fast s | plain s | fast MiB | plain MiB |\n| --- | --- | --- | --- | --- |")
    for grid in GRIDS:
        click.echo(attend(grid, repeats))


def compare(name: str, config: ObjectConfig, video: Video, frames: int, repeats: int) -> str:
    """One line: both forms, by turns."""
    forms = [build(replace(config, plain=plain)) for plain in (False, True)]
    found: list[list[tuple[float, float]]] = [[], []]
    same = 1.0
    for _ in range(repeats):
        masks = []
        for form, times in zip(forms, found, strict=True):
            network, crf, made = clock(form, video, frames)
            times.append((network, crf))
            masks.append(made)
        same = min(same, float((masks[0] == masks[1]).float().mean()))
    fast, plain = (np.array(times).min(0) for times in found)
    figures = [f"{each:.3f}" for each in (fast[0], plain[0], fast[1], plain[1])]
    ratios = [f"{plain.sum() / fast.sum():.1f}", f"{plain[0] / fast[0]:.2f}", f"{same:.6f}"]
    return f"| {name} | " + " | ".join(figures + ratios) + " |"


def build(config: ObjectConfig) -> Foreground:
    """With the shipped weights."""
    return foreground_of(BuildContext("object-zvos", config, "cpu", "fp32", WEIGHTS[0].path, 0))


@torch.inference_mode()
def clock(form: Foreground, video: Video, frames: int) -> tuple[float, float, torch.Tensor]:
    """CPU seconds a frame of the network and of the CRF, and the masks; references are looked at before."""
    begun = form.source.begin(video)
    start = time.process_time()
    rated = [form.source.rate(video[t], t, begun) for t in range(frames)]
    between = time.process_time()
    masks = [form.decide(video[t], each) for t, each in enumerate(rated)]
    return (between - start) / frames, (time.process_time() - between) / frames, torch.stack(masks)


@torch.inference_mode()
def attend(grid: tuple[int, int], repeats: int) -> str:
    """One line: attention of a frame of ``grid`` with all references; the fast form first, whose memory is measured."""
    query = torch.randn(grid[0] * grid[1], 64, generator=torch.Generator().manual_seed(0))
    keys = query.repeat(REFERENCES, 1)
    seconds, mib = [], []
    for form in (aggregate, aggregate_plain):
        memory, times = PeakMemory("cpu"), []
        for _ in range(repeats):
            start = time.process_time()
            form(query, keys, keys)
            times.append(time.process_time() - start)
        seconds.append(min(times))
        mib.append(memory.read() or 0)
    return f"| {grid[0]}x{grid[1]} | {seconds[0]:.4f} | {seconds[1]:.4f} | {mib[0]:.0f} | {mib[1]:.0f} |"


if __name__ == "__main__":
    main()
