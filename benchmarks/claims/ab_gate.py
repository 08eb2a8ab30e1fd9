"""How often ``harness ab`` alarms, and what it finds: python -m benchmarks.claims.ab_gate --out DIR.

Trials of three kinds: equal code, a planted slowdown of 15 % of each frame's CPU time, a planted loss of about one
point of J (masks eroded on some frames). A match has new workers; each share of its rounds is a trial, judged by
itself. The method is that of ``harness new-plugin --task one-shot``; it plays the first frames of two videos of
mini-small while processes that spin keep it from the cores. A match that is in DIR/trials.jsonl is not played again;
``--seconds`` ends a campaign early.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from harness import Sample
from harness.ab.match import Terms, play_match
from harness.ab.verdict import judge
from harness.catalog import Catalog
from harness.hosting.apart import plan_request
from harness.new_plugin.write import names_of, render
from harness.planning.plan import Plan
from harness.planning.request import Request

FRAMES = 8
"""Of each video, so that a trial is short where 20 other processes want the cores."""
VIDEOS = ("small-cross", "small-return")
ERODE_EVERY = 12
TRIALS = 4
"""Of each match: to start workers takes longer than their rounds."""


@dataclass(frozen=True)
class Kind:
    """What differs between base and head, as ``--set`` has it."""

    name: str
    planted: tuple[str, ...] = ()
    is_short: bool = True
    """Whether it plays the first frames of the videos only, at half their size."""


KINDS = (
    Kind("equal code"),
    Kind("15 % slower", ("slower=0.15",)),
    Kind("eroded masks", (f"erode_every={ERODE_EVERY}",), is_short=False),
)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--matches", type=int, default=10, show_default=True, help="Of each kind.")
@click.option("--rounds", type=int, default=6, show_default=True, help="Of a trial.")
@click.option("--spinners", type=int, default=20, show_default=True, help="Half of them beside each worker.")
@click.option("--seconds", type=float, default=float("inf"), help="Begin no match after so long.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice([kind.name for kind in KINDS]))
def main(out: Path, matches: int, rounds: int, spinners: int, seconds: float, kinds: tuple[str, ...]) -> None:
    """Play the matches that are not there yet, the kinds in turn, then print the table and the sizing."""
    began, log = time.monotonic(), out / "trials.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    done = read_trials(log)
    install(out / "site")
    catalog = Catalog.load()
    for number, kind in itertools.product(range(matches), KINDS):
        is_done = any((row["kind"], row["match"]) == (kind.name, number) for row in done)
        if is_done or (kinds and kind.name not in kinds) or time.monotonic() - began > seconds:
            continue
        terms = Terms(rounds * TRIALS, 0, number)
        base, head = (plan_trial(one, catalog, spinners) for one in (replace(kind, planted=()), kind))
        for trial in play_trials(base, head, catalog, out / "match", terms):
            row = {"kind": kind.name, "match": number, "spinners": spinners, **trial}
            done.append(row)
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
            print(describe_trial(row), file=sys.stderr)
    print("\n".join([*table(done), "", *sizing(done)]))


def read_trials(log: Path) -> list[dict[str, Any]]:
    """The trials of earlier campaigns."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def install(site: Path) -> None:
    """Put both plugins on this process's path, and so on that of its workers, with their entry points."""
    names = names_of("trial")
    files = {path: text for path, text in render(names, "one-shot").items() if path.startswith(names.package)}
    entry_points = {names.distribution: f"trial = {names.package}", "planted": "planted = benchmarks.claims.ab_planted"}
    for distribution, entry_point in entry_points.items():
        info = f"{distribution.replace('-', '_')}-0.1.0.dist-info"
        files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n"
        files[f"{info}/entry_points.txt"] = f"[harness]\n{entry_point}\n"
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
    sys.path[:] = [str(site.absolute()), str(Path.cwd()), *sys.path]


def plan_trial(kind: Kind, catalog: Catalog, spinners: int) -> Plan:
    """The plan of a side with this planted in it."""
    overrides = (f"spinners={spinners // 2}", *kind.planted)
    request = Request("planted", "mini-small", overrides=overrides, videos=VIDEOS, executor="process", threads=1)
    plan = plan_request(request, catalog)
    return replace(plan, samples=[make_short(sample) for sample in plan.samples]) if kind.is_short else plan


def make_short(sample: Sample) -> Sample:
    """The first frames of a video, of which every second row and column is left."""
    assert sample.read_truth is not None
    assert sample.read_prompt is not None

    def halve(read: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
        return lambda frame: np.ascontiguousarray(read(frame)[::2, ::2])

    return replace(
        sample,
        length=FRAMES,
        frame_names=sample.frame_names[:FRAMES],
        height=(sample.height + 1) // 2,
        width=(sample.width + 1) // 2,
        read_frame=halve(sample.read_frame),
        read_truth=halve(sample.read_truth),
        read_prompt=halve(sample.read_prompt),
    )


def play_trials(base: Plan, head: Plan, catalog: Catalog, out: Path, terms: Terms) -> Iterator[dict[str, Any]]:
    """One match, and each share of its rounds judged by the default gate as if there were no others.

    A lost trial has its match again, as the command does it.
    """
    began = time.monotonic()
    match = play_match(base, head, catalog, out, terms, lambda words: None)
    seconds = time.monotonic() - began
    for trial in range(TRIALS):
        part = slice(trial * terms.rounds // TRIALS, (trial + 1) * terms.rounds // TRIALS)
        clocks = {
            clock: tuple({video: turns[part] for video, turns in side.items()} for side in pair)
            for clock, pair in match.clocks.items()
        }
        verdict = judge(replace(match, clocks=clocks), catalog)
        is_first_lost = bool(verdict.to_confirm)
        if is_first_lost:  # as the command does
            other = replace(terms, rounds=terms.rounds // TRIALS, seed=terms.seed + 1000 * (trial + 1))
            again = play_match(base, head, catalog, out / "again", other, lambda words: None)
            verdict = judge(verdict.match, catalog, again=again)
        changes = {change.column: change.difference.value for change in verdict.comparison.accuracy}
        yield {
            "passed": verdict.passed,
            "is_first_lost": is_first_lost,
            "failed": [ruling.rule for ruling in verdict.rulings if not ruling.passed],
            "ratios": {name: [ratio.value, ratio.low, ratio.high] for name, ratio in verdict.ratios.items()},
            "rounds": clocks,
            "identical": match.identical,
            "J-mean": changes["J-mean"],
            "load": os.getloadavg()[0],
            "seconds": seconds,
            "at": time.strftime("%Y-%m-%d %H:%M"),
        }


def describe_trial(row: Mapping[str, Any]) -> str:
    """One line while a campaign goes on."""
    cpu, wall = (row["ratios"][clock][0] for clock in ("model_cpu_ms", "model_fps"))
    told = "ALARM" if not row["passed"] else "pass, by other processes" if row.get("is_first_lost") else "pass"
    times = f"CPU {cpu:.3f}, wall {wall:.3f}"
    return f"{row['kind']} {row['match']}: {told}, {times}, load {row['load']:.1f}, {row['seconds']:.0f} s"


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What came of each kind, in Markdown; the last two columns say what the wall clock alone would have done."""
    heads = ("trials", "alarms", "first matches lost", "ratio of CPU time, median [least, most]", "J-mean")
    yield "| " + " | ".join([*heads, "of the wall clock", "it would alarm"]) + " |"
    yield "|---|---|---|---|---|---|---|"
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind.name]
        if not own:
            continue
        cpu, wall = (describe_spread([row["ratios"][c][0] for row in own]) for c in ("model_cpu_ms", "model_fps"))
        by_wall = sum(row["ratios"]["model_fps"][0] > 1.07 and row["ratios"]["model_fps"][1] > 1 for row in own)
        alarms = sum(not row["passed"] for row in own)
        loss = np.mean([row["J-mean"] for row in own])
        first = sum(row.get("is_first_lost", not row["passed"]) for row in own)
        yield f"| {len(own)} of {kind.name} | {alarms} | {first} | {cpu} | {loss:+.4f} | {wall} | {by_wall} |"
    if rows:
        loads = [row["load"] for row in rows]
        yield f"load {min(loads):.1f} to {max(loads):.1f}, {rows[0]['at']} to {rows[-1]['at']}"


def describe_spread(values: Sequence[float]) -> str:
    """``1.002 [0.981, 1.023]``."""
    return f"{np.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def sizing(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How much the ratio of one round spreads, and that of a match of so many rounds on two videos, by both clocks."""
    equal = [row for row in rows if row["kind"] == "equal code"]
    if len(equal) < 2:
        return
    yield "| equal code | one round | 2 rounds | 4 rounds | 8 rounds |"
    yield "|---|---|---|---|---|"
    for clock in ("model_cpu_ms", "model_fps"):
        logs = np.log(
            [
                [np.divide(head, base) for base, head in zip(*map(dict.values, row["rounds"][clock]), strict=True)]
                for row in equal
            ]
        )  # (trials, V, R)
        spreads = [np.std(np.median(logs[..., :rounds], axis=-1).mean(axis=-1)) for rounds in (2, 4, 8)]
        cells = [np.std(logs), *spreads]
        yield f"| {clock}, standard deviation | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |"


if __name__ == "__main__":
    main()
