"""Step ``frames``: whole videos of each method through the runner, in every form, and how far its masks agree.

Two videos of one size, decoded from JPEG files: the first warms up (compiles, tunes), the second is what is told. Masks
are compared with those of the plain form (fp32 without TF32, every kernel its reference).
"""

from __future__ import annotations

import dataclasses
import os
import re
import statistics
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.gpu.pace import Pace
from benchmarks.gpu.rows import FORMS, Task, task_of
from benchmarks.gpu.variants import NOT_REPLACED, Variant, variants_of
from harness.api.contracts import Benchmark
from harness.api.mask_files import read_mask
from harness.api.records import VideoFailure, VideoResult
from harness.api.timing import Kernel
from harness.api.video import Sample
from harness.benching.clip import Clip, benchmark_of
from harness.catalog import Catalog, Source
from harness.datasets.files import read_image
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import Sessions

VIDEOS = ("warm-up", "told")
LENGTHS, PLAIN_LENGTHS = (24, 60), (3, 20)
"""Frames of both: of plain forms as few as their agreement needs (selfsup searches otherwise beyond 15)."""


def main(task: Task) -> None:
    """The variants of one group, as many as there is time for."""
    pace = Pace(task.seconds)
    catalog = Catalog.load()
    clip = Clip(48, 64, 11, 2) if task.tiny else Clip(480, 854, max(LENGTHS), 2)
    with tempfile.TemporaryDirectory() as scratch:
        samples = videos_on_disk(clip, Path(scratch) / "frames")
        plain: Path | None = None
        forms = os.environ.get(FORMS, "")
        asked = [each for each in variants_of(task.asked, catalog) if each.is_plain or re.search(forms, each.label)]
        for number, variant in enumerate(asked):
            if variant.needs_cuda and not task.is_cuda:
                task.rows.add("skipped", what=variant.label, why="only worth it on a GPU")
                continue
            if not pace.fits:
                task.rows.add("skipped", what=variant.label, why="out of time")
                continue
            out = Path(scratch) / f"variant-{number}"
            try:
                lengths = PLAIN_LENGTHS if variant.is_plain else LENGTHS
                with pace.time_one():
                    made = run_variant(variant, benchmark_with(samples, lengths), catalog, task.device, out)
                agreement = None if plain is None or variant.is_plain else agreement_of(plain, out)
                task.rows.add("frames", form=variant.label, **made, **(agreement or {}))
                plain = out if variant.is_plain else plain
            except Exception as error:
                traceback.print_exc()
                task.rows.add("frames", form=variant.label, problem=f"{type(error).__name__}: {error}"[:400])
                refuse_dead_device(task.device)


def refuse_dead_device(device: str) -> None:
    """Raise where the device answers nothing any more: nothing measured in this process could be trusted."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def videos_on_disk(clip: Clip, folder: Path) -> list[Sample]:
    """The generated clip twice, as JPEG files that are read as a dataset reads them."""
    benchmark = benchmark_of(clip)
    (sample,) = benchmark.open(None, False)
    folder.mkdir()
    for t in range(clip.frames):
        cv2.imwrite(str(folder / f"{t:05d}.jpg"), sample.read_frame(t)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])

    def read(frame: int) -> np.ndarray:
        return read_image(folder / f"{frame:05d}.jpg", "RGB")

    return [dataclasses.replace(sample, name=name, read_frame=read) for name in VIDEOS]


def benchmark_with(samples: Sequence[Sample], lengths: Sequence[int]) -> Benchmark:
    """A benchmark of the videos, each cut to so many frames."""
    cut = [
        dataclasses.replace(
            sample, length=min(length, sample.length), frame_names=sample.frame_names[: min(length, sample.length)]
        )
        for sample, length in zip(samples, lengths, strict=True)
    ]
    return dataclasses.replace(benchmark_of(Clip()), open=lambda root, partial: cut, expected=VIDEOS)


def run_variant(variant: Variant, benchmark: Benchmark, catalog: Catalog, device: str, out: Path) -> dict[str, Any]:
    """Both videos in one session; figures of the second, and of the very first frame."""
    view = catalog.with_benchmark(benchmark, Source("clip", __name__, "vos-harness", ""))
    request = Request(
        plugin=variant.plugin,
        bench="clip",
        preset=variant.preset,
        overrides=variant.settings,
        weights=variant.weights,
        device=device,
        precision=variant.precision,
    )
    plan = resolve(request, view)
    start = time.perf_counter()
    with plain_kernels(plan.method.kernels() if variant.is_plain else ()):
        session = Sessions(plan, view, out).open()
        built = time.perf_counter() - start
        cold = _demand_result(session.work_through(VIDEOS[0]))
        start = time.perf_counter()
        told = _demand_result(session.work_through(VIDEOS[1]))
        wall = time.perf_counter() - start
        session.close()
    laps, e2e = told.timing.model, told.timing.e2e
    steady = laps[min(10, len(laps) // 2) :]  # all references are there
    stages = {name: round(stage.seconds / stage.calls * 1e3, 3) for name, stage in told.timing.stages.items()}
    return {
        "model_fps_p50": round(1 / statistics.median(steady), 1),
        "model_fps_mean": round(len(steady) / sum(steady), 1),
        "worst_ms": round(max(steady) * 1e3, 2),
        "first_frame_ms": round(laps[0] * 1e3, 2),
        "e2e_fps_p50": round(1 / statistics.median(e2e[1:]), 1),
        "run_fps": round(len(laps) / wall, 1),
        "peak_mib": None if told.timing.added_memory_mib is None else round(told.timing.added_memory_mib, 1),
        "build_s": round(built, 2),
        "warm_up_video_s": round(sum(cold.timing.model), 2),
        "stages_ms": stages,
    }


def _demand_result(outcome: VideoResult | VideoFailure) -> VideoResult:
    if isinstance(outcome, VideoFailure):
        raise RuntimeError(f"{outcome.kind}: {outcome.message}\n{outcome.traceback[-3000:]}")
    return outcome


@contextmanager
def plain_kernels(kernels: Any) -> Iterator[None]:
    """Let each kernel be its plain reference inside."""
    replaced: list[Kernel[..., Any]] = [kernel for kernel in kernels if kernel.name not in NOT_REPLACED]
    fast = [kernel.function for kernel in replaced]
    for kernel in replaced:
        kernel.function = kernel.reference
    try:
        yield
    finally:
        for kernel, function in zip(replaced, fast, strict=True):
            kernel.function = function


def agreement_of(plain: Path, other: Path) -> dict[str, Any]:
    """Share of pixels with the plain form's id: over those frames of the second video that the plain form did, and on
    frame 1 alone."""
    names = sorted(path.name for path in (plain / "masks" / VIDEOS[1]).glob("*.png"))
    shares = []
    for name in names:
        before, after = (read_mask(folder / "masks" / VIDEOS[1] / name) for folder in (plain, other))
        shares.append(float(np.mean(before == after)))
    return {"same_pixels": round(statistics.mean(shares), 6), "same_pixels_frame_1": round(shares[1], 6)}


if __name__ == "__main__":
    main(task_of())
