"""Plots as Vega-Lite: plain dicts with their data inside, made and tested here, drawn by the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.pages.words import plain
from harness.ranking.standings import SpeedGroup

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""A name; nothing is fetched from there."""
MOST_NAMED = 25
"""Points that have their name beside them; of more it shows under the pointer."""
LONGEST_NAME = 60

Spec = dict[str, Any]


def speed_and_accuracy(group: SpeedGroup, main: str) -> Spec:
    """Accuracy against speed of one group of conditions, with the Pareto front as a line."""
    points = [
        {
            "method": plain(row.label, LONGEST_NAME),
            "fps": row.fps,
            "accuracy": 100 * row.accuracy,
            "front": "on the front" if row.is_on_front else "behind it",
        }
        for row in group.rows
    ]
    front = [point for point in points if point["front"] == "on the front"]
    x = {
        "field": "fps",
        "type": "quantitative",
        "title": "frames a second, model clock",
        "scale": {"type": "log"},
        "axis": {"tickCount": 5},
    }
    y = {"field": "accuracy", "type": "quantitative", "title": f"{main}, per cent", "scale": {"zero": False}}
    colour = {
        "field": "front",
        "type": "nominal",
        "title": "Pareto front",
        "scale": {"domain": ["on the front", "behind it"]},
    }
    tips = [
        {"field": "method", "type": "nominal"},
        {"field": "accuracy", "type": "quantitative", "title": main, "format": ".1f"},
        {"field": "fps", "type": "quantitative", "format": ".3~s"},
    ]
    layers: list[Spec] = [
        {
            "data": {"values": front},
            "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [4, 3], "aria": False},
            "encoding": {"x": x, "y": y, "order": {"field": "fps", "type": "quantitative", "sort": "descending"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour,
                "shape": {"field": "front", "type": "nominal", "title": "Pareto front"},
                "tooltip": tips,
                "description": {"field": "method", "type": "nominal"},
            },
        },
    ]
    if len(points) <= MOST_NAMED:
        text = {"type": "text", "align": "left", "dx": 8, "dy": -6, "limit": 180, "aria": False}
        layers.append({"mark": text, "encoding": {"x": x, "y": y, "text": {"field": "method", "type": "nominal"}}})
    return {
        "$schema": SCHEMA,
        "description": f"{main} against frames a second of {len(points)} records under equal conditions.",
        "width": "container",
        "height": 320,
        "data": {"values": points},
        "layer": layers,
    }


def curves(values: Sequence[dict[str, Any]], runs: Sequence[str], objects: Sequence[str]) -> Spec:
    """J(t) and F(t), one below the other; a line a run, of one object or of their mean, as chosen below the plot.

    ``values`` have run, object, figure, frame and value.
    """
    figures = list(dict.fromkeys(value["figure"] for value in values))
    choice = {"name": "object", "value": objects[0], "bind": {"input": "select", "options": list(objects)}}
    x = {"field": "frame", "type": "quantitative", "title": "frame", "axis": {"tickMinStep": 1}}
    tips = [{"field": name, "type": "nominal"} for name in ("run", "object", "frame")]
    parts = [
        {
            "transform": [{"filter": f"datum.figure == {_quote(figure)} && datum.object == object"}],
            "width": "container",
            "height": 180,
            "mark": {"type": "line", "interpolate": "linear", "point": {"size": 12}},
            "encoding": {
                "x": x,
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": f"{figure}(t)",
                    "scale": {"domain": [0, 1]},
                },
                "color": {"field": "run", "type": "nominal", "sort": list(runs), "legend": {"orient": "top"}},
                "strokeDash": {"field": "run", "type": "nominal", "sort": list(runs)},
                "tooltip": [*tips, {"field": "value", "type": "quantitative", "format": ".3f"}],
            },
        }
        for figure in figures
    ]
    return {
        "$schema": SCHEMA,
        "description": f"{' and '.join(f'{name}(t)' for name in figures)} of {len(runs)} runs, a value a scored frame.",
        "data": {"values": list(values)},
        "params": [choice],
        "vconcat": parts,
    }


def _quote(text: str) -> str:
    """A figure's name as a string in an expression; figures are named by metrics that are installed, and plain."""
    return "'" + "".join(sign for sign in text if sign.isalnum() or sign in "&_-+ ") + "'"
