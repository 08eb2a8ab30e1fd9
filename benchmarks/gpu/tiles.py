"""Step ``tiles``: each tile of the Triton propagation on nine references of 60 x 107, and blocks of fused convolutions.

What is found here orders ``HELD`` and ``LOOPED`` of harness/ops/propagation_cuda.py: a method tunes nothing itself.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.util
import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.gpu.rows import Task, task_of

SIZE = (60, 107)
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "tf32": torch.float32}
CASES = (("bf16", 256), ("bf16", 80), ("fp32", 256), ("tf32", 256), ("fp32", 80), ("bf16", 1024))


def main(task: Task) -> None:
    """Milliseconds of every tile, then of the network with and without fused convolutions."""
    if not task.is_cuda or importlib.util.find_spec("triton") is None:
        task.rows.add("skipped", what="tiles of the propagation", why="needs a CUDA device and Triton")
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    compile_all()
    for precision, channels in CASES[:3]:
        time_tiles(task, precision, channels)
    for architecture in ("r50", "r18"):
        for precision in ("bf16", "fp32", "tf32", "fp16"):
            time_network(task, architecture, precision)
    for precision, channels in CASES[3:]:
        time_tiles(task, precision, channels)


def candidates(precision: str, channels: int) -> Iterator[Any]:
    """Tiles that fit or nearly fit; those that do not are said so."""
    from harness.ops.propagation_cuda import HELD, MOST_HELD, Tile

    is_held = DTYPES[precision].itemsize == 2 and channels <= MOST_HELD
    if is_held or precision == "tf32" or channels < 128:
        yield from (*HELD[:3], Tile(128, 32, 8, 3, 0, 1))
    if not is_held:
        yield from (Tile(128, 128, 8, 3, 128, 1), Tile(128, 64, 8, 3, 128, 1), Tile(128, 64, 8, 4, 128, 1))


def compile_all() -> None:
    """Compile all of them at once into Triton's cache on disk: one after the other takes some four seconds each."""
    every = [(precision, channels, tile) for precision, channels in CASES for tile in candidates(precision, channels)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(14, os.cpu_count() or 1), context) as pool:
        list(pool.map(compile_one, every))


def compile_one(case: tuple[str, int, Any]) -> None:
    """Run one tile once; what is wrong with it is said where it is timed."""
    precision, channels, tile = case
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    with contextlib.suppress(Exception):
        run_once(*make_given(precision, channels), tile, None)


Given = tuple[torch.Tensor, torch.Tensor]


def make_given(precision: str, channels: int) -> Given:
    """Ten frames of features, and nine of labels."""
    pixels = math.prod(SIZE)
    generator = torch.Generator("cuda").manual_seed(0)
    features = torch.randn(10, pixels, channels, device="cuda", generator=generator) * (90 / channels) ** 0.5
    labels = (torch.rand(9, 1, pixels, device="cuda", generator=generator) < 0.3).float()
    return features.to(DTYPES[precision]), torch.cat([1 - labels, labels], 1)


def run_once(features: torch.Tensor, labels: torch.Tensor, tile: Any, splits: int | None) -> None:
    """Propagate once."""
    from harness.ops.propagation_cuda import propagate_fused

    slots = torch.arange(9, device="cuda")
    sigmas = torch.full((9,), 8.0, device="cuda", dtype=torch.float64)
    propagate_fused(features[0], features[1:], labels, slots, sigmas, size=SIZE, tile=tile, splits=splits)


def time_tiles(task: Task, precision: str, channels: int) -> None:
    """One row a tile, and of the best tile one for each of other numbers of splits."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    given = make_given(precision, channels)
    work = 2e-9 * 9 * math.prod(SIZE) ** 2 * channels

    def run(tile: Any, splits: int | None) -> float | None:
        named = {"precision": precision, "channels": channels, "tile": str(tuple(tile)), "splits": splits}
        try:
            ms = milliseconds(lambda: run_once(*given, tile, splits))
        except Exception as error:
            task.rows.add("tiles", **named, problem=f"{type(error).__name__}: {error}"[:200])
            return None
        task.rows.add("tiles", **named, ms=round(ms, 4), tflop_a_second=round(work / ms, 1))
        return ms

    timed = {tile: run(tile, None) for tile in candidates(precision, channels)}
    best = min((tile for tile, ms in timed.items() if ms), key=lambda tile: timed[tile] or 0.0, default=None)
    for splits in (2, 3, 5, 8) if best is not None else ():
        run(best, splits)
    torch.backends.cuda.matmul.allow_tf32 = False


def time_network(task: Task, architecture: Any, precision: str) -> None:
    """The folded network at 480p: channels last and first, fused and not, each as a CUDA graph (no launch overhead)."""
    from harness_tvos.network import build_network, for_inference
    from harness_tvos.speed.fused_blocks import fuse_activations

    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    images = torch.randn(1, 3, 480, 854, device="cuda")
    for form in ("as it is", "fused", "channels first"):
        kind: Any = "fp32" if precision == "tf32" else precision
        network = for_inference(build_network(architecture), "cuda", kind, fused=False)
        if form == "fused":
            fuse_activations(network.network)
        given, inner = images.to(network.dtype), network.network
        layout = torch.contiguous_format if form == "channels first" else torch.channels_last
        inner, given = inner.to(memory_format=layout), given.to(memory_format=layout)  # type: ignore[call-overload]
        row = {"architecture": architecture, "precision": precision, "form": form}
        for benchmarked in (False, True):
            torch.backends.cudnn.benchmark = benchmarked
            try:
                with torch.inference_mode():
                    eager = milliseconds(lambda: inner(given))  # noqa: B023
                    replayed = milliseconds(capture(lambda: inner(given)).replay)  # noqa: B023
                task.rows.add(
                    "networks",
                    **row,
                    cudnn_benchmark=benchmarked,
                    eager_ms=round(eager, 3),
                    graph_ms=round(replayed, 3),
                )
            except Exception as error:
                task.rows.add("networks", **row, problem=f"{type(error).__name__}: {error}"[:200])
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False


def capture(work: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """``work``, which has run before, as a graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def milliseconds(work: Callable[[], Any], rounds: int = 12) -> float:
    """The median of some runs after two that warm up, by events on the device."""
    for _ in range(2):
        work()
    marks = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        marks.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in marks)


if __name__ == "__main__":
    main(task_of())
