"""``harness compare``: two records, what changed between them, and a gate for CI."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from harness.api.errors import GateFailed
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import one_line, say, table
from harness.ranking.compare import Comparison, SpeedChange, compare
from harness.ranking.gate import read_gate
from harness.ranking.sides import Side
from harness.ranking.significance import FEWEST, Significance
from harness.ranking.speeds import has_throughput
from harness.running.finished import columns_of, read_digests, read_frame_ms, read_run


@click.command("compare")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("head", type=click.Path(path_type=Path))
@click.option(
    "--gate", "gate_file", type=options.PATH, metavar="FILE", help="TOML file of rules; exit code 1 if one fails."
)
@click.option(
    "--import",
    "imported",
    type=click.Choice(["pytest-benchmark"]),
    help="BASE and HEAD are no runs but files of this kind: of pytest --benchmark-json, compared by their raw rounds.",
)
@click.option("--common", is_flag=True, help="Compare the videos that both runs have, where each has others too.")
@options.as_json
def command(base: Path, head: Path, gate_file: Path | None, imported: str | None, common: bool, as_json: bool) -> None:
    """Compare run HEAD with run BASE (run folders or record files): accuracy by video, speed under equal conditions."""
    gate = None if gate_file is None else read_gate(gate_file)
    if imported is not None:
        from harness.cli.compare_benchmarks import compare_files

        refuse_by(gate_file, compare_files(base, head, gate, as_json=as_json))
        return
    before, after = (read_run(path) for path in (base, head))
    times = (read_frame_ms(base, by_video=has_throughput(before)), read_frame_ms(head, by_video=has_throughput(after)))
    columns = columns_of(before, Catalog.load())
    found = compare(
        before,
        after,
        gate,
        lower_is_better={column.name for column in columns if not column.higher_is_better},
        no_means={column.name for column in columns if not column.averaged},
        frame_ms=times if all(times) else None,
        digests=(read_digests(base), read_digests(head)) if common else ({}, {}),
        common=common,
    )
    say(json.dumps(asdict(found) | {"passed": found.passed}, indent=2) if as_json else describe_comparison(found))
    refuse_by(gate_file, found)


def refuse_by(gate_file: Path | None, found: Any) -> None:
    """GateFailed with every rule that does not hold; ``found`` has rulings."""
    if not found.passed:
        failed = [f"{ruling.rule}: {ruling.found}" for ruling in found.rulings if not ruling.passed]
        raise GateFailed(f"the gate {gate_file or 'of harness ab'} says no:\n  " + "\n  ".join(failed))


def describe_comparison(found: Comparison) -> str:
    """The comparison as tables for people."""
    parts = [_sides_table(found), _accuracy_table(found), _significance_table(found)]
    parts += [_videos_table(found), _speed_table(found)]
    if found.rulings:
        rows = [["pass" if ruling.passed else "FAIL", ruling.rule, ruling.found] for ruling in found.rulings]
        parts.append(table(rows, ["gate", "rule", "found"]))
    parts.append("\n".join(one_line(note) for note in found.notes))
    return "\n\n".join(part for part in parts if part)


def _sides_table(found: Comparison) -> str:
    """What is compared, and in what the two differ."""
    lines = [f"{name}: {_describe(side)}" for name, side in (("base", found.base), ("head", found.head))]
    if found.common:
        lines.append(f"common: {len(found.common)} videos, which all figures below are of")
    rows = [[difference.what, difference.base or "-", difference.head or "-"] for difference in found.differences]
    if rows:
        return "\n".join(lines) + "\n\n" + table(rows, ["differs", "base", "head"])
    return "\n".join([*lines, "method, code, config, weights and versions are the same"])


def _describe(side: Side) -> str:
    preset = f" (preset {side.preset})" if side.preset else ""
    told = f"{side.method}{preset} of {side.version}, weights {side.weights}"
    return one_line(f"{told}, on {side.benchmark}, {side.videos} videos, {side.created}")


def _accuracy_table(found: Comparison) -> str:
    rows = [
        [
            change.column if change.higher_is_better else f"{change.column} (lower is better)",
            _number(change.base),
            _number(change.head),
            _number(change.difference.value, "+.4f"),
            f"[{_number(change.difference.low, '+.4f')}, {_number(change.difference.high, '+.4f')}]",
            _number(change.difference.doubt, ".3f"),
        ]
        for change in found.accuracy
    ]
    heads = ["figure", "base", "head", "difference", "95 % interval", "doubt"]
    return table(rows, heads) if rows else "no figure is in both records"


def _significance_table(found: Comparison) -> str:
    """What the videos say: verdict, exact test, the interval of few videos, what could have been seen."""
    rows = [
        [
            change.column,
            change.verdict,
            _number(told.p, ".4f"),
            f"[{_number(told.low, '+.4f')}, {_number(told.high, '+.4f')}]",
            _number(told.equal_within),
            _number(told.detectable),
        ]
        for change in found.accuracy
        if (told := change.significance) is not None and told.videos
    ]
    if not rows:
        return ""
    told = max((change.significance for change in found.accuracy if change.significance), key=lambda one: one.videos)
    heads = ["figure", "head is", "p (sign flips)", "95 % t interval", "equal within", "detectable"]
    return f"{table(rows, heads)}\n({_describe_flips(told)}; better or worse: p <= .05 and no 0 in the interval)"


def _describe_flips(told: Significance) -> str:
    noun = "video" if told.videos == 1 else "videos"
    how = f"all {told.flips} sign flips of {told.videos} {noun}" if told.is_exact else f"{told.flips} sign flips drawn"
    least = f"; with so few videos p cannot be below {2 / told.flips:.3g}" if told.videos < FEWEST else ""
    return how + least


def _videos_table(found: Comparison) -> str:
    """The five videos that lost most and the five that gained most on the first figure."""
    if not found.accuracy:
        return ""
    change = found.accuracy[0]
    if not change.videos:
        return ""
    order = list(change.videos.items())
    shown = order if len(order) <= 10 else [*order[:5], *order[-5:]]
    return table([[video, f"{by:+.4f}"] for video, by in shown], ["video", change.column])


def _speed_table(found: Comparison) -> str:
    parts = [f"speeds are not compared: {one_line(found.not_comparable)}" if found.not_comparable else _clocks(found)]
    if found.frame_time is not None:
        ratio = found.frame_time
        ends = f"[{_number(ratio.low, '.3f')}, {_number(ratio.high, '.3f')}]"
        parts.append(f"model time a frame, head / base, paired by video: {_number(ratio.value, '.3f')} {ends}")
        parts.append(
            "(the interval is over the choice of videos; each was timed once, a repetition may fall outside it)"
        )
    return "\n".join(parts)


def _clocks(found: Comparison) -> str:
    rows = [
        [change.clock, f"{change.base:.2f}", f"{change.head:.2f}", _ratio(change), change.words]
        for change in found.speed
    ]
    return table(rows, ["clock", "base", "head", "head / base", "head is"])


def _ratio(change: SpeedChange) -> str:
    return f"{change.head / change.base:.3g}" if change.base else "-"


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)
