"""Step ``training``: each method that can be trained learns on generated videos for a while, by ``harness train``.

It is stopped as a person would stop it (SIGINT); what is told comes from its log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.gpu.pace import Pace
from benchmarks.gpu.rows import Task, task_of
from harness.catalog import Catalog

TINY = {"batch": 2, "crop": 64, "size": 64, "architecture": "r18", "iterations": 2, "epochs": 1}
"""For a machine without a GPU, what of these a training's config knows by that name and type."""
VIDEOS = 12
"""Of mini-train, the first ones: all 96 are drawn anew in each process that makes batches."""
LEAST = 12.0
"""Seconds of a training, its start counted in, under which it shows nothing."""


def main(task: Task) -> None:
    """bf16 for every learner, then fp16; each gets its share of the time."""
    learners = [card for card in Catalog.load().methods if card.training is not None]
    seen = {_work_of(card): card for card in reversed(learners)}
    cards = [card for card in learners if seen[_work_of(card)] is card]
    precisions = ("bf16", "fp16") if task.is_cuda else ("fp32",)
    rounds = [(card, precision) for precision in precisions for card in cards]
    pace = Pace(task.seconds)
    for number, (card, precision) in enumerate(rounds):
        share = share_of(task.seconds, pace.left, number, len(cards))
        if number >= len(cards) and share < LEAST:
            task.rows.add("skipped", what=f"training {card.name} in {precision}", why="out of time")
            continue
        task.rows.add("training", method=card.name, precision=precision, **train(task, card, precision, share))


def _work_of(card: Any) -> Any:
    """What builds a card's learners: forms of one method share it."""
    return card.training.build or card.training.stages


def share_of(seconds: float, left: float, number: int, learners: int) -> float:
    """Seconds of training ``number``: two fifths of all are kept for fp16, if they are enough for each learner."""
    second = 0.4 * seconds if 0.4 * seconds >= LEAST * learners else 0.0
    return (left - second) / (learners - number) if number < learners else left / (2 * learners - number)


def train(task: Task, card: Any, precision: str, seconds: float) -> dict[str, Any]:
    """Train for about so many seconds; what the log says, or what went wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "training"
        command = [sys.executable, "-m", "harness", "train", "--plugin", card.name, "--data", "mini-train"]
        command += ["--device", task.device, "--precision", precision, "--validate", "none", "--out", str(out)]
        command += ["--log-every", "1" if task.tiny else "2", "--videos", ",".join(first_videos())]
        if task.is_cuda:
            command += ["--workers", str(min(12, os.cpu_count() or 1))]
        if task.tiny:
            command += [part for name, value in tiny_of(card.training.config) for part in ("--set", f"{name}={value}")]
        log = Path(scratch) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            ended = _stop_after(process, out / "log.jsonl", seconds, 0.0 if task.is_cuda else 90.0)
        lines = [line for line in _lines(out / "log.jsonl") if line.get("kind") == "train"]
        if not lines:
            return {"problem": f"exit {ended}: {log.read_text(errors='replace')[-1500:]}"}
        return {**sum_up(lines), "ended": ended} | (
            {} if ended in (0, 130, -signal.SIGKILL) else {"problem": f"exit {ended}"}
        )


def tiny_of(config: type) -> Iterator[tuple[str, object]]:
    """What of ``TINY`` a config has by that name and type, and takes."""
    hints = typing.get_type_hints(config)
    for each in fields(config):
        choices = typing.get_args(hints[each.name]) if typing.get_origin(hints[each.name]) is typing.Literal else ()
        value = TINY.get(each.name)
        if each.name in TINY and type(value) is type(each.default) and (not choices or value in choices):
            yield each.name, value


def first_videos() -> list[str]:
    """Names of the first videos of mini-train."""
    samples = Catalog.load().benchmarks.get("mini-train").open(None, False)
    return [sample.name for sample in samples[:VIDEOS]]


def _stop_after(process: subprocess.Popen[bytes], log: Path, seconds: float, patience: float) -> int:
    """Interrupt it once ``seconds`` are over, though not before its first lines; kill what does not end then."""
    start = time.monotonic()
    while process.poll() is None:
        waited = time.monotonic() - start
        if waited > seconds and (len(_lines(log)) > 1 or waited > seconds + patience):
            break
        time.sleep(0.2)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=4 if log.exists() else 1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def sum_up(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """First and last loss, speed of the steps after the first lines, and the largest memory."""
    later = lines[len(lines) // 2 :]
    seconds = sum(line["seconds_an_iteration"] for line in later) / len(later)
    waited = sum(line["seconds_waiting_for_batches"] for line in later) / len(later)
    return {
        "iterations": lines[-1]["iteration"],
        "first_loss": lines[0]["losses"].get("loss"),
        "last_loss": lines[-1]["losses"].get("loss"),
        "iterations_a_second": round(1 / seconds, 3) if seconds else None,
        "waiting_for_batches": round(waited / seconds, 3) if seconds else None,
        "peak_mib": lines[-1].get("peak_memory_mib"),
    }


if __name__ == "__main__":
    main(task_of())
