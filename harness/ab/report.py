"""A verdict in words: sections of lines and tables, which a terminal shows and a page of Markdown too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.ab.match import Match
from harness.ab.verdict import Verdict, describe_ratio
from harness.api.dataclass import dataclass
from harness.ranking.compare import AccuracyChange
from harness.ranking.rounds import typical_ms
from harness.ranking.sides import Differing, Side

_FIGURES = ("J&F", "J-mean", "F-mean", "AP", "AP50")
_WALL = {"model_fps": "model, ms a frame", "throughput_fps": "model, ms a frame (whole videos)"}
_CLOCKS = {"model_cpu_ms": "model, CPU ms a frame", "model_first_frame_ms": "model, ms of a first frame", **_WALL}


@dataclass(frozen=True)
class Section:
    """A heading, lines below it, and a table where it has heads."""

    title: str
    lines: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def describe_verdict(verdict: Verdict) -> Iterator[Section]:
    """The answer first, then what it rests on."""
    match, found = verdict.match, verdict.comparison
    yield _tell_rulings(verdict)
    yield _tell_sides(found.base, found.head, found.differences, match)
    yield _tell_accuracy(match, found.accuracy)
    yield _tell_clocks(verdict)


def _tell_rulings(verdict: Verdict) -> Section:
    side = verdict.match.head.plugin.name
    title = f"harness ab: {side} on {verdict.match.head.benchmark.full_name}: " + ("pass" if verdict.passed else "FAIL")
    rows = [("pass" if ruling.passed else "FAIL", ruling.rule, ruling.found) for ruling in verdict.rulings]
    return Section(title, heads=("gate", "rule", "found"), rows=tuple(rows))


def _tell_sides(base: Side, head: Side, differences: Sequence[Differing], match: Match) -> Section:
    lines = [f"{name}: {_describe(side)}" for name, side in (("base", base), ("head", head))]
    if not differences:
        lines.append("nothing differs between them that a record tells: equal code against itself")
    rows = tuple((one.what, one.base or "-", one.head or "-") for one in differences)
    return Section("What is compared", tuple(lines), ("differs", "base", "head") if rows else (), rows)


def _describe(side: Side) -> str:
    preset = f" (preset {side.preset})" if side.preset else ""
    return f"{side.method}{preset} of {side.version}, weights {side.weights}, on {side.benchmark}, {side.videos} videos"


def _tell_accuracy(match: Match, changes: Sequence[AccuracyChange]) -> Section:
    lines = [f"masks: identical on {match.identical} of {len(match.differing)} videos"]
    lines += [f"{video}: {frames} frames differ" for video, frames in match.differing.items() if frames]
    lines += [f"not the same in each turn, so chance is in it: {name}" for name in match.unsteady]
    shown = [change for change in changes if change.column in _FIGURES]
    rows = [
        (
            change.column,
            _number(change.base),
            _number(change.head),
            _number(change.difference.value, "+.4f"),
            f"[{_number(change.difference.low, '+.4f')}, {_number(change.difference.high, '+.4f')}]",
        )
        for change in shown or changes
    ]
    heads = ("figure", "base", "head", "difference", "95 % interval")
    return Section("Accuracy", tuple(lines), heads, tuple(rows)) if rows else Section("Accuracy", tuple(lines))


def _tell_clocks(verdict: Verdict) -> Section:
    match, on = verdict.match, verdict.match.head.conditions
    threads = f", {on.threads} threads" if on.threads else ""
    terms = f"{match.terms.rounds} rounds in turns after a warm-up, who begins by coin {match.terms.seed}"
    lines = [f"on {on.device}{threads}, {on.precision}, load {on.load_average}; {terms}", *match.notes]
    if verdict.again is not None:
        lines.append(
            f"played again with other processes for {', '.join(verdict.to_confirm)}; the table is of the first match"
        )
    if match.memory is not None:
        each = [", ".join(f"{peak:.1f}" for peak in side) for side in (match.memory.base, match.memory.head)]
        lines.append(f"memory taken, MiB, each in a fresh process: base {each[0]}; head {each[1]}")
    rows = [
        (_CLOCKS.get(clock, clock), *(f"{typical_ms(side):.2f}" for side in match.clocks[clock]), describe_ratio(ratio))
        for clock, ratio in verdict.ratios.items()
    ]
    heads = ("clock", "base", "head", "head / base [95 % interval]")
    return Section("Speed", tuple(lines), heads, tuple(rows)) if rows else Section("Speed", tuple(lines))


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def write_markdown(sections: Sequence[Section]) -> str:
    """The sections as Markdown, with nothing in it that a cell could break out of."""
    parts = []
    for number, section in enumerate(sections):
        parts.append(f"{'##' if number == 0 else '###'} {_escape(section.title)}")
        parts += [f"- {_escape(line)}" for line in section.lines]
        if section.heads:
            rows = [section.heads, tuple("---" for _ in section.heads), *section.rows]
            cells = [
                "| " + " | ".join(cell if row is rows[1] else _escape(cell) for cell in row) + " |" for row in rows
            ]
            parts.append("\n" + "\n".join(cells))
        parts.append("")
    return "\n".join(parts)


def _escape(text: str) -> str:
    """One line of Markdown that says just this."""
    plain = " ".join(text.split())
    for mark in "\\`*_{}<>|[]":
        plain = plain.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return plain
