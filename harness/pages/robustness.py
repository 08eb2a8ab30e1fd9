"""The page of a benchmark's corruptions: a plot each, a line a method, the figure over severity; as a table too."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.corruptions.table import CORRUPTIONS, SEVERITIES
from harness.pages.boards import page_of, run_page_of, title_of
from harness.pages.plots import LONGEST_NAME, SCHEMA, Spec
from harness.pages.words import plain
from harness.ranking.robustness import Robustness, RobustnessCurve

if TYPE_CHECKING:
    from harness.pages.house import PageFolder

PLACES = (0, *SEVERITIES)
APART = 0.05
"""Severities by which methods stand beside each other, so that their intervals can be told apart."""


def robustness_page_of(found: Robustness) -> str:
    """Where the page lies in the folder of pages."""
    return f"robustness/{found.benchmark}/{found.task}.html"


def write_robustness(folder: PageFolder, found: Robustness) -> None:
    """Write the page of one benchmark and task."""
    corruptions = [
        {
            "name": name,
            "what": CORRUPTIONS[name].summary,
            "amounts": ", ".join(f"{value:g}" for value in CORRUPTIONS[name].values),
            "unit": CORRUPTIONS[name].unit,
            "source": CORRUPTIONS[name].source,
            "plot": plot_curves(found, name, curves),
            "rows": [_describe_curve(curve) for curve in curves],
            "boards": [
                (severity, page_of((f"{found.benchmark}+{name}-{severity}", found.task)))
                for severity in SEVERITIES
                if any(point.severity == severity and not curve.seed for curve in curves for point in curve.points)
            ],
        }
        for name, curves in found.by_corruption().items()
    ]
    folder.write(
        robustness_page_of(found),
        "robustness.html",
        f"Robustness: {title_of((found.benchmark, found.task))}",
        figure=found.figure,
        severities=PLACES,
        corruptions=corruptions,
        left_out=found.partial,
        benchmark=found.benchmark,
        task=found.task,
        plotted=True,
    )


def _describe_curve(curve: RobustnessCurve) -> dict[str, Any]:
    """One line of the table: a cell a severity, with the page of its record."""
    points = {point.severity: point for point in curve.points}
    cells = [
        {"value": points[place].value, "page": run_page_of(points[place].record)} if place in points else None
        for place in PLACES
    ]
    return {"method": name_line(curve), "cells": cells}


def name_line(curve: RobustnessCurve) -> str:
    """The method, with the seed where it is not 0."""
    return curve.method + (f", seed {curve.seed}" if curve.seed else "")


def plot_curves(found: Robustness, corruption: str, curves: Sequence[RobustnessCurve]) -> Spec:
    """Figure over severity under one corruption, with intervals over videos; colours and scale are the page's."""
    names = list(dict.fromkeys(plain(name_line(curve), LONGEST_NAME) for curve in found.curves))
    points = [
        {
            "method": (name := plain(name_line(curve), LONGEST_NAME)),
            "severity": point.severity,
            "place": point.severity + APART * (names.index(name) - (len(names) - 1) / 2),
            "value": 100 * point.value,
            "low": 100 * (point.value if point.low is None else point.low),
            "high": 100 * (point.value if point.high is None else point.high),
        }
        for curve in curves
        for point in curve.points
    ]
    x = {
        "field": "place",
        "type": "quantitative",
        "title": "severity, 0 is the clean video",
        "scale": {"domain": [-0.2, 5.2], "nice": False},
        "axis": {"values": list(PLACES), "format": "d"},
    }
    limits = {"domain": [0, find_top(found)], "nice": False}
    y = {"field": "value", "type": "quantitative", "title": f"{found.figure}, per cent", "scale": limits}
    colour = {
        "field": "method",
        "type": "nominal",
        "scale": {"domain": names},
        "legend": {"orient": "top", "columns": 2, "symbolOpacity": 1, "symbolType": "circle"},
    }
    tips = [
        {"field": "method", "type": "nominal"},
        {"field": "severity", "type": "quantitative"},
        *({"field": name, "type": "quantitative", "format": ".1f"} for name in ("value", "low", "high")),
    ]
    return {
        "$schema": SCHEMA,
        "description": f"{found.figure} over severity of {corruption}, {len(curves)} methods on {found.benchmark}.",
        "width": "container",
        "height": 260,
        "data": {"values": points},
        "layer": [
            {
                "mark": {"type": "rule", "opacity": 0.45, "strokeWidth": 1.5, "aria": False},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "line", "point": {"size": 60}},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    "strokeDash": {"field": "method", "type": "nominal", "scale": {"domain": names}, "legend": None},
                    "tooltip": tips,
                },
            },
        ],
    }


def find_top(found: Robustness) -> float:
    """The next ten per cent above every figure and interval of the page."""
    most = max((max(point.value, point.high or 0.0) for curve in found.curves for point in curve.points), default=1.0)
    return max(10.0, 10.0 * math.ceil(10 * most))


def write_csv(found: Sequence[Robustness], path: Path) -> None:
    """One line a record on a curve."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["benchmark", "task", "corruption", "seed", "method", "severity", "figure", "value", "low", "high"])
    for one in found:
        for curve in one.curves:
            for point in curve.points:
                who = [one.benchmark, one.task, curve.corruption, curve.seed, curve.method, point.severity]
                lines.writerow([*who, one.figure, point.value, point.low, point.high])
    path.write_bytes(text.getvalue().encode())


def draw_curves(found: Robustness, path: Path) -> None:
    """Draw every corruption of one benchmark and task into one PNG or SVG; matplotlib is imported here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = found.by_corruption()
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    methods = list(dict.fromkeys(name_line(curve) for curve in found.curves))
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes, (name, curves) in zip(grid.flat, panels.items(), strict=False):
        for curve in curves:
            values = [100 * point.value for point in curve.points]
            lows = [100 * (p.value - (p.value if p.low is None else p.low)) for p in curve.points]
            highs = [100 * ((p.value if p.high is None else p.high) - p.value) for p in curve.points]
            place = methods.index(name_line(curve))
            colour, aside = f"C{place % 10}", APART * (place - (len(methods) - 1) / 2)
            places = [point.severity + aside for point in curve.points]
            axes.errorbar(places, values, [lows, highs], marker="o", capsize=2, color=colour, label=name_line(curve))
        axes.set_title(name)
        axes.set_xticks(PLACES)
        axes.set_xlabel("severity, 0 is the clean video")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel(f"{found.figure}, per cent, with 95 % over videos")
    handles = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize="small")
    figure.suptitle(f"{found.benchmark}, {found.task}")
    figure.savefig(path, format=path.suffix[1:].lower(), dpi=100)
