"""Step ``e2e``: where a frame goes that is no model's: each part of a run by itself, and decoding by several threads.

The ``e2e`` clock adds decoding, moving, the model and moving back as if nothing overlapped; a run hides what it can.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.frames import videos_on_disk
from benchmarks.gpu.rows import Task, task_of
from harness.api.mask_files import ids_in, write_mask
from harness.api.video import Sample
from harness.benching.clip import Clip, ids_of
from harness.catalog import Catalog

THREADS = (1, 2, 4, 8, 12)


def main(task: Task) -> None:
    """Milliseconds of each part, and frames a second of so many threads."""
    clip = Clip(48, 64, 8, 2) if task.tiny else Clip(480, 854, 60, 2)
    with tempfile.TemporaryDirectory() as scratch:
        (sample, _) = videos_on_disk(clip, Path(scratch) / "frames")
        for part, work in parts(task, clip, sample, Path(scratch)).items():
            work(0)
            seconds = [time_call(work, frame) for frame in range(1, clip.frames)]
            task.rows.add(
                "parts of a frame",
                part=part,
                ms=round(statistics.median(seconds) * 1e3, 3),
                worst_ms=max(seconds) * 1e3,
            )
        for threads in THREADS:
            with ThreadPoolExecutor(threads) as pool:
                start = time.perf_counter()
                list(pool.map(sample.read_frame, range(clip.frames)))
                rate = clip.frames / (time.perf_counter() - start)
            task.rows.add("decoding", threads=threads, frames_a_second=round(rate, 1))


def time_call(work: Callable[[int], object], frame: int) -> float:
    """Seconds of one call; what it queued on the device is waited for in it."""
    start = time.perf_counter()
    work(frame)
    return time.perf_counter() - start


def parts(task: Task, clip: Clip, sample: Sample, scratch: Path) -> dict[str, Callable[[int], object]]:
    """What a run does with each frame beside its model."""
    frames = [torch.from_numpy(np.ascontiguousarray(sample.read_frame(frame))) for frame in range(clip.frames)]
    masks = [ids_of(clip, frame) for frame in range(clip.frames)]
    there = [torch.from_numpy(mask).to(task.device) for mask in masks]
    catalog = Catalog.load()
    scored = catalog.benchmarks.get("davis17-val").rules["one-shot"]
    truths = dataclasses.replace(sample, read_truth=masks.__getitem__, length=clip.frames)
    measurement = catalog.metrics.get("j_and_f").start(truths, scored)

    def move(frame: int) -> None:
        moved = frames[frame].pin_memory() if task.is_cuda else frames[frame]
        moved.to(task.device, non_blocking=True)
        if task.is_cuda:
            torch.cuda.synchronize(task.device)

    return {
        "decode a JPEG": sample.read_frame,
        "pin and move to the device": move,
        "mask to host memory": lambda frame: there[frame].cpu(),
        "ids of a mask": lambda frame: ids_in(masks[frame]),
        "measure J and F": lambda frame: measurement.add(frame, masks[frame], masks[frame]),
        "write a PNG": lambda frame: write_mask(scratch / "mask.png", masks[frame]),
    }


if __name__ == "__main__":
    main(task_of())
