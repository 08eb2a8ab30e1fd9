"""Step ``clocks``: the model clock against a wall clock that waits for the device, and against its own stages.

On a GPU also against a delay of known length, and against the profiler-free truth that laps cannot sum to more than the
time between the first and the last.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks.gpu.rows import Task, task_of
from harness.api.contracts import BuildContext
from harness.api.timing import Stopwatch, stage
from harness.api.video import Prompts, Video
from harness.benching.clip import Clip, benchmark_of
from harness.catalog import Catalog
from harness.machine import work_on
from harness.planning.plan import resolve
from harness.planning.request import Request

PRECISIONS = ("fp32", "bf16")


def main(task: Task) -> None:
    """Rows of agreements; each is one claim with its two sides."""
    if task.is_cuda:
        check_known_delay(task)
    clip = Clip(64, 96, 8) if task.tiny else Clip(480, 854, 40)
    for method in ("tvos", "selfsup"):
        for precision in PRECISIONS if task.is_cuda else PRECISIONS[:1]:
            frames_by_three_clocks(task, method, precision, clip)


def check_known_delay(task: Task) -> None:
    """A kernel that counts cycles, by events and by a wall clock that waits."""
    torch.cuda._sleep(1_000_000)
    torch.cuda.synchronize()
    for cycles in (2_000_000, 20_000_000):
        watch = Stopwatch(task.device)
        start = time.perf_counter()
        with watch.lap(), stage("sleep"):
            torch.cuda._sleep(cycles)
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
        reading = watch.read()
        task.rows.add(
            "clocks",
            what=f"a delay of {cycles} cycles",
            events_ms=round(reading.laps[0] * 1e3, 4),
            wall_ms=round(wall * 1e3, 4),
            stages_ms=round(reading.stages["sleep"][1] * 1e3, 4),
            holds=reading.stages["sleep"][1] <= reading.laps[0] <= wall,
        )


def frames_by_three_clocks(task: Task, method: str, precision: Any, clip: Clip) -> None:
    """Frames one at a time with a wait between (three clocks agree), then all in a row (laps lie in the whole)."""
    walls, watch = _play(task.device, method, precision, clip, wait=True)
    reading = watch.read()
    steady = slice(len(walls) // 2, None)
    lap, wall = statistics.median(reading.laps[steady]), statistics.median(walls[steady])
    inside = sum(seconds for _, seconds in reading.stages.values())
    task.rows.add(
        "clocks",
        what=f"{method} {precision}, a wait after each frame",
        events_ms=round(lap * 1e3, 4),
        wall_ms=round(wall * 1e3, 4),
        stages_ms=round(inside / len(reading.laps) * 1e3, 4),
        laps_ms=round(sum(reading.laps) / len(reading.laps) * 1e3, 4),
        holds=lap <= wall and inside <= sum(reading.laps) + 1e-4 * len(reading.laps),
    )
    walls, watch = _play(task.device, method, precision, clip, wait=False)
    reading = watch.read()
    whole = sum(walls)
    task.rows.add(
        "clocks",
        what=f"{method} {precision}, frames in a row",
        events_ms=round(statistics.median(reading.laps[steady]) * 1e3, 4),
        wall_ms=round(whole / len(walls) * 1e3, 4),
        laps_ms=round(sum(reading.laps) / len(reading.laps) * 1e3, 4),
        holds=sum(reading.laps) <= whole + 1e-3,
    )


@torch.inference_mode()
def _play(device: str, name: str, precision: Any, clip: Clip, *, wait: bool) -> tuple[list[float], Stopwatch]:
    """Wall seconds of each frame, and the stopwatch; frames lie on the device already."""
    plan = resolve(Request(plugin=name, bench="mini-small", device=device, precision=precision), Catalog.load())
    built = plan.method.build(
        BuildContext("one-shot", plan.config, device, precision, plan.weights_path, plan.request.seed)
    )
    (sample,) = benchmark_of(clip).open(None, False)
    frames = [torch.from_numpy(sample.read_frame(t)).to(device) for t in range(sample.length)]
    assert sample.read_prompt is not None
    prompts = Prompts({0: torch.from_numpy(sample.read_prompt(0)).to(device)})
    for _ in range(2):  # the first video warms up
        video = Video(
            name="video", length=sample.length, height=sample.height, width=sample.width, read=frames.__getitem__
        )
        watch, walls = Stopwatch(device), []
        masks = iter(built.propagate(video, prompts))
        _synchronise(device)
        before = time.perf_counter()
        for _ in frames:
            start = time.perf_counter()
            with watch.lap():
                next(masks)
            if wait:
                _synchronise(device)
            walls.append(time.perf_counter() - start)
        _synchronise(device)
        if not wait:  # what was queued counts too
            walls = [(time.perf_counter() - before) / len(frames)] * len(frames)
    return walls, watch


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    task = task_of()
    with work_on(task.device):  # as the harness has it: fp32 is not rounded to TF32
        main(task)
