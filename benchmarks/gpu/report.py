"""The report of all steps: report.json for programs, report.md for people, steps.log for who looks into a failure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.steps import Outcome

SCHEMA = "harness.gpu/1"
LOG_LINES = 400
"""Of each step, its last ones."""


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier session wrote beside its report, which would pass for this one's."""
    for path in [folder / "kernels.json", *folder.glob("record-*.json")]:
        path.unlink(missing_ok=True)


def write_report(
    folder: Path,
    outcomes: Sequence[Outcome],
    missing: Sequence[dict[str, str]],
    *,
    device: str,
    budget: float,
    ended: bool,
) -> None:
    """Write the three files anew; called after each step, so that a kill leaves what there is."""
    told = {
        "schema": SCHEMA,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "device": device,
        "budget_seconds": budget,
        "ended": ended,
        "missing_packages": list(missing),
        "steps": [
            {
                "name": outcome.step.name,
                "title": outcome.step.title,
                "status": outcome.status,
                "reason": outcome.reason,
                "seconds": round(outcome.seconds, 1),
                "rows": outcome.rows,
            }
            for outcome in outcomes
        ],
    }
    (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(as_markdown(told, outcomes, folder), encoding="utf-8")
    (folder / "steps.log").write_text("\n".join(map(_tail, outcomes)), encoding="utf-8")


def _tail(outcome: Outcome) -> str:
    lines = outcome.log.splitlines()
    cut = [f"... {len(lines) - LOG_LINES} lines before"] if len(lines) > LOG_LINES else []
    return "\n".join([f"==== {outcome.step.name}: {outcome.status}", *cut, *lines[-LOG_LINES:], ""])


def as_markdown(told: dict[str, Any], outcomes: Sequence[Outcome], folder: Path) -> str:
    """The report as a page."""
    lines = [f"# What {told['device']} showed", "", f"{told['created']}; budget {told['budget_seconds']:.0f} s."]
    lines += (
        [] if told["ended"] else ["", "**Not ended**: the steps below are those that were done before it was cut off."]
    )
    lines += ["", *_table([_summary(step) for step in told["steps"]])]
    if told["missing_packages"]:
        lines += ["", "Packages that are not here:", "", *_table(told["missing_packages"])]
    skipped = [row for step in told["steps"] for row in step["rows"] if row["table"] == "skipped"]
    if skipped:
        lines += ["", "Skipped inside of steps:", "", *_table([{"what": r["what"], "why": r["why"]} for r in skipped])]
    for step, outcome in zip(told["steps"], outcomes, strict=True):
        lines += ["", f"## {step['title']}", ""]
        tables = {row["table"]: None for row in step["rows"] if row["table"] != "skipped"}
        for name in tables:
            rows = [{k: v for k, v in row.items() if k != "table"} for row in step["rows"] if row["table"] == name]
            lines += [*([f"### {name}", ""] if len(tables) > 1 else []), *_table(rows), ""]
        shown = 60 if not tables else 30 if step["status"] not in ("passed", "skipped") else 0
        if shown and outcome.log:
            lines += ["```", *outcome.log.splitlines()[-shown:], "```"]
    files = sorted(path.name for path in folder.iterdir() if path.name not in ("report.md", "report.json", "steps.log"))
    if files:
        lines += ["", "Beside this page: " + ", ".join(files) + ". benchmarks/README.md says how records are added."]
    return "\n".join(lines) + "\n"


def _summary(step: dict[str, Any]) -> dict[str, Any]:
    problems = sum("problem" in row or row.get("holds") is False for row in step["rows"])
    return {
        "step": step["name"],
        "status": step["status"],
        "seconds": step["seconds"],
        "rows": len(step["rows"]),
        "with a problem": problems,
        "why": step["reason"],
    }


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A Markdown table over the union of the rows' columns, in the order they first come."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in columns) + " |" for row in rows]
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
