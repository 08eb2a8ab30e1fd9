"""Growth as pictures, one a method: time and memory over frames, objects and size; with growth.json and growth.csv."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benching.growth import AXES, Axis, GrowthPoint, GrowthReport
from harness.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES: dict[Axis, str] = {"frames": "frames of the video", "objects": "objects", "size": "rows of the picture, 16:9"}


def write_growth(report: GrowthReport, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "growth.json", (report.model_dump_json(by_alias=True, indent=2) + "\n").encode())
    write_atomically(folder / "growth.csv", report.as_csv().encode())
    written = [folder / "growth.json", folder / "growth.csv"]
    for plugin in dict.fromkeys(point.plugin for point in report.points):
        path = folder / f"{plugin}.png"
        draw_growth(path, report, plugin)
        written.append(path)
    return written


def draw_growth(path: Path, report: GrowthReport, plugin: str) -> None:
    """Draw one method as a PNG; matplotlib is imported here, and without a display.

    A column an axis that has several values: above the time of a frame, below the memory. The last column is the memory
    of the process over the frames of the longest video. A point that failed is a cross at the foot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = {axis: report.curve(plugin, axis) for axis in AXES}
    shown = [axis for axis in AXES if len(curves[axis]) > 1]
    figure = Figure(figsize=(4.2 * (len(shown) + 1), 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(shown) + 1, squeeze=False)
    for column, axis in enumerate(shown):
        _draw_curve(grid[0][column], curves[axis], axis, "frame_ms", "ms a frame, model clock")
        _draw_curve(grid[1][column], curves[axis], axis, "added_memory_mib", "MiB that the method takes")
    _draw_over_frames(grid[0][-1], report, plugin)
    grid[1][-1].axis("off")
    grid[1][-1].text(0, 1, _describe(report, plugin), va="top", fontsize="small", wrap=True)
    task = next((point.task for point in report.points if point.plugin == plugin and point.task), "")
    figure.suptitle(f"{plugin}{f', {task}' if task else ''}: growth of time and memory")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": "vos-harness"})
    write_atomically(path, picture.getvalue())


def _draw_curve(axes: Axes, points: Sequence[GrowthPoint], axis: Axis, figure: str, title: str) -> None:
    _draw_line(axes, points, axis, figure, marker="o", label="time" if figure == "frame_ms" else "")
    _mark_failed(axes, points, axis)
    if figure == "frame_ms":
        _draw_line(axes, points, axis, "frame_cpu_ms", marker=".", linestyle="--", label="CPU time")
        axes.legend(fontsize="small")
    axes.set_xticks([point.place_on(axis) for point in points])
    axes.set_xlabel(TITLES[axis])
    axes.set_ylabel(title)
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.grid(alpha=0.3)


def _draw_line(axes: Axes, points: Sequence[GrowthPoint], axis: Axis, figure: str, **look: Any) -> None:
    known = [(point.place_on(axis), getattr(point, figure)) for point in points if getattr(point, figure) is not None]
    axes.plot([place for place, _ in known], [value for _, value in known], **look)


def _mark_failed(axes: Axes, points: Sequence[GrowthPoint], axis: Axis) -> None:
    for state, colour in (("failed", "tab:red"), ("not measured", "tab:gray")):
        places = [point.place_on(axis) for point in points if point.state == state]
        if places:
            foot = axes.get_xaxis_transform()
            axes.plot(
                places,
                [0.04] * len(places),
                "x",
                color=colour,
                markersize=9,
                label=state,
                transform=foot,
                clip_on=False,
            )
            axes.legend(fontsize="small")


def _draw_over_frames(axes: Axes, report: GrowthReport, plugin: str) -> None:
    """The memory of the process in the longest video that was measured."""
    measured = [point for point in report.points if point.plugin == plugin and point.process_mib]
    if measured:
        longest = max(measured, key=lambda point: (point.frames, -point.objects, -point.height))
        axes.plot(*zip(*longest.process_mib, strict=True))
        axes.set_title(f"{longest.width}x{longest.height}, {longest.frames} frames", fontsize="small")
    axes.set_xlabel("frames done")
    axes.set_ylabel("MiB of the process")
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.grid(alpha=0.3)


def _describe(report: GrowthReport, plugin: str) -> str:
    c, (frames, objects, rows) = report.conditions, report.base
    lines = [
        f"Where a thing does not vary: {frames} frames, {objects} object{'s' * (objects > 1)}, {rows} rows.",
        "Each point in a process of its own.",
        f"{c.device}, {c.threads} threads, {c.precision}",
        "" if c.load_average is None else f"load before: {c.load_average:.1f} on {c.cores} cores",
    ]
    failed = [point for point in report.points if point.plugin == plugin and point.state == "failed"]
    lines += [f"{p.width}x{p.height}x{p.frames}, {p.objects}: {' '.join(p.problem.split())[:90]}" for p in failed]
    return "\n".join(line for line in lines if line)
