"""The learning curve as a picture of two parts, as Figure 3 of Zhu et al. 2020: what is learnt from, and the truth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import write_atomically
from harness.learning_curve.curve import Curve, Figures, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 12
"""Up to so many videos have a line of their own."""


def draw(path: Path, curve: Curve, title: str) -> None:
    """Draw the curve as a PNG; matplotlib is imported here, and without a display.

    Thick: over all videos, with a band of one standard deviation over seeds. Thin: single videos. Dashed: the masks
    that are learnt from, against the truth.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for name in curve.videos if 1 < len(curve.videos) <= NAMED else ():
        _draw_line(left, right, curve.points(name), curve.main, name, is_thick=False)
    _draw_line(left, right, curve.points(), curve.main, "all videos", is_thick=True)
    left.set_title("(a) against the masks it learns from")
    right.set_title("(b) against the truth; dashed: the masks it learns from")
    left.set_ylabel(curve.main)
    left.legend(loc="lower right", fontsize="small")
    for axes in (left, right):
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": "vos-harness"})
    write_atomically(path, picture.getvalue())


def _draw_line(left: Axes, right: Axes, points: list[Point], column: str, name: str, *, is_thick: bool) -> None:
    start, learnt = points[0], points[1:]
    iterations = [point.iteration for point in learnt]
    look = {"linewidth": 2.5, "color": "black", "zorder": 3} if is_thick else {"linewidth": 1}
    (drawn,) = left.plot(iterations, [_number(point.learnt, column) for point in learnt], label=name, **look)
    values = [_number(point.truth, column) for point in learnt]
    right.plot(iterations, values, **look | {"color": drawn.get_color()})
    right.axhline(_number(start.truth, column), linestyle="--", **look | {"color": drawn.get_color()})
    if is_thick and start.spread:
        reach = [_number(point.spread, column) for point in learnt]
        low, high = ([v + sign * r for v, r in zip(values, reach, strict=True)] for sign in (-1, 1))
        right.fill_between(iterations, low, high, color="black", alpha=0.2)


def _number(figures: Figures, column: str) -> float:
    """A figure to be drawn; a gap where there is none."""
    value = figures.get(column)
    return float("nan") if value is None else value
