"""``harness bench``: kernels against roofline and reference, methods by size of video, the effect of precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli.terminal import one_line, say, table


@click.group("bench")
def command() -> None:
    """Bench kernels, whole methods, and the effect of precision."""


_device = click.option("--device", default="cpu", show_default=True, help="cpu or cuda:N.")
_threads = click.option("--threads", type=int, help="CPU threads for torch; default: torch's own choice.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


@command.command("kernels")
@click.option("--plugin", "plugins", multiple=True, help="Method whose kernels are benched; repeat; default: all.")
@click.option("--kernel", "names", multiple=True, help="Only the kernel of this name; may be repeated.")
@_device
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@_threads
@click.option("--rounds", type=click.IntRange(min=1), help="Timed calls of each form; default: two seconds, 3 to 50.")
@click.option("--limit-size", type=click.Choice(["small", "all"]), default="all", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON into this file.")
@_json
def kernels(
    plugins: tuple[str, ...],
    names: tuple[str, ...],
    device: str,
    precision: Any,
    threads: int | None,
    rounds: int | None,
    limit_size: Any,
    out: Path | None,
    as_json: bool,
) -> int:
    """Bench every kernel of a card on its examples: time, roofline, memory, error, and its plain reference.

    Exit code 1 if a kernel raises or differs from its reference by more than its tolerance.
    """
    catalog = Catalog.load()
    methods = [catalog.methods.get(name) for name in plugins] or list(catalog.methods)
    from harness.benching.kernels import Wish, bench_kernels
    from harness.environment import resolve_device
    from harness.results import write_atomically

    _set_threads(threads)
    wish = Wish(resolve_device(device), precision, names, limit_size, rounds)
    report = bench_kernels(methods, wish, lambda line: say(line, err=True))
    text = report.model_dump_json(by_alias=True, indent=2) + "\n"
    if out is not None:
        write_atomically(out, text.encode())
        say(f"written {out}", err=True)
    say(text if as_json else told(report), nl=not as_json)
    return 1 if report.failed else 0


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))


def told(report: Any) -> str:
    """A kernel report for a terminal: conditions, limits, time and roofline, the plain form, what is wrong."""
    parts = [_machine(report), _speeds(report), _beside_plain(report)]
    for row in report.rows:
        lines = [f"FAIL {row.problem}"] if row.problem else []
        parts += [f"{row.kernel}, {row.example}: {one_line(line)}" for line in [*lines, *row.notes]]
    return "\n\n".join(parts)


def _machine(report: Any) -> str:
    c, limits = report.conditions, report.limits
    threads = f", {c.threads} threads" if c.threads else ""
    load = "" if c.load_average is None else f", load average before {c.load_average:.2f}"
    rates = ", ".join(f"{kind} {rate:,.0f} GFLOP/s" for kind, rate in limits.gflop_a_second.items())
    return (
        f"on {one_line(c.device)}{threads}, {c.precision}, torch {c.torch}{load}; caches cold\n"
        f"limits measured now: matrix product {rates}; copy {limits.copy_gb_a_second:,.1f} GB/s"
    )


def _speeds(report: Any) -> str:
    kinds = list(report.limits.gflop_a_second)
    rows = []
    for row in report.rows:
        if row.fast is None:
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


def _beside_plain(report: Any) -> str:
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
