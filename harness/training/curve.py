"""The curves of a training as one picture: losses, learning rate, validation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.files import write_atomically
from harness.training.log import by_stage


def draw_curve(path: Path, lines: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw the lines of a log as a PNG; matplotlib is imported here, and without a display."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines, begins = in_one_row(lines)
    train = [line for line in lines if line.get("kind") == "train"]
    scored = [line for line in lines if line.get("kind") == "validation" and line.get("score") is not None]
    figure = Figure(figsize=(8, 8 if scored else 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3 if scored else 2, 1, sharex=True, height_ratios=[3, 1, 2][: 3 if scored else 2])
    for name in dict.fromkeys(name for line in train for name in line["losses"]):
        points = [(line["iteration"], line["losses"].get(name)) for line in train]
        axes[0].plot(*_columns(points), label=name, linewidth=2 if name == "loss" else 1)
    axes[0].set_ylabel("mean since the last line")
    if train:
        axes[0].legend(loc="upper right")
    axes[1].plot(*_columns([(line["iteration"], line["lr"]) for line in train]))
    axes[1].set_ylabel("learning rate")
    if scored:
        axes[2].plot(*_columns([(line["iteration"], line["score"]) for line in scored]), marker="o")
        axes[2].set_ylabel(f"{scored[-1]['metric']} on {scored[-1]['benchmark']}")
    axes[-1].set_xlabel("iteration")
    for axis in axes:
        axis.grid(alpha=0.3)
        for begin in begins.values():
            axis.axvline(begin, color="0.5", linestyle="--", linewidth=1)
    for stage, begin in begins.items():
        axes[0].annotate(stage, (begin, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize="small")
    figure.suptitle(title)
    picture = io.BytesIO()
    with rc_context({"text.parse_math": False}):  # a figure's name may hold any sign
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": "vos-harness"})
    write_atomically(path, picture.getvalue())


def in_one_row(lines: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], dict[str, int]]:
    """The lines with iterations counted over all stages, and where each stage that has a name begins."""
    row: list[Mapping[str, Any]] = []
    begins: dict[str, int] = {}
    before = 0
    for stage, told in by_stage(lines).items():
        if stage:
            begins[stage] = before
        row += [{**line, "iteration": before + line["iteration"]} for line in told]
        before = row[-1]["iteration"]
    return row, begins


def _columns(points: Sequence[tuple[int, float | None]]) -> tuple[list[int], list[float]]:
    """Iterations and values, without what is not there."""
    there = [(iteration, value) for iteration, value in points if value is not None]
    return [iteration for iteration, _ in there], [value for _, value in there]
