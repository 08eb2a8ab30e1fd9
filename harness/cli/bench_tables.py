"""What ``harness bench`` found, as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Collection

from harness.api.records import Conditions, Timing
from harness.benching.clip import Clip
from harness.benching.growth import AXES, Estimates, GrowthReport
from harness.benching.methods import MethodReport
from harness.benching.precision import PrecisionReport, PrecisionRow
from harness.benching.report import KernelReport
from harness.cli.matrix import describe_seconds
from harness.cli.terminal import one_line, table


def describe_kernels(report: KernelReport) -> str:
    """A kernel report for a terminal: conditions, limits, time and roofline, the plain form, what is wrong."""
    parts = [_machine(report), _speeds(report), _beside_plain(report)]
    for row in report.rows:
        lines = [f"FAIL {row.problem}"] if row.problem else []
        parts += [f"{row.kernel}, {row.example}: {one_line(line)}" for line in [*lines, *row.notes]]
    return "\n\n".join(parts)


def _machine(report: KernelReport) -> str:
    limits = report.limits
    rates = ", ".join(f"{kind} {rate:,.0f} GFLOP/s" for kind, rate in limits.gflop_a_second.items())
    return (
        f"{_conditions(report.conditions)}; caches cold\n"
        f"limits measured now: matrix product {rates}; copy {limits.copy_gb_a_second:,.1f} GB/s"
    )


def _speeds(report: KernelReport) -> str:
    kinds = list(report.limits.gflop_a_second)
    rows: list[list[object]] = []
    for row in report.rows:
        if row.fast is None or row.rates is None:
            rows.append([row.plugin, row.kernel, row.example, "-", "failed"])
            continue
        rates, seconds, cpu = row.rates, row.fast.seconds, row.fast.cpu_seconds
        rows.append(
            [
                row.plugin,
                row.kernel,
                row.example,
                seconds.rounds,
                f"{_ms(seconds.median)} [{_ms(seconds.low)}, {_ms(seconds.high)}]",
                *([_ms(cpu.median)] if cpu else []),
                _number(rates.gflop_a_second),
                _number(rates.gb_a_second, 2),
                _number(rates.intensity),
                *(_number(rates.attainable_gflop_a_second.get(kind)) for kind in kinds),
                *(_share(rates.share.get(kind)) for kind in kinds),
            ]
        )
    cpu_head = ["CPU ms"] if report.conditions.device_type == "cpu" else []
    of = [f"of roofline, {kind}" for kind in kinds] if len(kinds) > 1 else ["of roofline"]
    attainable = [f"attainable, {kind}" for kind in kinds] if len(kinds) > 1 else ["attainable"]
    heads = ["plugin", "kernel", "example", "rounds", "ms [quartiles]", *cpu_head, "GFLOP/s", "GB/s", "FLOP/byte"]
    return table(rows, [*heads, *attainable, *of])


def _beside_plain(report: KernelReport) -> str:
    rows = [
        [
            row.kernel,
            row.example,
            _ms(row.plain.seconds.median) if row.plain else "-",
            _number(row.times_faster, 2),
            *(_number(form.extra_mib if form else None, 1) for form in (row.fast, row.plain)),
            *(_small(form.error if form else None) for form in (row.fast, row.plain)),
            _small(row.difference),
            f"{row.tolerance:.0e}" if report.conditions.precision == "fp32" else "-",
            "FAIL" if row.problem else "ok",
        ]
        for row in report.rows
    ]
    heads = ["kernel", "example", "plain ms", "times faster", "extra MiB", "plain MiB"]
    return table(rows, [*heads, "error", "plain's error", "difference", "allowed", ""])


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _conditions(c: Conditions) -> str:
    threads = f", {c.threads} threads" if c.threads else ""
    load = "" if c.load_average is None else f", load average before {c.load_average:.2f}"
    return one_line(f"on {c.device}{threads}, {c.precision}, torch {c.torch}{load}")


def describe_methods(report: MethodReport) -> str:
    """A method report for a terminal: one row a method, then the stages of each."""
    rows, stages, problems = [], [], []
    for row in report.rows:
        if row.problem:
            problems.append(f"{row.plugin}: {one_line(row.problem)}")
        if row.timing is None:
            continue
        steady, first = row.timing.model, row.timing.model_first_frame
        figures = (*_steady_ms(row.timing), first.mean_ms)
        rows.append(
            [
                row.plugin,
                row.task,
                row.weights,
                row.timing.throughput.frames if row.timing.throughput else steady.frames,
                _fps(row.timing),
                *(_number(ms) for ms in figures),
                _number(row.timing.added_memory_mib, 1),
            ]
        )
        stages += [
            [row.plugin, kind, name, time.calls, _number(1e3 * time.seconds / max(1, time.calls), 2)]
            for kind, section in (("stage", row.timing.stages), ("kernel", row.timing.kernels))
            for name, time in section.items()
        ]
    heads = ["method", "task", "weights", "frames", "fps", "mean ms", "p50 ms", "p90 ms", "first frame ms", "MiB"]
    parts = [
        f"generated clip {report.clip}; model clock\n{_conditions(report.conditions)}",
        table(rows, heads) if rows else "",
        table(stages, ["method", "part", "name", "calls", "mean ms"]) if stages else "",
        *problems,
    ]
    return "\n\n".join(part for part in parts if part)


def _fps(timing: Timing) -> str:
    """Steady frames a second; of what works by whole videos its throughput, named."""
    if timing.throughput is None:
        return _number(timing.model.fps, 2)
    return f"{_number(timing.throughput.model_fps, 2)} throughput" + ("" if timing.throughput.is_warm else ", cold")


def _steady_ms(timing: Timing) -> tuple[float | None, ...]:
    """Milliseconds of a steady frame, where these are the method's speed."""
    steady = timing.model
    return (None, None, None) if timing.throughput else (steady.mean_ms, steady.p50_ms, steady.p90_ms)


def describe_precision(report: PrecisionReport) -> str:
    """A precision report for a terminal: scores, paired differences from the first row, changed pixels."""
    rows = [
        [
            row.precision,
            _interval(row, report.metric),
            _difference(row, report.metric),
            "-" if row.pixels_changed is None else f"{row.pixels_changed:.4%}",
            next((f"{video} {share:.3%}" for video, share in row.changed_by_video.items()), "-"),
            _number(row.model_fps, 2),
            row.videos_done,
        ]
        for row in report.rows
    ]
    first = report.rows[0].precision
    heads = [
        "precision",
        f"{report.metric} [95 %]",
        f"minus {first} [95 %, paired]",
        "pixels changed",
        "most in",
        "fps (model)",
        "videos",
    ]
    lines = [f"{row.precision}: {one_line(row.problem)}" for row in report.rows if row.problem]
    lines += list(dict.fromkeys(f"partial: {row.partial_reason}" for row in report.rows if row.partial_reason))
    found = next((row.conditions for row in report.rows if row.conditions), None)
    where = f"{report.plugin} on {report.bench}" + (f"\n{_conditions(found)}" if found else "")
    return "\n\n".join([where, table(rows, heads), *lines])


def _interval(row: PrecisionRow, metric: str) -> str:
    found = row.figures.get(metric)
    if found is None or found.value is None:
        return "-"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.4f}, {found.high:.4f}]"
    return f"{found.value:.4f}{ends}"


def _difference(row: PrecisionRow, metric: str) -> str:
    found = row.differences.get(metric)
    if found is None or found.value is None:
        return "-"
    ends = "" if found.low is None or found.high is None else f" [{found.low:+.4f}, {found.high:+.4f}]"
    return f"{found.value:+.4f}{ends}"


def describe_estimates(estimates: Estimates, kept: Collection[tuple[str, Clip]], base: Clip) -> str:
    """How long growth would take, a line a method: what is kept already takes nothing."""
    rows = []
    for plugin in dict.fromkeys(name for name, _ in estimates):
        mine = {clip: seconds for (name, clip), seconds in estimates.items() if name == plugin}
        todo = {clip: seconds for clip, seconds in mine.items() if (plugin, clip) not in kept}
        known = {clip: seconds for clip, seconds in todo.items() if seconds is not None}
        longest = max(known, key=lambda clip: known[clip], default=None)
        total = sum(known.values()) if len(known) == len(todo) else None
        told = "" if longest is None else f"{longest.name}: {describe_seconds(known[longest])}"
        rows.append([plugin, len(mine), len(mine) - len(todo), describe_seconds(total), told])
    sums = [seconds for place, seconds in estimates.items() if place not in kept]
    known_sums = [seconds for seconds in sums if seconds is not None]
    least = "at least " if len(known_sums) < len(sums) else ""
    rows.append(["all", len(estimates), len(kept), f"{least}{describe_seconds(sum(known_sums))}", ""])
    words = "by small clips with the machine as busy as it is, and a law of pixels: it tells minutes from days, no more"
    axes = f"frames, objects and size grow one at a time, from {base.name}"
    return f"{table(rows, ['method', 'points', 'kept', 'about', 'longest'])}\n{axes}\n{words}"


def describe_growth(report: GrowthReport) -> str:
    """A growth report for a terminal: a table a method, each axis by itself."""
    parts = [_conditions(report.conditions)]
    for plugin in dict.fromkeys(point.plugin for point in report.points):
        rows = [
            [
                axis,
                point.place_on(axis),
                point.state if point.state != "measured" else "",
                *(_number(v, 2) for v in (point.frame_ms, point.frame_cpu_ms, point.first_frame_ms)),
                _number(point.added_memory_mib),
                _number(point.process_mib[-1][1] if point.process_mib else None),
                _number(point.cpu_seconds or None),
                one_line(point.problem)[:80],
            ]
            for axis in AXES
            if len(report.curve(plugin, axis)) > 1
            for point in report.curve(plugin, axis)
        ]
        heads = [
            "grows",
            "to",
            "",
            "ms a frame",
            "CPU ms",
            "first frame ms",
            "memory MiB",
            "process MiB",
            "CPU s",
            "what went wrong",
        ]
        parts.append(f"{plugin}\n{table(rows, heads)}")
    return "\n\n".join(parts)
